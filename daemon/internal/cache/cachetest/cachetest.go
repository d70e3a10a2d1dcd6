// Package cachetest holds what every cache.Store and cache.Log must do, as tests: one contract, every implementation.
package cachetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// Backend is what an implementation is tested as. It must be running.
type Backend interface {
	cache.Store
	cache.Log
}

// Open gives the stores of several daemons that share their data, or the one there can be. They are running, and are
// stopped with the test. Data of earlier tests may be there: every test uses an app of its own.
type Open func(t *testing.T) []Backend

// Store runs the whole contract.
func Store(t *testing.T, open Open) {
	for _, group := range []struct {
		name     string
		tests    []contractTest
		parallel bool // they wait for a second or two
	}{
		{"Entries", entryTests, false}, {"Leases", leaseTests, false}, {"Claims", claimTests, false}, {"Log", logTests, false}, {"Members", memberTests, true},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					if group.parallel {
						t.Parallel()
					}
					test.run(newFixture(t, open))
				})
			}
		})
	}
}

type contractTest struct {
	name string
	run  func(*fixture)
}

// patience bounds every wait for something that is sure to happen.
const patience = 10 * time.Second

// fixture is one test's stores and its app. Two daemons are enough to see what passes between them; where there can be
// only one, a and b are the same.
type fixture struct {
	*testing.T
	a, b Backend
	app  string
}

func newFixture(t *testing.T, open Open) *fixture {
	t.Helper()
	stores := open(t)
	// Braces and blanks are part of the contract: an app may be called anything.
	app := fmt.Sprintf("shop {%s} %%", strings.ToLower(rand.Text()[:8]))
	return &fixture{T: t, a: stores[0], b: stores[len(stores)-1], app: app}
}

func (f *fixture) key(name string) cache.Key {
	return cache.Key{App: f.app, Build: "build-1", Space: cache.Route, Name: name}
}

func version(epoch, seq, token uint64) cache.Version {
	return cache.Version{Epoch: epoch, Seq: seq, Token: token}
}

// entry is one with everything in it that an implementation could get wrong.
func (f *fixture) entry(name string, v cache.Version) *cache.Entry {
	return &cache.Entry{
		Key:      f.key(name),
		Version:  v,
		Lifetime: cache.Lifetime{Revalidate: 1500 * time.Millisecond, Expire: time.Hour},
		Tags:     []string{"_N_T_/layout", "products", "\x00key:x", "größe", "\xff"},
		Meta:     []byte("meta \x00\xff\n"),
		Parts:    [][]byte{[]byte(strings.Repeat("<li>product</li>\n", 500)), {}, []byte("isrd/1 \x00\xff")},
	}
}

func (f *fixture) write(s cache.Store, e *cache.Entry, opt cache.WriteOptions) bool {
	f.Helper()
	stored, err := s.Write(f.Context(), e, opt)
	if err != nil {
		f.Fatal(err)
	}
	return stored
}

func (f *fixture) read(s cache.Store, key cache.Key, opt cache.ReadOptions) cache.Reading {
	f.Helper()
	r, err := s.Read(f.Context(), key, opt)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func (f *fixture) release(s cache.Store, key cache.Key, token uint64, keep time.Duration) bool {
	f.Helper()
	released, err := s.Release(f.Context(), key, token, cache.ReleaseOptions{Keep: keep})
	if err != nil {
		f.Fatal(err)
	}
	return released
}

// wantVersion says which version both daemons see; zero: none.
func (f *fixture) wantVersion(name string, want cache.Version) {
	f.Helper()
	for _, s := range []cache.Store{f.a, f.b} {
		var got cache.Version
		if e := f.read(s, f.key(name), cache.ReadOptions{}).Entry; e != nil {
			got = e.Version
		}
		if got != want {
			f.Errorf("version of %q: got %v, want %v", name, got, want)
		}
	}
}

// eventually repeats a look until it is content.
func (f *fixture) eventually(what string, look func() bool) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// same compares entries by all but Created.
func (f *fixture) same(got, want *cache.Entry) {
	f.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(cache.Entry{}, "Created"), cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("entry is not what was written (-want +got):\n%s", diff)
	}
}
