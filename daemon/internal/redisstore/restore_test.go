package redisstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// newPair is a fleet of which both daemons follow.
func newPair(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	if err := f.other.Follow(t.Context(), "shop", cachetest.NewRecorder(t)); err != nil {
		t.Fatal(err)
	}
	return f
}

// vouch proves until d is vouched for.
func (f *fleet) vouch(d *daemon) (until time.Time) {
	f.Helper()
	eventually(f, cachetest.Patience, "the daemon is vouched for", func() bool {
		var err error
		until, err = d.Prove(f.Context(), "shop", tag.Position{})
		return err == nil && time.Until(until) > cache.Bound/2
	})
	return until
}

// rounds runs a test of something that is so for about a second, or that must come in time. A machine that stands still for
// longer says nothing of it: then a round says what was wrong, and there is another, on a fleet of its own. It fails if that
// is so three times in a row.
func rounds(t *testing.T, round func() (late string)) {
	t.Helper()
	for range 2 {
		late := round()
		if late == "" {
			return
		}
		t.Log("another round: " + late)
	}
	if late := round(); late != "" {
		t.Error("three times in a row: " + late)
	}
}

// save keeps what the log is now, lag puts it back as another server would have it: a replica that was behind, or a
// snapshot that was loaded.
func (f *fleet) save() {
	f.Helper()
	f.server.CLI("EVAL", `redis.call('COPY', KEYS[1], KEYS[2], 'REPLACE') return 'OK'`, "2", logKey, logKey+":saved")
}

func (f *fleet) lag(server string) {
	f.Helper()
	f.server.CLI("EVAL", `
		redis.call('DEL', KEYS[3])
		redis.call('COPY', KEYS[2], KEYS[1], 'REPLACE')
		redis.call('HSET', KEYS[1], 'server', ARGV[1])
		return 'OK'`, "3", logKey, logKey+":saved", eventsKey, server)
}

// late is what a daemon loads that comes now.
func (f *fleet) late() tag.Snapshot {
	f.Helper()
	r := cachetest.NewRecorder(f)
	d := start(f, redisstore.Config{URL: f.server.URL()})
	defer d.stop()
	eventually(f, cachetest.Patience, "the log is followed", func() bool { return d.Follow(f.Context(), "shop", r) == nil })
	return r.Heard().Snapshot
}

// judge is what the snapshot says of content from p with that tag.
func judge(s tag.Snapshot, p tag.Position, now int64, tags ...string) tag.Freshness {
	var m tag.Manifest
	m.Load(s)
	return m.Judge(p.Epoch, p.Seq, now, tags)
}

func TestALogThatWasLostIsRestoredByWhoWasVouchedFor(t *testing.T) {
	rounds(t, func() string { return restoredByWhoWasVouchedFor(t) })
}

func restoredByWhoWasVouchedFor(t *testing.T) (late string) {
	t.Helper()
	f := newFleet(t)
	before := f.append("t")
	p, err := f.other.Append(t.Context(), "shop", []tag.Revalidation{{Tag: "soft", Soft: true, Expire: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	f.AwaitPosition(t, p)
	until := f.vouch(f.follower)
	f.server.CLI("DEL", logKey, eventsKey)
	after := f.append("new") // by somebody who knows nothing of the log before
	h := f.Await(t, "another epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > p.Epoch })
	if h.Snapshot.Past[p.Epoch] != p.Seq && time.Now().After(until) {
		return "it noticed when it was not vouched for any more"
	}
	h = f.Await(t, "what was lost", func(h cachetest.Heard) bool { return h.Snapshot.Past[p.Epoch] == p.Seq })
	if _, ok := h.Snapshot.Past[after.Epoch]; !ok || len(h.Snapshot.Records) != 3 {
		t.Errorf("past %v, records %v", h.Snapshot.Past, h.Snapshot.Records)
	}
	for _, s := range []tag.Snapshot{h.Snapshot, f.late()} {
		now := f.other.Now()
		for _, tc := range []struct {
			at   tag.Position
			tag  string
			want tag.Freshness
		}{
			{before, "quiet", tag.Fresh}, {before, "t", tag.Fresh}, {before, "soft", tag.Stale}, {before, "new", tag.Expired},
			{p, "soft", tag.Fresh}, {p, "new", tag.Expired}, {after, "new", tag.Fresh}, {after, "t", tag.Fresh},
			{tag.Position{Epoch: before.Epoch, Seq: before.Seq - 1}, "t", tag.Expired},
			{tag.Position{Epoch: p.Epoch, Seq: p.Seq + 1}, "quiet", tag.Expired}, // nobody explains it
		} {
			if got := judge(s, tc.at, now, tc.tag); got != tc.want {
				t.Errorf("content from %v with tag %q is %v, want %v; by %+v", tc.at, tc.tag, got, tc.want, s)
			}
		}
	}
	if q := f.append("next"); q.Epoch != f.AwaitPosition(t, q).Snapshot.Position.Epoch || q.Seq <= after.Seq {
		t.Errorf("the log goes on at %v after %v", q, after)
	}
	return ""
}

// Who is not vouched for may have missed what others were told of.
func TestALogThatWasLostIsNotRestoredByWhoMayHaveMissedSomething(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	f := newFleet(t)
	p := f.AwaitPosition(t, f.append("t")).Snapshot.Position
	until := f.vouch(f.follower)
	eventually(t, cachetest.Patience, "it is not vouched for any more", func() bool { return time.Now().After(until) })
	f.server.CLI("DEL", logKey, eventsKey)
	h := f.Await(t, "another epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > p.Epoch })
	if s := f.late(); len(s.Past) != 0 || remembered(s) != 0 || len(h.Snapshot.Past) != 0 {
		t.Errorf("restored: %+v", s)
	}
}

// remembered counts the tags of a log, but for the word that some were forgotten.
func remembered(s tag.Snapshot) int {
	n := len(s.Records)
	if _, ok := s.Records[tag.Forgotten]; ok {
		n--
	}
	return n
}

// Two histories of one epoch: what was rendered in either cannot be judged by the table of the other.
func TestALogThatHasAnotherPastIsNotRestored(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	f := newFleet(t)
	f.append("a")
	f.save()
	p := f.AwaitPosition(t, f.append("lost")).Snapshot.Position
	f.vouch(f.follower)
	f.lag(f.server.Info("server", "run_id"))
	h := f.Await(t, "another epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > p.Epoch })
	if got := judge(f.late(), p, f.other.Now()); got != tag.Expired || remembered(h.Snapshot) != 0 {
		t.Errorf("content of the epoch is %v, records %v", got, h.Snapshot.Records)
	}
}

func TestWhatAReplicaLackedIsAppendedAgain(t *testing.T) {
	f := newFleet(t)
	f.append("a")
	p := f.AwaitPosition(t, f.append("b")).Snapshot.Position
	f.save()
	lost := []tag.Revalidation{
		{Tag: "hard"}, {Tag: "soft", Soft: true, Expire: time.Hour}, {Tag: "ever", Soft: true, Expire: tag.ForEver}, {Tag: "a"},
	}
	q, err := f.other.Append(t.Context(), "shop", lost)
	if err != nil {
		t.Fatal(err)
	}
	want := f.AwaitPosition(t, q).Snapshot.Records["soft"].ExpireAt
	f.lag("another")
	h := f.Await(t, "what was lost", func(h cachetest.Heard) bool {
		return h.Snapshot.Position.Epoch > q.Epoch && h.Snapshot.Records["hard"].Expired > q.Seq
	})
	now := f.other.Now()
	for _, s := range []tag.Snapshot{h.Snapshot, f.late()} {
		if s.Past[p.Epoch] != p.Seq {
			t.Errorf("the epoch before is explained up to %d, its replica had %d", s.Past[p.Epoch], p.Seq)
		}
		for tagName, want := range map[string]tag.Freshness{"hard": tag.Expired, "soft": tag.Stale, "ever": tag.Stale, "a": tag.Expired, "b": tag.Fresh} {
			if got := judge(s, p, now, tagName); got != want {
				t.Errorf("content from before with tag %q is %v, want %v", tagName, got, want)
			}
		}
		// Said once, and no later than it was.
		if n := s.Position.Seq - s.Position.Epoch; n != 1 {
			t.Errorf("%d events for what one had said", n)
		}
		if got := s.Records["soft"].ExpireAt; got > want || got < want-2000 {
			t.Errorf("expires %d ms later than it did", got-want)
		}
	}
}

// Redis is killed twice and loads the same snapshot twice; the epoch between is in nobody's table but the daemons'.
func TestWhatWasLostTwiceIsAppendedAgain(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	f := newFleet(t)
	p := f.AwaitPosition(t, f.append("a")).Snapshot.Position
	f.save()
	f.AwaitPosition(t, f.append("lost"))
	for _, server := range []string{"second", "third"} {
		was := f.Heard().Snapshot.Position
		f.lag(server)
		h := f.Await(t, "what was lost", func(h cachetest.Heard) bool {
			return h.Snapshot.Position.Epoch > was.Epoch && h.Snapshot.Records["lost"].Expired > 0
		})
		for _, s := range []tag.Snapshot{h.Snapshot, f.late()} {
			if got := judge(s, p, f.other.Now(), "lost"); got != tag.Expired {
				t.Errorf("on the %s server, content from before is %v: %+v", server, got, s)
			}
			if got := judge(s, p, f.other.Now(), "a"); got != tag.Fresh {
				t.Errorf("on the %s server, content that nothing concerns is %v: %+v", server, got, s)
			}
		}
	}
}

// A replica from before an epoch of which nothing was known: it judges content that was of no use in that epoch.
func TestWhatWasMarkedInAnEpochThatStandsAloneIsAppendedAgain(t *testing.T) {
	f := newFleet(t)
	p := f.AwaitPosition(t, f.append("a")).Snapshot.Position
	f.save()
	f.server.CLI("DEL", logKey, eventsKey)
	q := f.AwaitPosition(t, f.append("lost")).Snapshot
	if len(q.Past) != 0 {
		t.Fatalf("the epoch explains %v", q.Past)
	}
	f.lag("another")
	h := f.Await(t, "the epoch after", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > q.Position.Epoch })
	for _, s := range []tag.Snapshot{h.Snapshot, f.late()} {
		for tagName, want := range map[string]tag.Freshness{"lost": tag.Expired, "a": tag.Fresh} {
			if got := judge(s, p, f.other.Now(), tagName); got != want {
				t.Errorf("content from before with tag %q is %v, want %v: %+v", tagName, got, want, s)
			}
		}
	}
}

// A restart that lost nothing costs nothing.
func TestALogGoesOnAfterARestart(t *testing.T) {
	server := redistest.Start(t, redistest.Persistent())
	f := &fleet{T: t, server: server, Recorder: cachetest.NewRecorder(t)}
	f.follower = start(t, redisstore.Config{URL: server.URL()})
	f.other = start(t, redisstore.Config{URL: server.URL()})
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return f.follower.Follow(t.Context(), "shop", f.Recorder) == nil })
	p := f.AwaitPosition(t, f.append("t")).Snapshot.Position
	server.Restart()
	h := f.Await(t, "another epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > p.Epoch })
	if got := h.Snapshot.Past[p.Epoch]; got != p.Seq || h.Snapshot.Records["t"].Expired != p.Seq || len(h.Events) != 1 {
		t.Errorf("explained up to %d, want %d; %+v", got, p.Seq, h)
	}
}

// After a loss nobody knows who was a member before, and may answer reads as fresh for a bound.
func TestAwaitCoversMembersOfALogThatWasLost(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	rounds(t, func() string {
		f := newPair(t)
		f.vouch(f.follower)
		lost := time.Now()
		f.server.CLI("DEL", logKey, eventsKey)
		p := f.append("t") // the epoch begins with it
		begun := time.Now()
		until, err := f.follower.Prove(t.Context(), "shop", tag.Position{})
		proven := time.Since(lost)
		if err != nil || until.After(time.Now()) && proven < cache.Bound {
			t.Errorf("vouched for %v although members of the life before may be left: %v", time.Until(until), err)
		}
		if err := f.other.Await(t.Context(), "shop", p); err != nil && !errors.Is(err, cache.ErrUnavailable) {
			t.Fatal(err)
		}
		// The epoch began between the two times.
		if took := time.Since(lost); took < cache.Bound-5*time.Millisecond {
			t.Errorf("waited until %v after the loss, the members of before are vouched for up to %v", took, cache.Bound)
		}
		took := time.Since(begun)
		f.vouch(f.follower)
		switch {
		case proven >= cache.Bound:
			return fmt.Sprintf("it was asked %v after the loss", proven)
		case took > 2*cache.Bound+slack:
			return fmt.Sprintf("waited for %v, the members of before are vouched for at most %v", took, cache.Bound)
		}
		return ""
	})
}

// An event that was lost is in force nowhere, whoever was waited for. One that was restored is.
func TestAwaitSaysThatTheEventIsLost(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	for name, restored := range map[string]bool{"lost": false, "restored": true} {
		t.Run(name, func(t *testing.T) {
			rounds(t, func() string { return awaitSaysThatTheEventIsLost(t, restored) })
		})
	}
}

func awaitSaysThatTheEventIsLost(t *testing.T, restored bool) (late string) {
	t.Helper()
	f := newPair(t)
	// Somebody who never says a word.
	came := time.Now()
	f.server.CLI("EVAL", `
		local time = redis.call('TIME')
		local until_ = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + 900)
		redis.call('HSET', KEYS[1], 'members', redis.call('HGET', KEYS[1], 'members') .. 'ghost ' .. until_ .. ' 0\n')
		return 'OK'`, "1", logKey)
	p := f.append("t")
	if took := time.Since(came); took > 900*time.Millisecond {
		return fmt.Sprintf("the event came %v after somebody who is waited for", took)
	}
	f.AwaitPosition(t, p)
	var until time.Time
	if restored {
		until = f.vouch(f.follower)
	}
	f.server.CLI("DEL", logKey, eventsKey)
	if restored { // it notices while it is vouched for
		if _, err := f.follower.Prove(t.Context(), "shop", p); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(until) {
			return "it noticed when it was not vouched for any more"
		}
	}
	err := f.other.Await(t.Context(), "shop", p)
	if lost := errors.Is(err, cache.ErrUnavailable); lost == restored || (err != nil && !lost) {
		t.Errorf("await: %v", err)
	}
	return ""
}

// Who can only be waited out is so only if Redis says that the event is there.
func TestAwaitWithoutRedis(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	rounds(t, func() string {
		f := newFleet(t)
		d := start(t, redisstore.Config{URL: f.server.URL(), OpTimeout: opTimeout})
		r := cachetest.NewRecorder(t)
		eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
		until := f.vouch(f.follower)
		p := appended(t, d)
		if time.Now().After(until) {
			return "the event came when nobody was vouched for any more"
		}
		f.server.Pause()
		defer f.server.Resume()
		begun := time.Now()
		if err := d.Await(t.Context(), "shop", p); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("await without Redis: %v", err)
		}
		if took := time.Since(begun); took > 5*cache.Bound+slack {
			return fmt.Sprintf("await took %v", took)
		}
		return ""
	})
}

func TestALargeTableIsPruned(t *testing.T) {
	const most = 100
	server := redistest.Start(t)
	r := cachetest.NewRecorder(t)
	d := start(t, redisstore.Config{URL: server.URL(), MaxTags: most})
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
	positions := make([]tag.Position, 3*most)
	for i := range positions {
		var err error
		if positions[i], err = d.Append(t.Context(), "shop", []tag.Revalidation{{Tag: fmt.Sprint("t", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	fields := func() (n int) {
		if _, err := fmt.Sscan(server.CLI("HLEN", logKey), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, cachetest.Patience, "the table is pruned", func() bool {
		if _, err := d.Prove(t.Context(), "shop", tag.Position{}); err != nil {
			t.Fatal(err)
		}
		return fields() < 2*most
	})
	f := &fleet{T: t, server: server}
	s := f.late()
	if s.Floor == 0 || len(s.Records) == 0 {
		t.Fatalf("floor %d, %d records", s.Floor, len(s.Records))
	}
	now := d.Now()
	for i, p := range positions {
		// Whatever was marked later expires; what nothing was said of may be lost, but only below the floor.
		if i > 0 {
			if got := judge(s, positions[i-1], now, fmt.Sprint("t", i)); got != tag.Expired {
				t.Errorf("content from before the mark of tag %d is %v", i, got)
			}
		}
		if got := judge(s, p, now, "quiet"); p.Seq >= s.Floor && got != tag.Fresh {
			t.Errorf("content from above the floor is %v", got)
		}
	}
	if h := r.Heard(); len(h.Loads) != 1 || len(h.Snapshot.Records) != len(positions) {
		t.Errorf("%d loads, %d records: who knows more need not load less", len(h.Loads), len(h.Snapshot.Records))
	}
}

// TestWhatNobodyCanGiveBackIsSaidToBeForgotten: a log that was lost while nobody was vouched for begins with an empty table.
// What was built outside any log must not be taken for newer than what was in it.
func TestWhatNobodyCanGiveBackIsSaidToBeForgotten(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	f := newFleet(t)
	f.AwaitPosition(t, f.append("before"))
	began := f.other.Now()
	f.server.CLI("FLUSHALL")
	h := f.Await(t, "the mark", func(h cachetest.Heard) bool { return h.Snapshot.Records[tag.Forgotten].Expired != 0 })
	var m tag.Manifest
	m.Load(h.Snapshot)
	if !m.MarkedSince(began, []string{"any"}) {
		t.Errorf("what was built before is taken for news: %+v", h.Snapshot)
	}
}
