package webhook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/queue"
)

// call is one request on its way.
type call struct {
	*http.Request
	from   netip.Prefix
	app    string
	source string
	known  bool // it has shown who sent it
	wait   time.Duration
}

// refusal is why a request is not taken: what the sender is told, and how it is counted.
type refusal struct {
	status  int
	outcome string
	text    string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, outcome, format string, args ...any) error {
	return &refusal{status, outcome, fmt.Sprintf(format, args...)}
}

// reply is the body of an answer.
type reply struct {
	Error     string      `json:"error,omitempty"`
	RequestID string      `json:"request_id"`
	JobID     string      `json:"job_id,omitempty"`
	JobIDs    []string    `json:"job_ids,omitzero"`
	Tags      []string    `json:"tags,omitempty"`
	FleetWide *bool       `json:"fleet_wide,omitempty"`
	Jobs      []jobReport `json:"jobs,omitempty"`
}

// serve answers one request and counts it.
func (h *Hook) serve(w http.ResponseWriter, r *http.Request, stops <-chan struct{}) {
	id := rand.Text()[:16]
	c := &call{Request: r, from: sourceOf(r.RemoteAddr)}
	log := h.log.With(slog.String("request_id", id), slog.String("remote", r.RemoteAddr))
	status := http.StatusAccepted
	out, finished, err := h.handle(r.Context(), c, w, stops)
	if finished {
		status = http.StatusOK
	}
	outcome := "accepted"
	if err != nil {
		no := h.judge(r.Context(), c, err, log)
		status, outcome, out = no.status, no.outcome, &reply{Error: no.text}
		switch status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "1")
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
	} else {
		log.Debug("webhook taken", slog.String("app", c.app), slog.String("source", c.source), slog.Int("jobs", len(out.JobIDs)), slog.Int("tags", len(out.Tags)))
	}
	h.metrics.requests.WithLabelValues(outcome).Inc()
	out.RequestID = id
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(out); err != nil {
		log.Debug("answer a webhook", slog.Any("error", err))
	}
}

// judge makes an answer of an error. Strangers who have sent too many such requests are told that, and not why.
func (h *Hook) judge(ctx context.Context, c *call, err error, log *slog.Logger) *refusal {
	no := refusalOf(err)
	if c.known {
		log.Warn("webhook refused", slog.String("outcome", no.outcome), slog.String("app", c.app), slog.String("source", c.source), slog.Any("error", err))
		return no
	}
	if !h.limits.bad(c.from, h.config.Now()) {
		log.Debug("webhook refused", slog.String("outcome", "rate_limited"))
		return &refusal{http.StatusTooManyRequests, "rate_limited", "too many requests that show no valid token or signature"}
	}
	level := slog.LevelDebug
	if h.warnings.AllowN(h.config.Now(), 1) {
		level = slog.LevelWarn
	}
	log.Log(ctx, level, "webhook refused", slog.String("outcome", no.outcome), slog.Any("error", err))
	return no
}

// refusalOf says what a sender is told of an error of the daemon.
func refusalOf(err error) *refusal {
	var no *refusal
	switch {
	case errors.As(err, &no):
		return no
	case errors.Is(err, queue.ErrPath), errors.Is(err, queue.ErrRequest), errors.Is(err, cache.ErrKey):
		return &refusal{http.StatusBadRequest, "invalid", err.Error()}
	case errors.Is(err, queue.ErrFull), errors.Is(err, cache.ErrTooManyApps):
		return &refusal{http.StatusServiceUnavailable, "full", err.Error()}
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, cache.ErrUnavailable):
		return &refusal{http.StatusServiceUnavailable, "unavailable", "the store does not answer; send it again"}
	}
	return &refusal{http.StatusInternalServerError, "failed", "internal error; the daemon's log has the details"}
}

// handle does what a request asks for. True: all of it is done.
func (h *Hook) handle(ctx context.Context, c *call, w http.ResponseWriter, stops <-chan struct{}) (*reply, bool, error) {
	what, done, err := h.take(c, w)
	if err != nil {
		return nil, false, err
	}
	jobs, everywhere := []string{}, true
	if len(what.paths) > 0 || len(what.tags) > 0 { // a rule may say that there is nothing to do
		jobs, everywhere, err = h.config.Revalidator.Revalidate(ctx, c.app, what.paths, what.tags)
	}
	done(err == nil)
	if err != nil {
		return nil, false, fmt.Errorf("revalidate %d paths and %d tags of %s: %w", len(what.paths), len(what.tags), c.app, err)
	}
	out := &reply{JobIDs: slices.Concat([]string{}, jobs), Tags: what.tags}
	if len(jobs) > 0 {
		out.JobID = jobs[0]
	}
	if len(what.tags) > 0 {
		out.FleetWide = &everywhere
	}
	finished := false
	if c.wait > 0 {
		out.Jobs, finished = h.await(ctx, c.app, jobs, c.wait, stops)
	}
	return out, finished, nil
}

// take makes sure of who sent a request, and reads what it asks for. done must be told whether that was done.
func (h *Hook) take(c *call, w http.ResponseWriter) (what order, done func(bool), err error) {
	src, err := h.route(c)
	if err != nil {
		return what, nil, err
	}
	who := h.own
	if src != nil && src.auth != nil {
		who = *src.auth
	}
	if who.open() && !isLoopback(c.Host) {
		return what, nil, refuse(http.StatusUnauthorized, "unauthorized", "without a secret only requests to localhost are taken, not to %.100q", c.Host)
	}
	shown, err := who.shown(c.Header, h.config.Now(), h.config.Window)
	if err != nil {
		return what, nil, err
	}
	c.known = shown.sure
	body, release, err := h.read(c, w)
	defer release()
	if err != nil {
		return what, nil, err
	}
	if err := shown.verify(body); err != nil {
		return what, nil, err
	}
	c.known = true
	if done, err = h.once(shown); err != nil {
		return what, nil, err
	}
	if what, err = h.order(c, src, body); err != nil {
		done(false)
		return what, nil, err
	}
	return what, done, nil
}

// read takes the body, of which there may be so much. release must be called when nothing of it is used any more.
func (h *Hook) read(c *call, w http.ResponseWriter) (body []byte, release func(), err error) {
	release = func() {}
	limit := h.config.MaxBytes
	if !c.known && h.limits.suspect(c.from, h.config.Now()) {
		limit = min(limit, maxCommon)
	}
	size := c.ContentLength
	if size < 0 {
		size = limit // nobody knows
	}
	if size > limit {
		return nil, release, refuse(http.StatusRequestEntityTooLarge, "too_large", "the body has %d bytes; the limit is %d", size, limit)
	}
	if size > maxCommon {
		if !h.limits.reserve(size) {
			return nil, release, refuse(http.StatusServiceUnavailable, "busy", "too many requests at the same time; send it again")
		}
		release = func() { h.limits.release(size) }
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, c.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, release, refuse(http.StatusRequestEntityTooLarge, "too_large", "the body is too large; the limit is %d bytes", limit)
	case err != nil:
		return nil, release, refuse(http.StatusBadRequest, "invalid", "the body did not arrive")
	}
	return body, release, nil
}

// once keeps a delivery from being taken twice, and too many from being taken at a time. done says whether it was taken:
// one that was not may be sent again.
func (h *Hook) once(s shown) (done func(taken bool), err error) {
	now := h.config.Now()
	done = func(bool) {}
	if s.delivery != "" {
		if err := h.deliveries.claim(s.mac, now, s.sent.Add(h.config.Window)); err != nil {
			return nil, err
		}
		done = func(taken bool) {
			if !taken {
				h.deliveries.release(s.mac)
			}
		}
	}
	if !h.good.AllowN(now, 1) {
		done(false)
		return nil, refuse(http.StatusTooManyRequests, "rate_limited", "more than %v webhooks a second; send it again", h.config.Rate)
	}
	return done, nil
}

// order reads what is to be revalidated, of which app, and for how long the sender waits.
func (h *Hook) order(c *call, src *source, body []byte) (order, error) {
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return order{}, refuse(http.StatusBadRequest, "invalid", "the query is not well escaped")
	}
	if text := query.Get("wait"); text != "" {
		if c.wait, err = time.ParseDuration(text); err != nil || c.wait < 0 || c.wait > maxWait {
			return order{}, refuse(http.StatusBadRequest, "invalid", "wait=%.20q: write a time up to %v, such as 10s", text, maxWait)
		}
	}
	if err := h.named(c, query["app"]); err != nil {
		return order{}, err
	}
	if src == nil || len(src.rules) == 0 {
		return parse(body)
	}
	what, counts, err := src.apply(body)
	for outcome, n := range counts {
		h.metrics.rules.WithLabelValues(c.source, outcome).Add(float64(n))
	}
	return what, err
}
