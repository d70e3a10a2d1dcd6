package worker

import (
	"context"
	"log/slog"
	"time"
)

// leads is the leadership of this daemon for one app, as far as it knows. The store knows better: every claim names the
// term.
type leads struct {
	term  uint64 // 0: another leads
	until time.Time
}

// lead renews the term, or begins one if nobody leads. False: another does, and how long to wait before asking again.
func (t *team) lead(ctx context.Context) (time.Duration, bool) {
	ttl := t.worker.config.LeaderTTL
	if t.leads.term != 0 && time.Until(t.leads.until) > ttl*2/3 {
		return 0, true
	}
	sent := time.Now()
	term, err := t.worker.config.Queue.Lead(ctx, t.app, t.worker.holder, ttl)
	if err != nil {
		t.log.Debug("lead", slog.Any("error", err))
		return pause, t.leads.term != 0 && time.Now().Before(t.leads.until)
	}
	was := t.leads.term
	t.leads = leads{term: term.Number, until: sent.Add(ttl)}
	if was != term.Number {
		t.log.Info("leadership of the workers", slog.Bool("leads", term.Number != 0), slog.Uint64("term", term.Number))
	}
	t.worker.metrics.leads(t.app, term.Number != 0)
	return max(term.Left, time.Millisecond), term.Number != 0
}

// resignLimit bounds a resignation: without it the term ends by its time.
const resignLimit = time.Second

func (t *team) resign(ctx context.Context) {
	if t.leads.term == 0 {
		return
	}
	t.leads = leads{}
	t.worker.metrics.leads(t.app, false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignLimit)
	defer cancel()
	if err := t.worker.config.Queue.Resign(ctx, t.app, t.worker.holder); err != nil {
		t.log.Debug("resign; the term ends by its time", slog.Any("error", err))
	}
}
