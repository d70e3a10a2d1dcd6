package cache

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	gets          *prometheus.CounterVec
	sets          *prometheus.CounterVec
	leases        *prometheus.CounterVec
	revalidations *prometheus.CounterVec
	waits         *prometheus.CounterVec
	parked        prometheus.Gauge
	proofs        *prometheus.CounterVec
	acknowledged  prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, m *Memory, vouched func() int) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "isrd_cache_memory_bytes", Help: "What the entries in memory cost; bounded by --l1-bytes.",
	}, func() float64 { return float64(m.Bytes()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "isrd_cache_memory_entries", Help: "Entries in memory.",
	}, func() float64 { return float64(m.Len()) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "isrd_cache_memory_evictions_total", Help: "Entries that had to leave memory for want of room.",
	}, func() float64 { return float64(m.Evictions()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "isrd_cache_apps_vouched", Help: "Apps whose reads need not ask the log first; those that nobody reads are not among them.",
	}, func() float64 { return float64(vouched()) })
	return &metrics{
		gets: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_cache_gets_total", Help: "Reads, by key space, outcome and the reason why it was no hit.",
		}, []string{"space", "status", "reason"}),
		sets: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_cache_sets_total", Help: "Writes, by key space and outcome as acknowledged.",
		}, []string{"space", "outcome"}),
		leases: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_cache_leases_total", Help: "Leases granted: renders allowed, by key space and whether an old copy was served meanwhile.",
		}, []string{"space", "status"}),
		revalidations: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_cache_revalidations_total", Help: "Revalidations of this daemon's clients, by outcome.",
		}, []string{"outcome"}),
		waits: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_waits_ended_total", Help: "Parked reads, by what ended the wait.",
		}, []string{"by"}),
		parked: f.NewGauge(prometheus.GaugeOpts{
			Name: "isrd_cache_reads_parked", Help: "Reads that wait for another holder's render now.",
		}),
		proofs: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_cache_proofs_total", Help: "Questions to the logs whether what is known is all that counts, by outcome.",
		}, []string{"outcome"}),
		acknowledged: f.NewHistogram(prometheus.HistogramOpts{
			Name: "isrd_cache_revalidation_seconds", Help: "Time until a revalidation was known to every daemon and its clients.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
	}
}

func (m *metrics) waitEnded(by string) { m.waits.WithLabelValues(by).Inc() }
