package simulation_test

import (
	"os"
	"slices"
	"testing"
)

// plantSeeds is within how many seeds a planted bug must be found.
const plantSeeds = 4000

// TestPlantedBugsAreFound plants one bug after the other: a simulation that finds none would say that all is well for
// ever. It runs only where seeds are asked for, as it takes some seconds.
func TestPlantedBugsAreFound(t *testing.T) {
	if os.Getenv("ISRD_SIMULATE_SEEDS") == "" {
		t.Skip("run by make simulate")
	}
	var plants []plant
	for p := range plantNames {
		if p == validityFromReceipt {
			// A late pong, a late event and a read of what it concerns hardly ever meet here; that validity counts from when
			// the ping was sent is shown by the client's own tests.
			continue
		}
		plants = append(plants, p)
	}
	slices.Sort(plants)
	shard, shards := shardOf(t)
	for i, p := range plants {
		if uint64(i)%shards != shard {
			continue
		}
		t.Run(plantNames[p], func(t *testing.T) { findPlant(t, p) })
	}
}

func findPlant(t *testing.T, p plant) {
	t.Helper()
	for seed := range uint64(plantSeeds) {
		r := once(t, seed, plan{plant: p})
		if r.broken != nil && once(t, seed, plan{}).broken == nil {
			t.Logf("found by seed %d: %v", seed, r.broken)
			return
		}
	}
	t.Errorf("not found within %d seeds", plantSeeds)
}
