// Package webhook takes POST requests from content management systems and scripts: what has changed becomes revalidated
// tags and queued paths. It is the one part of the daemon that strangers may reach, so everything is bounded, and nothing
// that costs something is done for a request that has not shown who sent it.
//
// What is kept:
//
//   - A request does something only if it has shown a token, or a signature by HMAC-SHA256 over its time and body that is
//     not older than the window. Both are compared in constant time.
//   - A signed request that names its delivery is taken once in the window by this daemon. The signature covers the name.
//   - Paths lead nowhere else: no host, no climbing, no query, no control characters, however they are written.
//   - Requests without a valid signature cost those with one little: their number is bounded by source and in all before
//     they may send bodies of any size, their bodies share a budget, and their connections are few and short.
//
// It is not kept that a delivery is taken once by all daemons: each knows its own. The work that another one does for it is
// the same regeneration again, of which the queue makes one at most in its settling time.
package webhook
