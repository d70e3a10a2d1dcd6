package simulation_test

import (
	"slices"
	"strings"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// An event that a replica had not got when it became the master is lost with the old one, unless a daemon that knows it
// brings it back. While the new master's first second lasts, answers that may be older are flagged, so that all that was
// acknowledged is still asked for. After that, nobody else can know it, and if no daemon lives on that does, nobody ever
// will: Redis replicates asynchronously, and no promise is made beyond that. So what the log lacks then is not asked for
// until the look at the end, when who knows it has had the time to come.

// acknowledged is a revalidation that was acknowledged to the fleet.
type acknowledged struct {
	delivered
	at    time.Duration
	seq   int64
	known []*life // daemons that have it
}

// acknowledge notes that a revalidation holds for the fleet.
func (h *watch) acknowledge(l *life, p *isrdv1.Position, d delivered) {
	a := acknowledged{delivered: d, at: h.w.now(), seq: int64(p.GetSeq()), known: []*life{l}} //nolint:gosec // a time in microseconds
	for _, log := range h.logs() {
		if log.epoch == int64(p.GetEpoch()) { //nolint:gosec // as above
			a.known = append(a.known, h.toldOf(log, a.seq)...)
		}
		if log.epoch == h.settled && log.lacks(a) {
			h.lacking = append(h.lacking, a) // who knows it was too slow
			return
		}
	}
	h.history = append(h.history, a)
	h.w.holds(h.acked, a.at, d)
}

// loggedState is a log with its table.
type loggedState struct {
	logState
	fields map[string]string
}

// logs gives the log, if there is one.
func (h *watch) logs() (list []loggedState) {
	for key, v := range h.w.redis.keys {
		if strings.HasSuffix(key, "}:log") {
			s := &script{redis: h.w.redis, now: h.w.redis.micros()}
			if log, ok := s.logAt(key); ok {
				list = append(list, loggedState{log, v.hash})
			}
		}
	}
	return list
}

// toldOf gives the daemons that have told their clients of a seq.
func (h *watch) toldOf(log loggedState, seq int64) (list []*life) {
	for line := range strings.Lines(log.members) {
		words := strings.Fields(line)
		for _, d := range h.w.daemons {
			if d.life != nil && d.life.name == words[0] && number(words[2]) >= seq {
				list = append(list, d.life)
			}
		}
	}
	return list
}

// lacks says that content from before a revalidation is judged by a table that does not have it.
func (log loggedState) lacks(a acknowledged) bool {
	r := parseRecord(log.fields["t:"+a.tag])
	if r[0] >= a.seq || a.soft && r[1] >= a.seq && r[2] >= a.seq {
		return false
	}
	if log.epoch <= a.seq {
		return true
	}
	for one := range strings.SplitSeq(log.past, ";") {
		if epoch, _, ok := strings.Cut(one, " "); ok && number(epoch) <= a.seq {
			return true
		}
	}
	return false
}

// settles looks, when the first second of a log that was moved is over, what it still lacks.
func (h *watch) settles(s *script) {
	log, ok := s.logAt(s.key(1))
	if !ok || log.moved != "1" || log.epoch == h.settled || s.ms() < over(log.begun, cache.Bound.Milliseconds()) {
		return
	}
	h.settled = log.epoch
	logged := loggedState{log, s.get(s.key(1), s.ms()).hash}
	if !slices.ContainsFunc(h.history, logged.lacks) {
		return
	}
	var kept []acknowledged
	clear(h.acked)
	for _, a := range h.history {
		if logged.lacks(a) {
			h.w.note("lost", a.tag, a.tick)
			h.lacking = append(h.lacking, a)
			continue
		}
		kept = append(kept, a)
		h.w.holds(h.acked, a.at, a.delivered)
	}
	h.history = kept
}

// broughtBack asks again for what was lost, where one of those who know it has lived on.
func (h *watch) broughtBack() {
	for _, a := range h.lacking {
		if slices.ContainsFunc(a.known, func(l *life) bool { return !l.ended && !l.link.dead }) {
			h.w.holds(h.acked, h.w.now(), a.delivered)
		}
	}
	h.lacking = nil
}
