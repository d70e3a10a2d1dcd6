// Package queue is the contract of the queue of regenerations on demand: what a job is, how it goes its way, and what
// those who enqueue and those who work ask of whoever keeps it. Memory keeps it in this process.
//
// What is kept, for each app:
//
//   - A job that was enqueued is done, dead or dropped in the end, whoever dies on the way, as long as the store keeps it.
//   - Of identical jobs (path and build) one at most is unclaimed, and one at most is claimed. Who enqueues while it is
//     unclaimed gets that one; who enqueues while it is claimed gets the next one, which is not claimed before that one
//     has ended. So the render that a request waits for begins after the request.
//   - A path is not claimed again within Settle after its last claim, so that a burst of requests is two renders.
//   - A claim is a lease with a token that grows: whoever lost the claim cannot end the job of the next.
//   - Of sixteen claims one begins with the lowest priority and three with the middle one, so that nobody starves.
//
// It is not promised that a path is rendered once: a worker that stalls beyond its lease is followed by another.
package queue
