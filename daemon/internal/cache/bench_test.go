package cache_test

import (
	"fmt"
	"testing"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// BenchmarkHit measures a read that is answered from memory, with the tags of a usual page judged.
func BenchmarkHit(b *testing.B) {
	f := newFixture(b, false)
	tags := make([]string, 8)
	for i := range tags {
		tags[i] = fmt.Sprintf("_N_T_/shop/%d", i)
	}
	f.set(f.get(cache.GetRequest{}), entry("page", tags...))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a, err := f.Get(b.Context(), cache.GetRequest{Key: home, SoftTags: tags[:3]}); err != nil || a.Status != cache.Hit {
				b.Fatal(a.Status, err)
			}
		}
	})
}
