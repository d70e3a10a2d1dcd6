package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/isrd/isrd/daemon/internal/queue"
)

type metrics struct {
	jobs      *prometheus.CounterVec
	duration  prometheus.Histogram
	running   prometheus.Gauge
	processes *prometheus.GaugeVec
	leader    *prometheus.GaugeVec
	open      *prometheus.GaugeVec
	dead      *prometheus.GaugeVec
	wait      *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		jobs: f.NewCounterVec(prometheus.CounterOpts{
			Name: "isrd_worker_jobs_total", Help: "Attempts that this daemon has ended, by what became of the job.",
		}, []string{"app", "result"}),
		duration: f.NewHistogram(prometheus.HistogramOpts{
			Name: "isrd_worker_job_seconds", Help: "From the claim to the end of an attempt.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		running: f.NewGauge(prometheus.GaugeOpts{
			Name: "isrd_worker_jobs_running", Help: "Jobs that processes of this daemon work on now.",
		}),
		processes: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isrd_worker_processes", Help: "Processes that get jobs from this daemon.",
		}, []string{"app"}),
		leader: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isrd_worker_leader", Help: "1 if this daemon leads the workers of the app (--worker=leader).",
		}, []string{"app"}),
		open: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isrd_queue_open_jobs", Help: "Jobs of the app that have not ended, as this daemon saw them last.",
		}, []string{"app"}),
		dead: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isrd_queue_dead_jobs", Help: "Jobs of the app that are not tried any more, as this daemon saw them last.",
		}, []string{"app"}),
		wait: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "isrd_queue_wait_seconds", Help: "From the enqueuing to the first claim, by priority.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 2.5, 10, 60, 300, 1800},
		}, []string{"priority"}),
	}
}

func (m *metrics) counted(app string, c queue.Claimed) {
	m.open.WithLabelValues(app).Set(float64(c.Open))
	m.dead.WithLabelValues(app).Set(float64(c.Dead))
}

func (m *metrics) leads(app string, leads bool) {
	value := 0.0
	if leads {
		value = 1
	}
	m.leader.WithLabelValues(app).Set(value)
}

var priorities = map[queue.Priority]string{queue.Interactive: "interactive", queue.Normal: "normal", queue.Bulk: "bulk"}

func (m *metrics) waited(j queue.Job) {
	if j.Attempt == 1 {
		m.wait.WithLabelValues(priorities[j.Priority]).Observe(float64(j.Claimed-j.Enqueued) / 1000)
	}
}

var results = map[queue.Verdict]string{queue.TryAgain: "failed", queue.GiveBack: "given_back", queue.GiveUp: "given_up"}

func (m *metrics) ended(app string, r queue.Result, ours bool, took time.Duration) {
	result := results[r.Verdict]
	if r.Verdict == queue.Complete {
		result = r.Outcome.String()
	}
	if !ours {
		result = "lost"
	}
	m.jobs.WithLabelValues(app, result).Inc()
	m.duration.Observe(took.Seconds())
}
