package server_test

import (
	"fmt"
	"strings"
	"testing"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/server"
)

// BenchmarkSessionGet measures a read of a fresh entry over the session: what a request to a hot page costs both ends of
// the socket together.
func BenchmarkSessionGet(b *testing.B) {
	for _, kib := range []int{1, 28, 120} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			d := start(b, server.Config{})
			s := d.open("shop")
			s.set(route("/p"), s.get(&isrdv1.GetRequest{Key: route("/p")}), page(strings.Repeat("x", kib<<10), "_N_T_/layout", "products", "product-1"))
			b.SetBytes(int64(kib << 10))
			b.ReportAllocs()
			for b.Loop() {
				if got := s.get(&isrdv1.GetRequest{Key: route("/p")}); got.GetStatus() != isrdv1.Status_STATUS_HIT {
					b.Fatal(got)
				}
			}
		})
	}
}
