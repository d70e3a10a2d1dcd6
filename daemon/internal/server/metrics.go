package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	sessions *prometheus.GaugeVec
	resets   prometheus.Counter
}

// queueMetrics are those of the RevalidationService.
type queueMetrics struct{ enqueued *prometheus.CounterVec }

func newQueueMetrics(reg prometheus.Registerer) *queueMetrics {
	return &queueMetrics{enqueued: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "isrd_queue_requests_total", Help: "Regenerations that were asked for at this daemon: enqueued, collapsed with one that waited, or refused for want of room.",
	}, []string{"app", "outcome"})}
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
