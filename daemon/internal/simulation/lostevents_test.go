package simulation_test

import (
	"slices"
	"time"
)

// An event that a replica had not got when it became the master is lost with the old one, unless a daemon that knows it
// brings it back. Until then nobody else can know it, and if no such daemon lives on, nobody ever will: Redis replicates
// asynchronously, and no promise is made beyond that. So what was acknowledged since the replica fell behind is not asked
// for after a fail-over, until it has been brought back or a daemon that knows it has been well for a while.

// acknowledged is a revalidation that was acknowledged to the fleet.
type acknowledged struct {
	at time.Duration
	delivered
}

// atRisk are those that a fail-over may have lost.
type atRisk struct {
	lost  []acknowledged
	known []*life // daemons that had them, each
}

// heldSince rebuilds what is asked for without what was acknowledged after a time, which it returns.
func (h *watch) heldSince(after time.Duration) []acknowledged {
	i := slices.IndexFunc(h.history, func(a acknowledged) bool { return a.at >= after })
	if i < 0 {
		return nil
	}
	lost := slices.Clone(h.history[i:])
	h.history = h.history[:i:i]
	clear(h.acked)
	for _, a := range h.history {
		h.w.holds(h.acked, a.delivered)
	}
	return lost
}

// failedOver takes note of a fail-over to a replica that was as of a time.
func (h *watch) failedOver(asOf time.Duration) {
	r := &atRisk{lost: h.heldSince(asOf)}
	if len(r.lost) == 0 {
		return
	}
	for _, d := range h.w.daemons {
		if d.life != nil && !d.life.ended {
			r.known = append(r.known, d.life)
		}
	}
	h.w.note("at risk", len(r.lost))
	h.atRisk = append(h.atRisk, r)
}

// broughtBack asks again for what is at risk, where one of those who know it has lived on.
func (h *watch) broughtBack() {
	for _, r := range h.atRisk {
		if slices.ContainsFunc(r.known, func(l *life) bool { return !l.ended && !l.link.dead }) {
			for _, a := range r.lost {
				h.acknowledge(a.delivered)
			}
		}
	}
	h.atRisk = nil
}

// acknowledge notes that a revalidation holds for the fleet.
func (h *watch) acknowledge(d delivered) {
	h.history = append(h.history, acknowledged{at: h.w.now(), delivered: d})
	h.w.holds(h.acked, d)
}
