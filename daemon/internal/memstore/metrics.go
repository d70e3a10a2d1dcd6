package memstore

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func register(reg prometheus.Registerer, s *Store) {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "isrd_memstore_bytes", Help: "What the entries of the embedded store cost.",
	}, func() float64 { return float64(s.memory.Bytes()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "isrd_memstore_entries", Help: "Entries in the embedded store.",
	}, func() float64 { return float64(s.memory.Len()) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "isrd_memstore_evictions_total", Help: "Entries that had to go for want of room.",
	}, func() float64 { return float64(s.memory.Evictions()) })
}
