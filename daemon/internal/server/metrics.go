package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	sessions *prometheus.GaugeVec
	resets   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		sessions: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isrd_server_sessions", Help: "Next.js processes that are connected, by app.",
		}, []string{"app"}),
		resets: f.NewCounter(prometheus.CounterOpts{
			Name: "isrd_server_resets_total", Help: "Resets sent to sessions that missed events.",
		}),
	}
}
