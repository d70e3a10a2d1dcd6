package simulation_test

import (
	"maps"
	"os"
	"slices"
	"testing"
	"time"
)

// plantSeeds is within how many seeds a planted bug must be found.
const plantSeeds = 4000

// TestPlantedBugsAreFound plants one bug after the other: a simulation that finds none would say that all is well for
// ever. It runs only where seeds are asked for, as it takes some seconds.
func TestPlantedBugsAreFound(t *testing.T) {
	if os.Getenv("ISRD_SIMULATE_SEEDS") == "" {
		t.Skip("run by make simulate")
	}
	shard, shards := shardOf(t)
	for i, p := range slices.Sorted(maps.Keys(plants)) {
		if uint64(i)%shards != shard {
			continue
		}
		t.Run(plants[p].name, func(t *testing.T) { findPlant(t, p) })
	}
}

func findPlant(t *testing.T, p plant) {
	t.Helper()
	begun, run := time.Now(), 0
	for seed := range uint64(plantSeeds) {
		if where := plants[p].where; where != nil && !where(planOf(seed)) {
			continue
		}
		run++
		r := once(t, seed, plan{plant: p, tune: plants[p].tune})
		if r.broken != nil && slices.Contains(plants[p].breaks, r.broken.promise) && once(t, seed, plan{tune: plants[p].tune}).broken == nil {
			t.Logf("found by seed %d, the %dth, in %v: %v", seed, run, time.Since(begun).Round(time.Millisecond), r.broken)
			return
		}
	}
	t.Errorf("not found within %d seeds", run)
}

// planOf is what a seed is made of.
func planOf(seed uint64) *plan {
	p := new(plan)
	p.draw(newSchedule(seed))
	return p
}
