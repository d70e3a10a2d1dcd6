package redisstore_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// fleet is a Redis with a daemon that follows and one that appends.
type fleet struct {
	*testing.T
	server   *redistest.Server
	follower *daemon
	other    *daemon
	*cachetest.Recorder
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{T: t, server: redistest.Start(t), Recorder: cachetest.NewRecorder(t)}
	f.follower = start(t, redisstore.Config{URL: f.server.URL()})
	f.other = start(t, redisstore.Config{URL: f.server.URL()})
	if err := f.follower.Follow(t.Context(), "shop", f.Recorder); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fleet) append(tags ...string) tag.Position {
	f.Helper()
	rs := make([]tag.Revalidation, len(tags))
	for i, t := range tags {
		rs[i].Tag = t
	}
	p, err := f.other.Append(f.Context(), "shop", rs)
	if err != nil {
		f.Fatal(err)
	}
	return p
}

// after is the seq of an event that comes so many after those that were heard.
func (f *fleet) after(h cachetest.Heard, n uint64) uint64 { return h.Snapshot.Position.Seq + n }

const logKey, eventsKey = "isrd:1:{shop}:log", "isrd:1:{shop}:events"

func TestEventsThatWereMissedAreFoundInTheStream(t *testing.T) {
	f := newFleet(t)
	f.AwaitPosition(t, f.append("first"))
	var last tag.Position
	for round := range 5 {
		f.server.CLI("CLIENT", "KILL", "TYPE", "pubsub")
		for i := range 10 {
			last = f.append(fmt.Sprint("t", round, i))
		}
	}
	h := f.AwaitPosition(t, last)
	if len(h.Loads) != 1 || len(h.Events) != 51 {
		t.Errorf("%d loads and %d events, want 1 and 51", len(h.Loads), len(h.Events))
	}
}

// A message can be lost and no other follow it: the probe finds out.
func TestAnEventThatNobodyToldIsFound(t *testing.T) {
	f := newFleet(t)
	next := f.after(f.AwaitPosition(t, f.append("first")), 1)
	// The same as append.lua, without telling.
	f.server.CLI("EVAL", `
		local epoch, seq = redis.call('HGET', KEYS[1], 'epoch'), ARGV[1]
		local nonce = redis.call('HGET', KEYS[1], 'nonce')
		redis.call('HSET', KEYS[1], 'seq', seq, 'nonce', 'silent', 't:silent', seq .. ' 0 0 0 0')
		redis.call('XADD', KEYS[2], epoch .. '-' .. seq, 'e', 'e ' .. epoch .. ' ' .. seq .. ' silent ' .. nonce .. ' 5\n\1\6silent\0')
		return 'OK'`, "2", logKey, eventsKey, fmt.Sprint(next))
	h := f.Await(t, "the event", func(h cachetest.Heard) bool { return len(h.Events) == 2 })
	if len(h.Loads) != 1 || h.Snapshot.Records["silent"].Expired != next || h.Snapshot.Position.Nonce != "silent" {
		t.Errorf("heard %+v", h)
	}
	// And the next one follows it.
	f.AwaitPosition(t, f.append("next"))
}

func TestALogThatIsTooFarAheadIsLoaded(t *testing.T) {
	f := newFleet(t)
	first := f.AwaitPosition(t, f.append("first"))
	far := f.after(first, 8)
	f.server.CLI("EVAL", `
		redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'nonce', 'far', 't:far', ARGV[1] .. ' 0 0 0 0')
		redis.call('DEL', KEYS[2])
		return 'OK'`, "2", logKey, eventsKey, fmt.Sprint(far))
	h := f.Await(t, "the load", func(h cachetest.Heard) bool { return len(h.Loads) == 2 })
	if h.Snapshot.Position.Seq != far || h.Snapshot.Position.Epoch != h.Loads[0].Position.Epoch || h.Reasons[1] != "events are missing" {
		t.Errorf("position %v, reasons %q", h.Snapshot.Position, h.Reasons)
	}
	want := map[string]tag.Record{"first": {Expired: far - 8}, "far": {Expired: far}}
	if diff := cmp.Diff(want, h.Snapshot.Records, cmpopts.IgnoreFields(tag.Record{}, "At")); diff != "" {
		t.Error(diff)
	}
}

func TestALogThatWasLostBeginsAnewInALargerEpoch(t *testing.T) {
	for name, lose := range map[string]func(s *redistest.Server){
		"flushed":            func(s *redistest.Server) { s.CLI("FLUSHALL") },
		"hash evicted":       func(s *redistest.Server) { s.CLI("DEL", logKey) },
		"lost in a restart":  func(s *redistest.Server) { s.Restart() },
		"epoch unreadable":   func(s *redistest.Server) { s.CLI("HSET", logKey, "epoch", "x") },
		"without its number": func(s *redistest.Server) { s.CLI("HDEL", logKey, "seq") },
	} {
		for _, byAppend := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/noticed by an append:", byAppend), func(t *testing.T) {
				f := newFleet(t)
				f.append("before")
				old := f.AwaitPosition(t, f.append("before")).Snapshot.Position
				lose(f.server)
				if byAppend {
					eventually(t, cachetest.Patience, "an append", func() bool {
						_, err := f.other.Append(t.Context(), "shop", []tag.Revalidation{{Tag: "after"}})
						return err == nil
					})
				}
				h := f.Await(t, "a larger epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > old.Epoch })
				if _, ok := h.Snapshot.Records["before"]; ok || len(h.Loads) != 2 {
					t.Errorf("%d loads, records %v", len(h.Loads), h.Snapshot.Records)
				}
				p := appended(t, f.other, tag.Revalidation{Tag: "later"})
				if h := f.AwaitPosition(t, p); h.Snapshot.Records["later"].Expired != p.Seq || p.Epoch != h.Snapshot.Position.Epoch {
					t.Errorf("the log does not go on: %v, %+v", p, h.Snapshot)
				}
			})
		}
	}
}

func TestTheStreamAloneIsNoLoss(t *testing.T) {
	f := newFleet(t)
	before := f.AwaitPosition(t, f.append("before")).Snapshot.Position
	f.server.CLI("DEL", eventsKey)
	p := f.append("after")
	h := f.AwaitPosition(t, p)
	if p.Epoch != before.Epoch || h.Snapshot.Position != p || len(h.Snapshot.Records) != 2 {
		t.Errorf("at %v after %v, records %v", h.Snapshot.Position, before, h.Snapshot.Records)
	}
	// The event is told of. But the probe may be faster, and finds a stream that does not begin where the follower is.
	if again := h.Reasons[1:]; len(again) > 0 && !slices.Equal(again, []string{"events are missing"}) {
		t.Errorf("loaded again: %q", again)
	}
}

// A fail-over to a replica that was behind takes events back, and others may take their numbers.
func TestALogThatLostItsLastEventsBeginsAnew(t *testing.T) {
	for name, tc := range map[string]struct {
		then   string
		reason string
	}{
		"nothing happened since": {"", "the log lost events"},
		"as many events since":   {"add()", "the log lost events"},
		"more events since":      {"add() add() add()", "the log has another past"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.append("a")
			second := f.append("b")
			old := f.AwaitPosition(t, f.append("lost")).Snapshot.Position
			// In one step, and without telling: the probe must find out.
			f.server.CLI("EVAL", `
				local epoch, nonce, seq = ARGV[1], ARGV[2], tonumber(ARGV[3])
				local function text() return string.format('%.0f', seq) end
				redis.call('HSET', KEYS[1], 'seq', text(), 'nonce', nonce)
				redis.call('HDEL', KEYS[1], 't:lost')
				redis.call('XDEL', KEYS[2], epoch .. '-' .. string.format('%.0f', seq + 1))
				redis.call('XSETID', KEYS[2], epoch .. '-' .. text())
				local function add()
					seq = seq + 1
					local seq, mine = text(), 'other' .. text()
					redis.call('HSET', KEYS[1], 'seq', seq, 'nonce', mine)
					redis.call('XADD', KEYS[2], epoch .. '-' .. seq, 'e', 'e ' .. epoch .. ' ' .. seq .. ' ' .. mine .. ' ' .. nonce .. ' 5\n\0')
					nonce = mine
				end
				`+tc.then+` return 'OK'`, "2", logKey, eventsKey, fmt.Sprint(old.Epoch), second.Nonce, fmt.Sprint(second.Seq))
			h := f.Await(t, "a larger epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > old.Epoch })
			if len(h.Reasons) != 2 || h.Reasons[1] != tc.reason || remembered(h.Snapshot) != 0 {
				t.Errorf("reasons %q, records %v, want %q", h.Reasons, h.Snapshot.Records, tc.reason)
			}
			f.AwaitPosition(t, f.append("later"))
		})
	}
}

func TestAllDaemonsAgreeOnANewEpoch(t *testing.T) {
	f := newFleet(t)
	also := cachetest.NewRecorder(t)
	if err := f.other.Follow(t.Context(), "shop", also); err != nil {
		t.Fatal(err)
	}
	old := f.Heard().Snapshot.Position
	f.server.CLI("FLUSHALL")
	h := f.Await(t, "a larger epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > old.Epoch })
	g := also.Await(t, "a larger epoch", func(h cachetest.Heard) bool { return h.Snapshot.Position.Epoch > old.Epoch })
	// Each may say that marks were lost, one after the other, so only the epoch is the same at once.
	if h.Snapshot.Position.Epoch != g.Snapshot.Position.Epoch {
		t.Errorf("one is at %v, the other at %v", h.Snapshot.Position, g.Snapshot.Position)
	}
	p := f.append("t")
	if a, b := f.AwaitPosition(t, p), also.AwaitPosition(t, p); len(a.Loads) != 2 || len(b.Loads) != 2 {
		t.Errorf("reasons %q and %q", a.Reasons, b.Reasons)
	}
}

func TestWhatALaterVersionTellsIsIgnoredOrLoaded(t *testing.T) {
	f := newFleet(t)
	p := f.AwaitPosition(t, f.append("first")).Snapshot.Position
	const channel = "isrd:1:{shop}:told"
	f.server.CLI("PUBLISH", channel, "q something new")
	f.server.CLI("PUBLISH", channel, "")
	f.server.CLI("PUBLISH", channel, "w nonsense")
	f.server.CLI("PUBLISH", channel, "e nonsense")
	f.server.CLI("PUBLISH", channel, "a nonsense")
	// An event with marks of a kind that is not known here: the table, which is text, says the same.
	f.server.CLI("EVAL", fmt.Sprintf(`
		local e = 'e %[1]d %[3]d later %[2]s 5 more words\n\1\1t\99'
		redis.call('HSET', KEYS[1], 'seq', '%[3]d', 'nonce', 'later', 't:t', '%[3]d 0 0 0 0', 'something', 'new')
		redis.call('XADD', KEYS[2], '%[1]d-%[3]d', 'e', e)
		redis.call('PUBLISH', '`+channel+`', e)
		return 'OK'`, p.Epoch, p.Nonce, p.Seq+1), "2", logKey, eventsKey)
	h := f.Await(t, "the load", func(h cachetest.Heard) bool { return len(h.Loads) == 2 })
	if h.Snapshot.Records["t"].Expired != p.Seq+1 || h.Reasons[1] != "events are unreadable" {
		t.Errorf("records %v, reasons %q", h.Snapshot.Records, h.Reasons)
	}
	f.AwaitPosition(t, f.append("next"))
}

func TestOwnAppendIsAppliedWhenItReturns(t *testing.T) {
	f := newFleet(t)
	for range 50 {
		p, err := f.follower.Append(t.Context(), "shop", []tag.Revalidation{{Tag: "t"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Heard().Snapshot.Position; got != p {
			t.Fatalf("at %v when the append to %v returned", got, p)
		}
	}
}

func TestManyApps(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, redisstore.Config{URL: server.URL()}), start(t, redisstore.Config{URL: server.URL()})
	const apps = 50
	recorders := make([]*cachetest.Recorder, apps)
	for i := range recorders {
		recorders[i] = cachetest.NewRecorder(t)
		if err := a.Follow(t.Context(), fmt.Sprint("app", i), recorders[i]); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(server.CLI("CLIENT", "LIST", "TYPE", "pubsub"), " sub="); n != 1 {
		t.Errorf("%d connections subscribe, want one for all apps", n)
	}
	server.CLI("CLIENT", "KILL", "TYPE", "pubsub")
	for i, r := range recorders {
		p, err := b.Append(t.Context(), fmt.Sprint("app", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		if h := r.AwaitPosition(t, p); len(h.Events) != 1 || len(h.Loads) != 1 {
			t.Errorf("app %d: %d events, %d loads", i, len(h.Events), len(h.Loads))
		}
	}
}

// 100,000 keys with 8 tags each: one tag costs what it costs among ten.
func TestRevalidatingATagDoesNotLookAtKeys(t *testing.T) {
	f := newFleet(t)
	// Entries as Write leaves them, made by Redis itself: what is in them does not matter here, only how many there are.
	f.server.CLI("EVAL", `for i = 1, 100000 do
		redis.call('SET', string.format('isrd:1:e:{%032x}', i), 'isrd/1 ' .. string.rep('x', 400), 'PX', 3600000)
	end return 'OK'`, "0")
	e := entryOf(key, 5)
	for i := range 8 {
		e.Tags = append(e.Tags, fmt.Sprint("tag", i))
	}
	if stored, err := f.other.Write(t.Context(), e, cache.WriteOptions{}); err != nil || !stored {
		t.Fatal(stored, err)
	}
	f.append("warm") // the script is there, and the connection
	before, bytesIn, bytesOut := f.server.Commands(), f.info("total_net_input_bytes"), f.info("total_net_output_bytes")
	const rounds = 20
	took := make([]time.Duration, rounds)
	var p tag.Position
	for i := range took {
		begun := time.Now()
		p = f.append("tag3")
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	median := took[rounds/2]
	f.AwaitPosition(t, p)
	after := f.server.Commands()
	if n := after["evalsha"] - before["evalsha"]; n < rounds || n > rounds+10 { // and a probe per second and daemon
		t.Errorf("%d scripts for %d revalidations", n, rounds)
	}
	for _, c := range []string{"scan", "keys", "sscan", "hscan", "smembers", "hgetall", "mget", "del", "unlink"} {
		if n := after[c] - before[c]; n != 0 {
			t.Errorf("%s was called %d times", c, n)
		}
	}
	in, out := f.info("total_net_input_bytes")-bytesIn, f.info("total_net_output_bytes")-bytesOut
	if in+out > rounds*4<<10 {
		t.Errorf("%d bytes sent and %d received for %d revalidations", in, out, rounds)
	}
	if median > 20*time.Millisecond {
		t.Errorf("a revalidation took %v", median)
	}
	t.Logf("a revalidation among 100,000 keys took %v, %d bytes to Redis and %d from it", median, in/rounds, out/rounds)
	if got := f.Heard().Snapshot.Records["tag3"].Expired; got != p.Seq {
		t.Errorf("the tag is expired up to %d, not %d", got, p.Seq)
	}
}

func (f *fleet) info(field string) int {
	f.Helper()
	var n int
	if _, err := fmt.Sscan(f.server.Info("stats", field), &n); err != nil {
		f.Fatal(err)
	}
	return n
}

// Redis counts its time in milliseconds that have begun, a daemon counts the time that it vouches for in nanoseconds.
func TestAMemberIsOneForAsLongAsItVouches(t *testing.T) {
	f := newFleet(t)
	for range 50 {
		sent := time.Now()
		if _, err := f.follower.Prove(t.Context(), "shop", tag.Position{}); err != nil {
			t.Fatal(err)
		}
		var latest int64
		for line := range strings.Lines(f.server.CLI("HGET", logKey, "members")) {
			till, err := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			latest = max(latest, till)
		}
		if short := sent.Add(cache.Bound).Sub(time.UnixMilli(latest)); short > 0 {
			t.Fatalf("it vouches for %v longer than it is a member", short)
		}
	}
}
