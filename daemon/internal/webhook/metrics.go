package webhook

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct{ requests, rules *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_webhook_requests_total",
			Help: "Webhooks: accepted, or why not: unauthorized, expired, replayed, rate_limited, too_large, busy, invalid, unmapped, not_found, full, unavailable, failed.",
		}, []string{"outcome"}),
		rules: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_webhook_rules_total",
			Help: "Rules of --webhook-map: applied, skipped because of their when, or incomplete because the payload has not what a template names.",
		}, []string{"source", "outcome"}),
	}
}
