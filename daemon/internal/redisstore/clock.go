package redisstore

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock estimates the time that Redis has, from the times in its replies and the local monotonic clock. What the local
// wall clock says does not matter, once there was a reply.
type clock struct {
	begun  time.Time
	offset atomic.Int64 // microseconds: the time of Redis less the time since begun

	mu    sync.Mutex
	bound time.Duration // of the error of offset when it was learned
	at    time.Duration // since begun, when it was learned
	known bool
}

func newClock() *clock {
	c := &clock{begun: time.Now()}
	c.offset.Store(c.begun.UnixMicro())
	return c
}

// now is in milliseconds since 1970.
func (c *clock) now() int64 {
	return (time.Since(c.begun).Microseconds() + c.offset.Load()) / 1000
}

// drift is by how much two clocks may part, relative to the time that passes: 100 ppm is worse than real ones are.
const drift = 10_000

// observe learns from a reply with Redis's time in microseconds since 1970, asked for at sent and here at received. The
// time was taken somewhere between, so the error is at most half the way. A sample is better than what is known if its
// bound is smaller, the known one growing with its age; and if the two contradict each other, then the clock of Redis
// was set, or it is another Redis.
func (c *clock) observe(sent, received time.Time, micros int64) {
	begun := sent.Sub(c.begun)
	trip := received.Sub(sent)
	offset, bound := micros-(begun+trip/2).Microseconds(), trip/2+time.Microsecond
	at := begun + trip

	c.mu.Lock()
	defer c.mu.Unlock()
	knownBound := c.bound + (at-c.at)/drift
	apart := time.Duration(offset-c.offset.Load()) * time.Microsecond
	if !c.known || bound <= knownBound || apart.Abs() > bound+knownBound {
		c.offset.Store(offset)
		c.bound, c.at, c.known = bound, at, true
	}
}
