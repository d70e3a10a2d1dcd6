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
