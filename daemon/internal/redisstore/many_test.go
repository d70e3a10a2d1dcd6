package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// A daemon that serves one app asks Redis little while nothing happens.
func TestOneAppIsCheckedOnceASecond(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	d := start(t, redisstore.Config{URL: redistest.Start(t).URL()})
	r := cachetest.NewRecorder(t)
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
	// A log that begins is told of, also to who began it, who looks again.
	eventually(t, cachetest.Patience, "the second load", func() bool { return outcomes(t, d, "load", "ok") >= 2 })
	begun := time.Now()
	before := outcomes(t, d, "load", "ok")
	eventually(t, cachetest.Patience, "three seconds of checks", func() bool { return time.Since(begun) > 3*time.Second })
	loads, most := outcomes(t, d, "load", "ok")-before, uint64(time.Since(begun).Seconds())+1
	if loads == 0 || loads > most {
		t.Errorf("%d checks of its position in %v, want at most %d", loads, time.Since(begun), most)
	}
}

// Names of apps that nobody uses cost Redis a bounded number of commands.
func TestManyAppsAreCheckedInTurn(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	const apps = 1500
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL()})
	for i := range apps {
		eventually(t, cachetest.Patience, "an app is followed", func() bool {
			return d.Follow(t.Context(), fmt.Sprint("app", i), sharedFollower) == nil
		})
	}
	r := cachetest.NewRecorder(t)
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
	before, begun := outcomes(t, d, "load", "ok"), time.Now()
	eventually(t, cachetest.Patience, "two seconds of checks", func() bool { return time.Since(begun) > 2*time.Second })
	loads, most := outcomes(t, d, "load", "ok")-before, uint64(time.Since(begun).Seconds()*500)+50
	if loads == 0 || loads > most {
		t.Errorf("%d checks of positions in %v, want at most %d", loads, time.Since(begun), most)
	}
	// The last one has its turn too.
	server.CLI("FLUSHALL")
	r.Await(t, "that the log was lost", func(h cachetest.Heard) bool { return len(h.Loads) >= 2 })
}

// The tables of 10,000 tags and of one are loaded alike.
func TestALargeTableIsLoaded(t *testing.T) {
	f := newFleet(t)
	const tags = 10_000
	rs := make([]tag.Revalidation, 100)
	var p tag.Position
	for i := range tags / len(rs) {
		for j := range rs {
			rs[j] = tag.Revalidation{Tag: fmt.Sprintf("tag-%d-%d", i, j), Soft: j%2 == 0, Expire: time.Hour}
		}
		var err error
		if p, err = f.other.Append(t.Context(), "shop", rs); err != nil {
			t.Fatal(err)
		}
	}
	want := f.AwaitPosition(t, p).Snapshot
	late := start(t, redisstore.Config{URL: f.server.URL()})
	r := cachetest.NewRecorder(t)
	if err := late.Follow(t.Context(), "shop", r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, r.Heard().Snapshot, cmpopts.EquateEmpty()); diff != "" || len(want.Records) != tags {
		t.Errorf("%d records; a late follower differs:\n%.1000s", len(want.Records), diff)
	}
}
