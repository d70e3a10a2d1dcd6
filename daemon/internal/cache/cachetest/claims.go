package cachetest

import (
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// claimTests are about leases that live on, those that change hands, and keys that are not worth one.
var claimTests = []contractTest{
	{"renewing lets a lease live on", func(f *fixture) {
		first := f.acquire("/p", ask("one", 10*time.Second))
		if !f.renew(f.a, "/p", first.Token, time.Minute) {
			f.Fatal("the lease could not be renewed")
		}
		if r := f.read(f.b, f.key("/p"), ask("two", time.Minute)); r.Granted || r.Left <= 50*time.Second || r.Left > time.Minute {
			f.Errorf("renewed for a minute: %+v", r)
		}
		if !f.release(f.b, f.key("/p"), first.Token, 0) {
			f.Error("the renewed lease has another token")
		}
	}},
	{"renewing may shorten what is left", func(f *fixture) {
		first := f.acquire("/p", ask("one", time.Minute))
		if !f.renew(f.a, "/p", first.Token, 60*time.Millisecond) {
			f.Fatal("the lease could not be renewed")
		}
		f.eventually("the lease is over", func() bool { return f.read(f.b, f.key("/p"), ask("two", time.Minute)).Granted })
		if f.renew(f.a, "/p", first.Token, time.Minute) {
			f.Error("the next holder's lease was renewed with the old token")
		}
	}},
	{"only a lease that lives is renewed", func(f *fixture) {
		first := f.acquire("/p", ask("one", time.Minute))
		if f.renew(f.b, "/p", first.Token+1, time.Hour) || f.renew(f.b, "/q", first.Token, time.Hour) || f.renew(f.b, "/q", 0, time.Hour) {
			f.Error("a lease that nobody has was renewed")
		}
		f.release(f.a, f.key("/p"), first.Token, time.Minute)
		if f.renew(f.b, "/p", first.Token, time.Hour) {
			f.Error("the delay before the next try was renewed like a lease")
		}
		if r := f.read(f.a, f.key("/p"), cache.ReadOptions{}); !r.Kept || r.Left > time.Minute {
			f.Errorf("got %+v", r)
		}
	}},
	{"a claim hands a living lease over", func(f *fixture) {
		first := f.acquire("/p", ask("one", 30*time.Second))
		second := f.claim(f.a, "/p", first.Token)
		if second <= first.Token {
			f.Fatalf("token %d after %d", second, first.Token)
		}
		if r := f.read(f.b, f.key("/p"), ask("two", time.Minute)); r.Granted || !r.Held || r.Left <= 50*time.Second || r.Left > time.Minute {
			f.Errorf("claimed for a minute: %+v", r)
		}
		// What is left of the session before cannot end it, nor claim it again.
		if f.release(f.b, f.key("/p"), first.Token, 0) || f.renew(f.b, "/p", first.Token, time.Hour) || f.claim(f.b, "/p", first.Token) != 0 {
			f.Error("the old token still counts")
		}
		f.write(f.b, f.entry("/p", version(1, 1, 1)), cache.WriteOptions{Lease: first.Token})
		if !f.held("/p") {
			f.Error("a write with the old token ended the lease")
		}
		if !f.release(f.b, f.key("/p"), second, 0) {
			f.Error("the new token does not count")
		}
	}},
	{"a lease that ended can be claimed while nobody has it", func(f *fixture) {
		first := f.acquire("/p", ask("one", time.Minute))
		f.release(f.a, f.key("/p"), first.Token, 0)
		f.write(f.a, f.entry("/p", version(9, 9, first.Token-1)), cache.WriteOptions{})
		second := f.claim(f.b, "/p", first.Token)
		if second <= first.Token || !f.held("/p") {
			f.Errorf("token %d after %d", second, first.Token)
		}
	}},
	{"what another has, or what was filled, cannot be claimed", testClaimRefused},
	{"renders that end without a write make a key uncacheable", func(f *fixture) {
		f.exhaust("/p", cache.UncacheableAfter)
		for _, opt := range []cache.ReadOptions{{}, ask("two", time.Minute)} {
			r := f.read(f.a, f.key("/p"), opt)
			if !r.Uncacheable || !r.Held || r.Granted || r.Kept || r.Left <= cache.UncacheableFor-10*time.Second || r.Left > cache.UncacheableFor {
				f.Errorf("got %+v", r)
			}
		}
		if r := f.read(f.a, f.key("/q"), ask("two", time.Minute)); r.Uncacheable || !r.Granted {
			f.Errorf("another key: %+v", r)
		}
	}},
	{"not with one less, and not with renders that failed", func(f *fixture) {
		f.exhaust("/p", cache.UncacheableAfter-1)
		for range cache.UncacheableAfter {
			f.release(f.a, f.key("/p"), f.acquire("/p", ask("one", time.Minute)).Token, 0)
		}
		if r := f.read(f.a, f.key("/p"), cache.ReadOptions{}); r.Uncacheable || r.Held {
			f.Errorf("got %+v", r)
		}
		f.exhaust("/p", 1)
		if r := f.read(f.a, f.key("/p"), cache.ReadOptions{}); !r.Uncacheable {
			f.Errorf("renders that failed between: %+v", r)
		}
	}},
	{"a lease that was not held does not count", func(f *fixture) {
		f.exhaust("/p", cache.UncacheableAfter-1)
		if f.complete("/p", 1) {
			f.Error("a lease that nobody has was released")
		}
		if r := f.read(f.a, f.key("/p"), cache.ReadOptions{}); r.Uncacheable {
			f.Errorf("got %+v", r)
		}
	}},
	{"a write makes a key cacheable again", func(f *fixture) {
		f.exhaust("/p", cache.UncacheableAfter)
		f.write(f.a, f.entry("/p", version(1, 1, 5)), cache.WriteOptions{})
		if f.held("/p") {
			f.Error("still uncacheable")
		}
		f.exhaustJudged("/p", cache.UncacheableAfter-1, version(1, 1, 5))
		f.write(f.a, f.entry("/p", version(1, 1, 6)), cache.WriteOptions{})
		f.exhaustJudged("/p", 1, version(1, 1, 6))
		if f.held("/p") {
			f.Error("renders from before the write were counted")
		}
	}},
	{"a write that is refused does not", func(f *fixture) {
		f.write(f.a, f.entry("/p", version(1, 1, 5)), cache.WriteOptions{})
		f.exhaustJudged("/p", cache.UncacheableAfter, version(1, 1, 5))
		f.write(f.a, f.entry("/p", version(1, 1, 4)), cache.WriteOptions{})
		if !f.read(f.b, f.key("/p"), cache.ReadOptions{}).Uncacheable {
			f.Error("cacheable, although nothing was stored")
		}
	}},
	{"override makes a key cacheable again", func(f *fixture) {
		f.exhaust("/p", cache.UncacheableAfter)
		opt := ask("two", time.Minute)
		opt.Override = true
		f.release(f.a, f.key("/p"), f.acquire("/p", opt).Token, 0)
		f.exhaust("/p", 1)
		if f.held("/p") {
			f.Error("renders from before were counted")
		}
	}},
	{"a key that is uncacheable cannot be renewed, claimed or released", func(f *fixture) {
		last := f.exhaust("/p", cache.UncacheableAfter)
		if f.renew(f.a, "/p", last, time.Hour) || f.claim(f.a, "/p", last) != 0 || f.release(f.a, f.key("/p"), last, 0) {
			f.Error("the last holder's token still counts")
		}
		if !f.read(f.b, f.key("/p"), cache.ReadOptions{}).Uncacheable {
			f.Error("no longer uncacheable")
		}
	}},
}

func testClaimRefused(f *fixture) {
	first := f.acquire("/p", ask("one", time.Minute))
	opt := ask("two", time.Minute)
	opt.Override = true
	second := f.acquire("/p", opt)
	if f.claim(f.a, "/p", first.Token) != 0 {
		f.Error("the next holder's lease was claimed")
	}
	f.release(f.a, f.key("/p"), second.Token, time.Minute)
	if f.claim(f.a, "/p", second.Token) != 0 {
		f.Error("a lease that was given back, to be kept from all, was claimed")
	}
	for name, token := range map[string]func(lease uint64) uint64{
		"/own":   func(lease uint64) uint64 { return lease },
		"/later": func(lease uint64) uint64 { return lease + 1 },
	} {
		lease := f.acquire(name, ask("one", time.Minute)).Token
		f.write(f.a, f.entry(name, version(1, 1, token(lease))), cache.WriteOptions{Lease: lease})
		if f.claim(f.b, name, lease) != 0 || f.held(name) {
			f.Errorf("%s: claimed although the key was filled", name)
		}
	}
}

func (f *fixture) renew(s cache.Store, name string, token uint64, ttl time.Duration) bool {
	f.Helper()
	renewed, err := s.Renew(f.Context(), f.key(name), token, ttl)
	if err != nil {
		f.Fatal(err)
	}
	return renewed
}

// claim asks for a minute.
func (f *fixture) claim(s cache.Store, name string, token uint64) uint64 {
	f.Helper()
	token, err := s.Claim(f.Context(), f.key(name), token, cache.ClaimOptions{Holder: "heir", TTL: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	return token
}

func (f *fixture) complete(name string, token uint64) bool {
	f.Helper()
	released, err := f.a.Release(f.Context(), f.key(name), token, cache.ReleaseOptions{Completed: true})
	if err != nil {
		f.Fatal(err)
	}
	return released
}

// exhaust renders a key so many times without a write, and returns the last lease.
func (f *fixture) exhaust(name string, times int) uint64 {
	f.Helper()
	return f.exhaustJudged(name, times, cache.Version{})
}

func (f *fixture) exhaustJudged(name string, times int, judged cache.Version) (token uint64) {
	f.Helper()
	for range times {
		opt := ask("one", time.Minute)
		opt.Judged = judged
		token = f.acquire(name, opt).Token
		if !f.complete(name, token) {
			f.Fatalf("the lease of %q had ended", name)
		}
	}
	return token
}
