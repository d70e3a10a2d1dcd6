package simulation_test

import (
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

// place is a position of the log.
type place struct {
	epoch, seq uint64
	nonce      string
}

func placeOf(p *isrdv1.Position) place {
	return place{epoch: p.GetEpoch(), seq: p.GetSeq(), nonce: p.GetNonce()}
}

func (p place) wire() *isrdv1.Position {
	return &isrdv1.Position{Epoch: p.epoch, Seq: p.seq, Nonce: p.nonce}
}

func (p place) before(o place) bool {
	return p.epoch < o.epoch || p.epoch == o.epoch && p.seq < o.seq
}

// following is how a client follows the log: jsclient's following.ts.
type following struct {
	known        bool
	at           place
	ahead        *place // something that was answered knows the log up to here
	vouchedUntil time.Duration
}

func (f *following) vouched(now time.Duration) bool { return f.ahead == nil && now < f.vouchedUntil }

func (f *following) renew(c *client, sentAt time.Duration, validity uint32) {
	if c.w.plan.plant == validityFromReceipt {
		sentAt = c.w.now()
	}
	f.vouchedUntil = sentAt + time.Duration(validity)*time.Millisecond
}

func (f *following) welcomed(c *client, w *isrdv1.Welcome, sentAt time.Duration) {
	if w.GetResumed() && f.known {
		f.answered(placeOf(w.GetPosition()))
	} else {
		f.restart(c, placeOf(w.GetPosition()))
	}
	f.renew(c, sentAt, w.GetValidityMs())
}

func (f *following) events(c *client, events []*isrdv1.Event) {
	c.near.apply(events)
	f.advance(placeOf(events[len(events)-1].GetPosition()))
}

func (f *following) reset(c *client, p *isrdv1.Position) {
	f.ahead = nil
	f.restart(c, placeOf(p))
}

func (f *following) pong(c *client, pong *isrdv1.Pong, sentAt time.Duration) {
	p := placeOf(pong.GetPosition())
	c.near.reached(p)
	f.advance(p)
	f.renew(c, sentAt, pong.GetValidityMs())
}

// answered notes that somebody who answered knows the log up to p.
func (f *following) answered(p place) {
	if p == (place{}) || f.covers(p) {
		return
	}
	if f.ahead == nil || f.ahead.before(p) {
		f.ahead = &p
	}
}

func (f *following) restart(c *client, p place) {
	c.near.reset(p)
	f.at, f.known = p, true
	if f.ahead != nil && f.ahead.epoch != p.epoch {
		f.ahead = nil
	}
	f.catchUp()
}

func (f *following) advance(p place) {
	if !f.known || !p.before(f.at) {
		f.at, f.known = p, true
	}
	f.catchUp()
}

func (f *following) catchUp() {
	if f.ahead != nil && f.covers(*f.ahead) {
		f.ahead = nil
	}
}

func (f *following) covers(p place) bool { return f.known && !f.at.before(p) }

// near is a client's near cache: jsclient's near-cache.ts.
type near struct {
	entries map[string]*nearEntry
	epoch   uint64
	floor   uint64
	marked  map[string]uint64 // by name: the seq of its last event
	turn    int
	writes  map[string]int
}

// nearEntry is what it has of a key.
type nearEntry struct {
	answer     answer
	names      map[string]bool // all that it was judged by
	freshUntil time.Duration
	bornAt     time.Duration
}

func newNear() near {
	return near{entries: make(map[string]*nearEntry), marked: make(map[string]uint64), writes: make(map[string]int)}
}

// get gives an entry that is fresh for a reader.
func (n *near) get(key string, soft []string, now time.Duration) *nearEntry {
	e := n.entries[key]
	if e == nil || now >= e.freshUntil {
		return nil
	}
	for _, t := range soft {
		if !e.names[t] {
			return nil
		}
	}
	return e
}

// begin is the begin of a write.
func (n *near) begin(key string) int {
	n.turn++
	n.writes[key] = n.turn
	delete(n.entries, key)
	return n.turn
}

// fill keeps an answer, unless it was overtaken.
func (n *near) fill(a answer, hash string, soft []string, asOf place, turn int, ignoreAsOf bool) {
	if asOf.epoch != n.epoch || n.writes[a.key] > turn {
		return
	}
	names := map[string]bool{"\x00" + hash: true}
	for _, list := range [][]string{a.tags, soft} {
		for _, t := range list {
			names[t] = true
		}
	}
	if !ignoreAsOf {
		if asOf.seq < n.floor {
			return
		}
		for name := range names {
			if n.marked[name] > asOf.seq {
				return
			}
		}
	}
	if old := n.entries[a.key]; old != nil {
		switch {
		case a.version.less(old.answer.version):
			return
		case a.version == old.answer.version:
			for name := range old.names {
				names[name] = true
			}
		}
	}
	until := time.Duration(1<<62 - 1)
	for _, s := range []uint32{a.lifetime.revalidate, a.lifetime.expire} {
		if s != 0 {
			until = min(until, a.bornAt+time.Duration(s)*time.Second)
		}
	}
	n.entries[a.key] = &nearEntry{answer: a, names: names, freshUntil: until, bornAt: a.bornAt}
}

func (n *near) forget(names []string) {
	for key, e := range n.entries {
		for _, name := range names {
			if e.names[name] {
				delete(n.entries, key)
				break
			}
		}
	}
}

func (n *near) apply(events []*isrdv1.Event) {
	for _, e := range events {
		n.reached(placeOf(e.GetPosition()))
		var names []string
		for _, m := range e.GetMarks() {
			names = append(names, m.GetTag())
		}
		for _, h := range e.GetKeyHashes() {
			names = append(names, hashName(h))
		}
		for _, name := range names {
			n.marked[name] = e.GetPosition().GetSeq()
		}
		n.forget(names)
	}
}

func (n *near) reached(p place) {
	if p.epoch != n.epoch {
		n.reset(p)
	}
}

func (n *near) reset(p place) {
	clear(n.entries)
	clear(n.marked)
	n.epoch, n.floor = p.epoch, p.seq
}
