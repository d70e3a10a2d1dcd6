package cachetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

func isUnavailable(err error) bool { return errors.Is(err, cache.ErrUnavailable) }

// ask is a read that wants the lease.
func ask(holder string, ttl time.Duration) cache.ReadOptions {
	return cache.ReadOptions{Lease: true, Holder: holder, TTL: ttl}
}

var leaseTests = []contractTest{
	{"one holder at a time, on every daemon", testLeaseIsExclusive},
	{"of many who ask at once one is granted", testConcurrentLeases},
	{"a lease ends with its time", func(f *fixture) {
		first := f.acquire("/p", ask("one", 60*time.Millisecond))
		var second cache.Reading
		f.eventually("the lease is over", func() bool {
			second = f.read(f.b, f.key("/p"), ask("two", time.Minute))
			return second.Granted
		})
		f.grown(first, second)
		if f.release(f.a, f.key("/p"), first.Token, 0) {
			f.Error("the holder before released the lease of the next")
		}
		if f.release(f.a, f.key("/p"), first.Token, time.Minute) {
			f.Error("the holder before delayed the next")
		}
	}},
	{"override takes the lease from whoever has it", func(f *fixture) {
		first := f.acquire("/p", ask("one", time.Minute))
		opt := ask("two", 30*time.Second)
		opt.Override = true
		second := f.acquire("/p", opt)
		f.grown(first, second)
		if second.Left > 30*time.Second || second.Left < 20*time.Second {
			f.Errorf("the lease lives for %v, 30s were asked for", second.Left)
		}
		if f.release(f.a, f.key("/p"), first.Token, 0) {
			f.Error("the lease that was taken could be released")
		}
		f.write(f.a, f.entry("/p", version(1, 1, 1)), cache.WriteOptions{Lease: first.Token})
		if !f.held("/p") {
			f.Error("a write with the lease that was taken ended its successor")
		}
	}},
	{"release gives the lease back, once", func(f *fixture) {
		first := f.acquire("/p", ask("one", time.Minute))
		if f.release(f.b, f.key("/p"), first.Token+1, 0) || f.release(f.b, f.key("/q"), first.Token, 0) {
			f.Error("a lease that nobody has was released")
		}
		if !f.release(f.b, f.key("/p"), first.Token, 0) || f.release(f.b, f.key("/p"), first.Token, 0) {
			f.Error("want true once, then false")
		}
		f.grown(first, f.acquire("/p", ask("two", time.Minute)))
	}},
	{"release with keep grants to nobody for that long", testReleaseWithKeep},
	{"a newer entry is returned instead of the lease", func(f *fixture) {
		v := version(1, 1, 5)
		f.write(f.a, f.entry("/p", v), cache.WriteOptions{})
		opt := ask("one", time.Minute)
		opt.Judged = version(1, 1, 4)
		if r := f.read(f.b, f.key("/p"), opt); r.Entry == nil || r.Granted || r.Held {
			f.Errorf("got %+v", r)
		}
		opt.Judged = v
		if r := f.read(f.b, f.key("/p"), opt); r.Entry != nil || !r.Granted {
			f.Errorf("for the version that is there: got %+v", r)
		}
	}},
	{"tokens exceed the version that is stored", func(f *fixture) {
		ahead := uint64(f.a.Now()+3_600_000) * 1000 // written when the store's clock was an hour ahead
		f.write(f.a, f.entry("/p", version(1, 1, ahead)), cache.WriteOptions{})
		judged := cache.ReadOptions{Judged: version(9, 0, 0)}
		if r := f.read(f.b, f.key("/p"), judged); r.Token <= ahead {
			f.Errorf("token %d to compete by, the stored one is %d", r.Token, ahead)
		}
		opt := ask("one", time.Minute)
		opt.Judged = judged.Judged
		if r := f.acquire("/p", opt); r.Token <= ahead {
			f.Errorf("token %d of the lease, the stored one is %d", r.Token, ahead)
		}
	}},
	{"tokens grow whatever ends the lease", testTokensGrow},
	{"a write ends its lease and no other", func(f *fixture) {
		first := f.acquire("/p", ask("one", time.Minute))
		f.write(f.a, f.entry("/p", version(1, 1, 1)), cache.WriteOptions{})
		f.write(f.a, f.entry("/p", version(1, 1, 2)), cache.WriteOptions{Lease: first.Token + 1})
		if !f.held("/p") {
			f.Error("a write without the lease ended it")
		}
		f.write(f.a, f.entry("/p", version(1, 1, 3)), cache.WriteOptions{Lease: first.Token})
		if f.held("/p") {
			f.Error("the holder's write did not end the lease")
		}
	}},
	{"a write that is refused ends its lease too", func(f *fixture) {
		first := f.acquire("/p", ask("one", time.Minute))
		f.write(f.a, f.entry("/p", version(1, 1, 9)), cache.WriteOptions{})
		if f.write(f.a, f.entry("/p", version(1, 1, 3)), cache.WriteOptions{Lease: first.Token}) {
			f.Error("not refused")
		}
		if f.held("/p") {
			f.Error("the lease is still held, by nobody who works")
		}
	}},
	{"reading without a lease leaves it alone", func(f *fixture) {
		if f.read(f.a, f.key("/p"), cache.ReadOptions{Holder: "one", TTL: time.Minute}); f.held("/p") {
			f.Error("granted although nobody asked")
		}
	}},
}

func (f *fixture) acquire(name string, opt cache.ReadOptions) cache.Reading {
	f.Helper()
	r := f.read(f.b, f.key(name), opt)
	if !r.Granted || r.Held || r.Kept || r.Left <= 0 || r.Left > opt.TTL {
		f.Fatalf("no lease of %q: %+v", name, r)
	}
	return r
}

// held reports whether somebody has the lease, and that all see it alike.
func (f *fixture) held(name string) bool {
	f.Helper()
	a, b := f.read(f.a, f.key(name), cache.ReadOptions{}), f.read(f.b, f.key(name), cache.ReadOptions{})
	if a.Held != b.Held || a.Held != (a.Left > 0) {
		f.Errorf("one daemon says %+v, another %+v", a, b)
	}
	return a.Held
}

func (f *fixture) grown(first, second cache.Reading) {
	f.Helper()
	if second.Token <= first.Token {
		f.Errorf("token %d after %d", second.Token, first.Token)
	}
}

func testLeaseIsExclusive(f *fixture) {
	first := f.acquire("/p", ask("one", time.Minute))
	for _, s := range []cache.Store{f.a, f.b} {
		for _, holder := range []string{"one", "two", ""} {
			r := f.read(s, f.key("/p"), ask(holder, time.Second))
			if r.Granted || !r.Held || r.Kept {
				f.Errorf("%q while it is held: %+v", holder, r)
			}
			if r.Left <= 50*time.Second || r.Left > time.Minute {
				f.Errorf("%v left of a minute", r.Left)
			}
			f.grown(first, r)
		}
	}
	f.acquire("/q", ask("two", time.Minute))
}

func testConcurrentLeases(f *fixture) {
	for round := range 20 {
		var (
			wg      sync.WaitGroup
			mu      sync.Mutex
			granted int
		)
		for i := range 8 {
			s := []Backend{f.a, f.b}[i%2]
			wg.Go(func() {
				r, err := s.Read(f.Context(), f.key(fmt.Sprint("/p", round)), ask(fmt.Sprint(i), time.Minute))
				if err != nil {
					f.Error(err)
				}
				if r.Granted == r.Held {
					f.Errorf("neither granted nor held, or both: %+v", r)
				}
				mu.Lock()
				defer mu.Unlock()
				if r.Granted {
					granted++
				}
			})
		}
		wg.Wait()
		if granted != 1 {
			f.Fatalf("%d holders at once", granted)
		}
	}
}

func testReleaseWithKeep(f *fixture) {
	const keep = 150 * time.Millisecond
	first := f.acquire("/p", ask("one", time.Minute))
	began := time.Now()
	if !f.release(f.a, f.key("/p"), first.Token, keep) {
		f.Fatal("not released")
	}
	if r := f.read(f.b, f.key("/p"), ask("one", time.Minute)); time.Since(began) < keep && (r.Granted || !r.Held || !r.Kept || r.Left > keep) {
		f.Errorf("within the delay: %+v", r)
	}
	if r := f.read(f.a, f.key("/p"), cache.ReadOptions{}); time.Since(began) < keep && (!r.Held || !r.Kept) {
		f.Errorf("for who does not ask for the lease, within the delay: %+v", r)
	}
	if f.release(f.a, f.key("/p"), first.Token, 0) {
		f.Error("the delay was ended by a second release")
	}
	var second cache.Reading
	f.eventually("the delay is over", func() bool {
		second = f.read(f.b, f.key("/p"), ask("two", time.Minute))
		return second.Granted
	})
	if took := time.Since(began); took < keep-10*time.Millisecond {
		f.Errorf("granted after %v, within the delay of %v", took, keep)
	}
	f.grown(first, second)
}

func testTokensGrow(f *fixture) {
	last := f.acquire("/p", ask("one", time.Minute))
	for i := range 50 {
		opt := ask("one", time.Minute)
		switch i % 3 {
		case 0:
			f.release(f.a, f.key("/p"), last.Token, 0)
		case 1:
			opt.Override = true
		case 2:
			f.write(f.a, f.entry("/p", version(1, uint64(i), 1)), cache.WriteOptions{Lease: last.Token})
		}
		opt.Judged = version(2, 0, 0)
		next := f.acquire("/p", opt)
		f.grown(last, next)
		last = next
	}
}
