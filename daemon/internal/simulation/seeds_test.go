package simulation_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// TestMain runs all on one processor: goroutines that are ready together then run in an order that hardly ever differs.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(800) // a seed leaves nothing behind that would be worth the look
	os.Exit(m.Run())        //nolint:forbidigo // it is what TestMain is for
}

// inBubble runs one seed's world under virtual time, with randomness of its own.
func inBubble(t *testing.T, seed uint64, do func()) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(*testing.T) { do() })
}

// simulate runs one seed.
func simulate(t *testing.T, seed uint64, p plan) result {
	t.Helper()
	return once(t, seed, p, traceTail)
}

// report says which seed failed, and how to see it again.
func report(t *testing.T, r result) {
	t.Helper()
	t.Errorf("seed %d: %v\n\n%s\n\nagain: make simulate SEED=%d", r.seed, r.broken, r.tail, r.seed)
}

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: want a number", name, text)
	}
	return n
}

// plainSeeds is how many are run where nobody asked for more.
const plainSeeds = 100

// maxFailures is after how many failed seeds a run is given up.
const maxFailures = 3

// TestSeeds runs seeds, each a fleet of its own with its own mishaps, and looks for a promise that is not kept.
// ISRD_SIMULATE_SEEDS is how many, ISRD_SIMULATE_SHARD which part of them, such as 0/2; ISRD_SIMULATE_SEED is a single one,
// whose trace is shown.
func TestSeeds(t *testing.T) {
	if one := os.Getenv("ISRD_SIMULATE_SEED"); one != "" {
		replaySeed(t, setting(t, "ISRD_SIMULATE_SEED", 0))
		return
	}
	seeds := setting(t, "ISRD_SIMULATE_SEEDS", plainSeeds)
	var shard, shards uint64 = 0, 1
	if text := os.Getenv("ISRD_SIMULATE_SHARD"); text != "" {
		if _, err := fmt.Sscanf(text, "%d/%d", &shard, &shards); err != nil || shards == 0 {
			t.Fatalf("ISRD_SIMULATE_SHARD=%q: want two numbers, such as 0/2", text)
		}
	}
	begun := time.Now()
	var run, steps, failed int
	for seed := shard; seed < seeds && failed < maxFailures; seed += shards {
		r := simulate(t, seed, plan{})
		run++
		steps += r.steps
		if r.broken != nil {
			failed++
			report(t, r)
		}
	}
	t.Logf("%d seeds, %d steps, %v", run, steps, time.Since(begun).Round(time.Millisecond))
}

// replaySeed runs one seed and shows what happened.
func replaySeed(t *testing.T, seed uint64) {
	t.Helper()
	r := once(t, seed, plan{}, 0)
	t.Logf("seed %d: %d steps\n%s", seed, r.steps, r.tail)
	if r.broken != nil {
		report(t, result{seed: seed, broken: r.broken})
	}
}

// TestSeedsAreRepeatable runs seeds twice: the same must happen.
func TestSeedsAreRepeatable(t *testing.T) {
	const seeds = 50
	var differ []string
	for seed := uint64(0); seed < seeds; seed++ {
		a, b := simulate(t, seed, plan{}), simulate(t, seed, plan{})
		if a.sum != b.sum {
			differ = append(differ, strconv.FormatUint(seed, 10))
		}
	}
	if len(differ) > 0 {
		t.Errorf("%d of %d seeds did not happen twice in the same way: %s", len(differ), seeds, strings.Join(differ, " "))
	}
}
