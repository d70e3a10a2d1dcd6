package worker

import (
	"math/rand/v2"
	"sync"
	"time"
)

func random() float64 { return rand.Float64() } //nolint:gosec // it spreads retries, and guards nothing

// pace is a bucket of permissions to begin a job: as many come in a second as the rate says, and at most those of one
// second are saved.
type pace struct {
	rate float64 // 0: no bound

	mu   *sync.Mutex
	has  float64
	last time.Time
}

func newPace(rate float64) pace {
	return pace{rate: rate, mu: new(sync.Mutex), has: 1, last: time.Now()}
}

// take takes up to n permissions. wait says when there will be the next, if there are fewer.
func (p *pace) take(n int) (got int, wait time.Duration) {
	if p.rate == 0 {
		return n, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.has = min(p.has+now.Sub(p.last).Seconds()*p.rate, max(p.rate, 1))
	p.last = now
	got = min(n, int(p.has))
	p.has -= float64(got)
	if got < n {
		wait = time.Duration((1 - (p.has - float64(int(p.has)))) / p.rate * float64(time.Second))
	}
	return got, wait
}

// back returns what was not used.
func (p *pace) back(n int) {
	if p.rate == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.has += float64(n)
}
