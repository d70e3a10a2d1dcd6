package redisstore

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	duration   *prometheus.HistogramVec
	up         prometheus.Gauge
	unreadable *prometheus.CounterVec
	gaps       *prometheus.CounterVec
	subscribed prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, server Server) *metrics {
	f := promauto.With(reg)
	if p, ok := server.(Pool); ok {
		poolMetrics(f, p)
	}
	return &metrics{
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "isrd_redisstore_operation_duration_seconds", Help: "Operations on Redis, by what came of them.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .2, .5, 1, 2.5},
		}, []string{"op", "outcome"}),
		up: f.NewGauge(prometheus.GaugeOpts{
			Name: "isrd_redisstore_up", Help: "1 if Redis answers, 0 while operations fail at once.",
		}),
		unreadable: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_redisstore_unreadable_values_total", Help: "Reads that found a value they could not read, by what was wrong.",
		}, []string{"kind"}),
		gaps: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_redisstore_log_gaps_total", Help: "Times that events of a log had been missed, by how they were made good.",
		}, []string{"by"}),
		subscribed: f.NewGauge(prometheus.GaugeOpts{
			Name: "isrd_redisstore_subscribed", Help: "1 if the connection is there on which events come at once.",
		}),
	}
}

func poolMetrics(f promauto.Factory, p Pool) {
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "isrd_redisstore_pool_connections", Help: "Connections to Redis, beside that of the subscription.",
	}, func() float64 { total, _, _ := p.Pool(); return float64(total) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "isrd_redisstore_pool_idle_connections", Help: "Connections to Redis that wait for work.",
	}, func() float64 { _, idle, _ := p.Pool(); return float64(idle) })
	f.NewCounterFunc(prometheus.CounterOpts{
		Name: "isrd_redisstore_pool_timeouts_total", Help: "Operations that found no free connection in time.",
	}, func() float64 { _, _, timeouts := p.Pool(); return float64(timeouts) })
}
