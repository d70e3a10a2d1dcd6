package lease_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/lease"
)

const now = int64(1_700_000_000_000)

func of(key, holder string) lease.Lease {
	return lease.Lease{Key: key, Holder: holder, TTL: 30 * time.Second}
}

func TestNextToken(t *testing.T) {
	for _, tc := range []struct {
		name     string
		previous uint64
		now      int64
		want     uint64
	}{
		{"the clock's microseconds", 0, now, uint64(now) * 1000},
		{"ahead of the clock", uint64(now)*1000 + 5, now, uint64(now)*1000 + 6},
		{"the clock was set back", uint64(now) * 1000, now - 3_600_000, uint64(now)*1000 + 1},
		{"no clock", 0, 0, 1},
		{"a clock before 1970", 0, -5, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := lease.NextToken(tc.previous, tc.now); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// acquire is Acquire of what was granted before nothing.
func acquire(t *lease.Table, key, holder string, at int64) lease.Standing {
	return t.Acquire(of(key, holder), 0, at, false)
}

func TestTableGrantsOneAtATime(t *testing.T) {
	table := lease.NewTable()
	first := acquire(table, "k", "a", now)
	if want := (lease.Standing{Token: uint64(now) * 1000, Granted: true, Left: 30 * time.Second}); first != want {
		t.Fatalf("first: got %+v, want %+v", first, want)
	}
	second := acquire(table, "k", "b", now+10_000)
	if second.Granted || second.Kept || second.Left != 20*time.Second {
		t.Errorf("while it is held: got %+v", second)
	}
	if second.Token <= first.Token {
		t.Errorf("the competing token %d does not exceed the lease's %d", second.Token, first.Token)
	}
	if is := table.Look("k", 0, now+10_000); is.Granted || is.Kept || is.Left != 20*time.Second {
		t.Errorf("look: %+v", is)
	}
	if !acquire(table, "other", "b", now).Granted {
		t.Error("another key is held too")
	}
	if acquire(table, "k", "b", now+29_999).Granted {
		t.Error("granted before the end")
	}
	if !acquire(table, "k", "b", now+30_000).Granted {
		t.Error("not granted after the end")
	}
}

func TestTableOverride(t *testing.T) {
	table := lease.NewTable()
	first := acquire(table, "k", "a", now).Token
	second := table.Acquire(of("k", "b"), 0, now, true)
	if !second.Granted || second.Token <= first || second.Left != 30*time.Second {
		t.Fatalf("override: got %+v after %d", second, first)
	}
	if table.Release("k", first, 0, now) {
		t.Error("the lease that was taken away could still be released")
	}
	if !table.Release("k", second.Token, 0, now) {
		t.Error("the new lease could not be released")
	}
}

func TestTableRelease(t *testing.T) {
	table := lease.NewTable()
	token := acquire(table, "k", "a", now).Token
	if table.Release("k", token+1, 0, now) || table.Release("other", token, 0, now) {
		t.Error("released with a token that holds nothing")
	}
	if table.Release("k", token, 0, now+30_000) {
		t.Error("released after its end")
	}
	if !table.Release("k", token, 0, now) || table.Release("k", token, 0, now) {
		t.Error("want true once, then false")
	}
	if is := table.Look("k", 0, now); is.Left != 0 || is.Kept {
		t.Errorf("after the release: %+v", is)
	}
}

func TestTableReleaseWithKeep(t *testing.T) {
	table := lease.NewTable()
	token := acquire(table, "k", "a", now).Token
	if !table.Release("k", token, 5*time.Second, now) {
		t.Fatal("not released")
	}
	if table.Release("k", token, 0, now) {
		t.Error("what was given back could be released again, ending the delay")
	}
	if is := acquire(table, "k", "a", now+4_999); is.Granted || !is.Kept || is.Left != time.Millisecond {
		t.Errorf("within the delay: got %+v", is)
	}
	if is := table.Look("k", 0, now+4_999); !is.Kept || is.Left != time.Millisecond {
		t.Errorf("look within the delay: got %+v", is)
	}
	if is := table.Look("k", 0, now+5_000); is.Kept || is.Left != 0 {
		t.Errorf("look after the delay: got %+v", is)
	}
	if is := acquire(table, "k", "a", now+5_000); !is.Granted || is.Kept {
		t.Errorf("after the delay: got %+v", is)
	}
	if is := table.Acquire(of("k", "b"), 0, now, true); !is.Granted || is.Kept {
		t.Errorf("override: got %+v", is)
	}
}

func TestTableTokensGrow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	table, clock, last, stored := lease.NewTable(), now, uint64(0), uint64(0)
	for range 50_000 {
		is := table.Acquire(lease.Lease{Key: "k", TTL: time.Duration(rng.IntN(4)) * time.Millisecond}, stored, clock, rng.IntN(3) == 0)
		token := is.Token
		if token <= last || token <= stored {
			t.Fatalf("token %d after %d, stored %d", token, last, stored)
		}
		last = token
		switch rng.IntN(5) {
		case 0:
			clock += rng.Int64N(3)
		case 1:
			clock -= rng.Int64N(3) // set back
		case 2:
			table.Sweep(clock)
		case 3:
			if is.Granted {
				table.Release("k", token, time.Duration(rng.IntN(2))*time.Millisecond, clock)
			}
		case 4:
			stored = token + rng.Uint64N(2000)
		}
	}
}

func TestTableSweep(t *testing.T) {
	table := lease.NewTable()
	table.Acquire(lease.Lease{Key: "short", TTL: time.Second}, 0, now, false)
	table.Acquire(lease.Lease{Key: "long", TTL: time.Minute}, 0, now, false)
	if n := table.Sweep(now + 999); n != 2 {
		t.Errorf("before the end: %d left, want 2", n)
	}
	if n := table.Sweep(now + 1000); n != 1 {
		t.Errorf("after the end of one: %d left, want 1", n)
	}
}

func TestTableConcurrently(t *testing.T) {
	table := lease.NewTable()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		tokens = make(map[uint64]int)
		grants int
	)
	for range 8 {
		wg.Go(func() {
			for range 200 {
				is := acquire(table, "k", "h", now)
				mu.Lock()
				tokens[is.Token]++
				if is.Granted {
					grants++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if grants != 1 || len(tokens) != 8*200 {
		t.Errorf("%d grants and %d distinct tokens, want 1 and %d", grants, len(tokens), 8*200)
	}
}

func TestTableRenew(t *testing.T) {
	table := lease.NewTable()
	first := acquire(table, "k", "a", now).Token
	if !table.Renew("k", first, 30*time.Second, now+20_000) {
		t.Fatal("not renewed while it lives")
	}
	if left := table.Look("k", 0, now+40_000).Left; left != 10*time.Second {
		t.Errorf("%v left of 30 s from the renewal", left)
	}
	if table.Renew("k", first+1, time.Hour, now+20_000) || table.Renew("other", first, time.Hour, now) {
		t.Error("renewed what nobody has")
	}
	if table.Renew("k", first, time.Hour, now+50_000) {
		t.Error("renewed after its end")
	}
	table.Release("k", acquire(table, "k", "a", now+50_000).Token, time.Hour, now+50_000)
	if s := table.Look("k", 0, now+50_000); table.Renew("k", s.Token, time.Hour, now+50_000) {
		t.Error("renewed the delay after a failed render")
	}
}

func TestTableClaim(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(table *lease.Table, token uint64)
		written uint64 // beyond the token
		at      int64
		want    bool
	}{
		{name: "it lives", want: true},
		{name: "it has ended", at: 31_000, want: true},
		{name: "it was released", prepare: func(table *lease.Table, token uint64) { table.Release("k", token, 0, now) }, want: true},
		{name: "it has ended and the key was written since", at: 31_000, written: 1},
		{name: "it lives although the key was written", written: 1, want: true},
		{name: "another has it", at: 31_000, prepare: func(table *lease.Table, _ uint64) { acquire(table, "k", "b", now+31_000) }},
		{name: "the key is kept", prepare: func(table *lease.Table, token uint64) { table.Release("k", token, time.Hour, now) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := lease.NewTable()
			token := acquire(table, "k", "a", now).Token
			if tc.prepare != nil {
				tc.prepare(table, token)
			}
			claimed := table.Claim("k", token, token-1+tc.written, time.Minute, now+tc.at)
			if got := claimed != 0; got != tc.want {
				t.Fatalf("claimed %v, want %v", got, tc.want)
			}
			if !tc.want {
				return
			}
			if claimed <= token {
				t.Errorf("token %d after %d", claimed, token)
			}
			if table.Release("k", token, 0, now+tc.at) {
				t.Error("the token of before ends the lease")
			}
			if left := table.Look("k", 0, now+tc.at).Left; left != time.Minute {
				t.Errorf("%v left of a minute", left)
			}
			if !table.Release("k", claimed, 0, now+tc.at) {
				t.Error("the new token does not end the lease")
			}
		})
	}
}

func TestTableUncacheable(t *testing.T) {
	const within = time.Minute
	idle := func(table *lease.Table, at int64) bool {
		table.Idle("k", 3, within, at)
		return table.Look("k", 0, at).Uncacheable
	}
	table := lease.NewTable()
	if idle(table, now) || idle(table, now+59_000) || !idle(table, now+118_000) {
		t.Fatal("want the third render without a write to make the key uncacheable")
	}
	if s := acquire(table, "k", "a", now+118_001); s.Granted || s.Kept || s.Left != within-time.Millisecond {
		t.Errorf("uncacheable: got %+v", s)
	}
	if !acquire(table, "k", "a", now+178_000).Granted {
		t.Error("not granted when the time is over")
	}

	table = lease.NewTable()
	if idle(table, now) || idle(table, now+1) || idle(table, now+1+within.Milliseconds()) {
		t.Error("renders far apart count together")
	}
	table.Written("k")
	if idle(table, now+60_999) || idle(table, now+61_000) {
		t.Error("renders from before a write count")
	}
	if !idle(table, now+61_000) {
		t.Error("three renders after a write do not count")
	}
	table.Written("k")
	if s := table.Look("k", 0, now+61_000); s.Left != 0 {
		t.Errorf("after a write: %+v", s)
	}
	holder := acquire(table, "k", "a", now+61_000).Token
	for range 3 {
		table.Idle("k", 3, within, now+61_000)
	}
	if !table.Renew("k", holder, within, now+61_000) {
		t.Error("a lease was taken from its holder")
	}
	table.Idle("other", 3, within, now)
	if table.Sweep(now + 10*within.Milliseconds()); table.Look("other", 0, now).Left != 0 {
		t.Error("a single render counts")
	}
}
