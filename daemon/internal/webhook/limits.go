package webhook

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// What strangers may send.
const (
	// badRate and badBurst are the requests of one source in a second that show no valid token or signature.
	badRate, badBurst = 10, 50
	// badRateAll and badBurstAll are those of all sources.
	badRateAll, badBurstAll = 100, 500
	// maxSources bounds the sources that are counted; who was silent longest is forgotten.
	maxSources = 4096
	// maxCommon bounds a body from a source that has sent too many of them, or from any if all have. So a request with a
	// valid signature is taken even from behind the same proxy, and one without costs the hash of so much. Bodies of that
	// size are bounded by the connections alone: those that are announced and do not arrive take no room from them.
	maxCommon = 64 << 10
	// budget is how many bodies of the largest size there may be at a time, beside those.
	budget = 64
)

// limits counts what comes from strangers, and what bodies take.
type limits struct {
	sources *lru.Cache[netip.Prefix, *rate.Limiter]
	all     *rate.Limiter

	mu   sync.Mutex
	left int64
}

func newLimits(maxBytes int64) *limits {
	sources, err := lru.New[netip.Prefix, *rate.Limiter](maxSources)
	if err != nil {
		panic(err) // the size is a constant
	}
	return &limits{sources: sources, all: rate.NewLimiter(badRateAll, badBurstAll), left: budget * maxBytes}
}

// suspect says that a source, or all of them, have sent too much.
func (l *limits) suspect(from netip.Prefix, now time.Time) bool {
	if l.all.TokensAt(now) < 1 {
		return true
	}
	one, ok := l.sources.Get(from)
	return ok && one.TokensAt(now) < 1
}

// bad counts a bad request. False: there were too many.
func (l *limits) bad(from netip.Prefix, now time.Time) bool {
	one, ok := l.sources.Get(from)
	if !ok {
		one = rate.NewLimiter(badRate, badBurst)
		if before, was, _ := l.sources.PeekOrAdd(from, one); was {
			one = before
		}
	}
	return one.AllowN(now, 1) && l.all.AllowN(now, 1)
}

// reserve keeps room for a body. False: there is none.
func (l *limits) reserve(n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.left {
		return false
	}
	l.left -= n
	return true
}

func (l *limits) release(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left += n
}

// deliveries are those that were taken lately, by their signatures.
type deliveries struct {
	mu     sync.Mutex
	until  map[[32]byte]time.Time
	looked time.Time // for those that are over
}

// maxDeliveries bounds them: at the default rate, twice those of the default window.
const maxDeliveries = 64 << 10

func newDeliveries() *deliveries { return &deliveries{until: make(map[[32]byte]time.Time)} }

// claim takes a delivery that counts until a time.
func (d *deliveries) claim(mac [32]byte, now, until time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.looked) > time.Second {
		d.looked = now
		for m, t := range d.until {
			if t.Before(now) {
				delete(d.until, m)
			}
		}
	}
	if _, taken := d.until[mac]; taken {
		return refuse(http.StatusConflict, "replayed", "this delivery was taken already")
	}
	if len(d.until) >= maxDeliveries {
		return refuse(http.StatusTooManyRequests, "rate_limited", "too many named deliveries in the window; send it again later")
	}
	d.until[mac] = until
	return nil
}

// release forgets a delivery that was not taken after all.
func (d *deliveries) release(mac [32]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.until, mac)
}
