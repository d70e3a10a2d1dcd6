package cachetest

import (
	"bytes"
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

var entryTests = []contractTest{
	{"an absent key", func(f *fixture) {
		r := f.read(f.a, f.key("/none"), cache.ReadOptions{})
		if r.Entry != nil || r.Granted || r.Held || r.Left != 0 {
			f.Errorf("got %+v", r)
		}
		if now := uint64(f.a.Now()) * 1000; r.Token < now-1_000_000 || r.Token > now+1_000_000 {
			f.Errorf("token %d to compete by is not near the clock's microseconds, %d", r.Token, now)
		}
	}},
	{"what was written is read, by every daemon", testRoundTrip},
	{"created by the store's clock, not the writer's", testCreated},
	{"a newer version replaces, the same and an older one are refused", testVersionOrder},
	{"only what is newer than judged is returned", func(f *fixture) {
		v := version(5, 6, 7)
		f.write(f.a, f.entry("/p", v), cache.WriteOptions{})
		for judged, want := range map[cache.Version]bool{
			{}: true, version(5, 6, 6): true, version(5, 5, 9): true, version(4, 9, 9): true,
			v: false, version(5, 6, 8): false, version(5, 7, 0): false, version(6, 0, 0): false,
		} {
			if got := f.read(f.b, f.key("/p"), cache.ReadOptions{Judged: judged}).Entry != nil; got != want {
				f.Errorf("judged %v: entry %v returned: %v, want %v", judged, v, got, want)
			}
		}
	}},
	{"versions are compared as numbers of 64 bits", func(f *fixture) {
		// Above 2^53 a double cannot tell neighbours apart.
		const big = 1<<53 - 2
		f.write(f.a, f.entry("/p", version(big, big, big)), cache.WriteOptions{})
		if !f.write(f.a, f.entry("/p", version(big, big, big+1)), cache.WriteOptions{}) {
			f.Error("the next token was refused")
		}
		if f.write(f.a, f.entry("/p", version(big, big-1, big+1)), cache.WriteOptions{}) {
			f.Error("an older seq was taken")
		}
	}},
	{"only if absent", func(f *fixture) {
		seed := cache.WriteOptions{OnlyIfAbsent: true}
		if !f.write(f.a, f.entry("/p", version(1, 1, 5)), seed) {
			f.Error("refused although there was nothing")
		}
		if f.write(f.b, f.entry("/p", version(1, 1, 9)), seed) {
			f.Error("taken although there was something, if older")
		}
		f.wantVersion("/p", version(1, 1, 5))
	}},
	{"made before it is written, never after", func(f *fixture) {
		now := f.a.Now()
		for name, made := range map[string]int64{"/early": now - 5000, "/late": now + 3_600_000, "/now": 0} {
			f.write(f.a, f.entry(name, version(1, 1, 5)), cache.WriteOptions{Created: made})
			got := f.read(f.b, f.key(name), cache.ReadOptions{}).Entry
			if early := made > 0 && made < now; got == nil || early != (got.Created == made) || !early && (got.Created < now || got.Created > now+60_000) {
				f.Errorf("%s was made at %+d: %+v", name, made-now, got)
			}
		}
	}},
	{"an entry ends with its lifetime, and its version with it", func(f *fixture) {
		e := f.entry("/p", version(1, 1, 9))
		e.Lifetime = cache.Lifetime{Revalidate: cache.Unlimited, Expire: 50 * time.Millisecond}
		f.write(f.a, e, cache.WriteOptions{})
		f.eventually("the entry is gone", func() bool { return f.read(f.b, e.Key, cache.ReadOptions{}).Entry == nil })
		if !f.write(f.a, f.entry("/p", version(1, 1, 1)), cache.WriteOptions{OnlyIfAbsent: true}) {
			f.Error("what is over still refuses a write")
		}
		f.wantVersion("/p", version(1, 1, 1))
	}},
	{"a lifetime without limits", func(f *fixture) {
		e := f.entry("/p", version(1, 1, 1))
		e.Lifetime = cache.Lifetime{Revalidate: cache.Unlimited, Expire: cache.Unlimited}
		f.write(f.a, e, cache.WriteOptions{})
		f.same(f.read(f.b, e.Key, cache.ReadOptions{}).Entry, e)
	}},
	{"apps, builds and spaces do not meet", testIsolation},
	{"a large entry", func(f *fixture) {
		e := f.entry("/large", version(1, 1, 1))
		noise := make([]byte, 4<<20)
		if _, err := rand.Read(noise); err != nil {
			f.Fatal(err)
		}
		e.Parts = [][]byte{noise, make([]byte, 4<<20)}
		f.write(f.a, e, cache.WriteOptions{})
		got := f.read(f.b, e.Key, cache.ReadOptions{}).Entry
		if got == nil || len(got.Parts) != 2 || !bytes.Equal(got.Parts[0], e.Parts[0]) || !bytes.Equal(got.Parts[1], e.Parts[1]) {
			f.Error("not what was written")
		}
	}},
	{"of many writers at once the newest wins, on every daemon", testConcurrentWrites},
	{"nothing is done for who has gone", func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		if _, err := f.a.Read(ctx, f.key("/p"), cache.ReadOptions{}); !isUnavailable(err) {
			f.Errorf("read: %v", err)
		}
		if _, err := f.a.Write(ctx, f.entry("/p", version(1, 1, 1)), cache.WriteOptions{}); !isUnavailable(err) {
			f.Errorf("write: %v", err)
		}
		if _, err := f.a.Release(ctx, f.key("/p"), 1, cache.ReleaseOptions{}); !isUnavailable(err) {
			f.Errorf("release: %v", err)
		}
		if _, err := f.a.Append(ctx, f.app, nil); !isUnavailable(err) {
			f.Errorf("append: %v", err)
		}
	}},
}

func testRoundTrip(f *fixture) {
	full := f.entry("/full", version(1, 2, 3))
	bare := &cache.Entry{Key: f.key("/bare"), Version: version(1, 2, 3), Lifetime: cache.Lifetime{Expire: time.Hour}}
	odd := f.entry("/a b/{c}/日本?\x00\n"+string(bytes.Repeat([]byte("x"), 60_000)), version(1<<40, 0, 1))
	for _, e := range []*cache.Entry{full, bare, odd} {
		if !f.write(f.a, e, cache.WriteOptions{}) {
			f.Errorf("%.20q was refused", e.Key.Name)
		}
		for _, s := range []cache.Store{f.a, f.b} {
			f.same(f.read(s, e.Key, cache.ReadOptions{}).Entry, e)
		}
	}
}

func testCreated(f *fixture) {
	e := f.entry("/p", version(1, 1, 1))
	e.Created = 42
	before := f.a.Now()
	f.write(f.a, e, cache.WriteOptions{})
	got := f.read(f.b, e.Key, cache.ReadOptions{}).Entry
	// Two estimates of one clock: they may differ by a round trip.
	const slack = 1000
	if got.Created < before-slack || got.Created > f.b.Now()+slack {
		f.Errorf("created at %d, between %d and %d by the store's clock", got.Created, before, f.b.Now())
	}
	if e.Created != 42 {
		f.Error("the caller's entry was changed")
	}
	if age := got.Age(f.b.Now()); age > patience {
		f.Errorf("the entry is %v old", age)
	}
}

func testVersionOrder(f *fixture) {
	var is cache.Version
	for _, step := range []struct {
		v      cache.Version
		stored bool
	}{
		{version(5, 5, 5), true},
		{version(5, 5, 5), false},
		{version(5, 5, 4), false},
		{version(5, 4, 9), false},
		{version(4, 9, 9), false},
		{version(5, 5, 6), true},
		{version(5, 6, 0), true},
		{version(5, 5, 99), false},
		{version(5, 16, 0), true}, // 0x10 > 0x6, although "6" > "10"
		{version(6, 0, 0), true},
		{version(5, 99, 99), false},
	} {
		if got := f.write(f.a, f.entry("/p", step.v), cache.WriteOptions{}); got != step.stored {
			f.Errorf("write of %v over %v: stored %v, want %v", step.v, is, got, step.stored)
		}
		if step.stored {
			is = step.v
		}
		f.wantVersion("/p", is)
	}
}

func testIsolation(f *fixture) {
	e := f.entry("/p", version(1, 1, 1))
	f.write(f.a, e, cache.WriteOptions{})
	for name, change := range map[string]func(*cache.Key){
		"app":   func(k *cache.Key) { k.App += "x" },
		"build": func(k *cache.Key) { k.Build = "build-2" },
		"space": func(k *cache.Key) { k.Space = cache.Fetch },
		"name":  func(k *cache.Key) { k.Name = "/q" },
	} {
		k := e.Key
		change(&k)
		if got := f.read(f.b, k, cache.ReadOptions{}).Entry; got != nil {
			f.Errorf("another %s: read %v", name, got.Key)
		}
	}
	fetch := f.entry("/data", version(1, 1, 1))
	fetch.Key.Space = cache.Fetch
	f.write(f.a, fetch, cache.WriteOptions{})
	fetch.Key.Build = "build-2"
	if f.read(f.b, fetch.Key, cache.ReadOptions{}).Entry == nil {
		f.Error("a fetch is not shared by the builds of an app")
	}
}

func testConcurrentWrites(f *fixture) {
	order := mathrand.Perm(60)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		wins = make(map[uint64]int)
	)
	for worker := range 6 {
		s := []Backend{f.a, f.b}[worker%2]
		wg.Go(func() {
			for i := worker; i < len(order); i += 3 { // every version twice, by different writers
				v := version(1, 1, uint64(order[i]+1))
				stored, err := s.Write(f.Context(), f.entry("/p", v), cache.WriteOptions{})
				if err != nil {
					f.Error(err)
				}
				if stored {
					mu.Lock()
					wins[v.Token]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	f.wantVersion("/p", version(1, 1, 60))
	for token, n := range wins {
		if n > 1 {
			f.Errorf("version %d was stored %d times", token, n)
		}
	}
}
