package simulation_test

import (
	"slices"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

// The renders that are open in a process and what a set must carry: jsclient's renders.ts and lease.ts.

// version is an entry's.
type version struct{ epoch, seq, token uint64 }

func versionOf(v *isrdv1.Version) version {
	return version{epoch: v.GetEpoch(), seq: v.GetSeq(), token: v.GetToken()}
}

func (v version) wire() *isrdv1.Version {
	return &isrdv1.Version{Epoch: v.epoch, Seq: v.seq, Token: v.token}
}

func (v version) less(o version) bool {
	if v.epoch != o.epoch {
		return v.epoch < o.epoch
	}
	if v.seq != o.seq {
		return v.seq < o.seq
	}
	return v.token < o.token
}

// lease is the right to fill a key.
type lease struct {
	key   pageKey
	token uint64
	open  bool
}

// begin is where a request began.
type begin struct {
	known bool
	at    place
}

func (c *client) begin() *begin { return &begin{known: c.follow.known, at: c.follow.at} }

// render is one that a get has set off.
type render struct {
	key   pageKey
	begin *begin
	base  *version
	via   *stream // that the base came over
	lease *lease

	openedAt time.Duration
}

// grant takes note of a lease.
func (c *client) grant(key pageKey, token uint64) *lease {
	if token == 0 {
		return nil
	}
	l := &lease{key: key, token: token, open: true}
	kept := c.leases[:0]
	for _, old := range c.leases {
		if old.open {
			kept = append(kept, old)
		}
	}
	kept = append(kept, l)
	c.leases = kept
	return l
}

func (c *client) open(r *render) *render {
	r.openedAt = c.w.now()
	c.renders[r.key.name] = append(c.renders[r.key.name], r)
	return r
}

// drop ends a render without a set. False: it was over.
func (c *client) drop(r *render) bool {
	all := c.renders[r.key.name]
	for i, other := range all {
		if other == r {
			c.renders[r.key.name] = append(all[:i:i], all[i+1:]...)
			return true
		}
	}
	return false
}

// abandon is the end of a render without a set.
func (c *client) abandon(r *render, completed bool) {
	if c.drop(r) && r.lease != nil {
		c.giveLease(r.lease, completed)
	}
}

func (c *client) giveLease(l *lease, completed bool) {
	if l != nil {
		l.open = false
		c.release(release{key: l.key, token: l.token, completed: completed})
	}
}

// closed is what the renders of a key leave to the set that ends them.
type closed struct {
	base  *version
	at    *place
	lease *lease
}

// endedCall is a call of a function that is over, from jsclient's ended-calls.ts.
type endedCall struct {
	over time.Duration
	via  *stream
	tags []string
	closed
}

// joined is what counts from no later than the calls that may be in what was made since then, and has these tags.
func (c *client) joined(own closed, since time.Duration, tags []string) closed {
	for _, call := range c.calls {
		if call.over >= since && !slices.ContainsFunc(call.tags, func(t string) bool { return !slices.Contains(tags, t) }) {
			if call.via != c.link {
				call.closed = call.elsewhere()
			}
			own = own.lowered(call.closed)
		}
	}
	return own
}

// endings are the last digits of a token, by which it is told from others of its millisecond.
const endings = 1000

func (e closed) lowered(call closed) closed {
	if e.base == nil && e.at == nil || call.base == nil && call.at == nil {
		e.base, e.at = nil, nil
		return e
	}
	if call.at != nil && (e.at == nil || call.at.before(*e.at)) {
		p := *call.at
		e.at = &p
	}
	switch {
	case call.base == nil:
	case e.base != nil:
		own := *e.base
		if b := (version{call.base.epoch, call.base.seq, call.base.token/endings*endings + own.token%endings}); b.less(own) {
			e.base = &b
		}
	default:
		if p := (place{epoch: call.base.epoch, seq: call.base.seq}); p.before(*e.at) {
			e.at = &p
		}
	}
	if e.base != nil && e.at != nil && e.at.before(place{epoch: e.base.epoch, seq: e.base.seq}) {
		e.base = &version{epoch: e.at.epoch, seq: e.at.seq, token: e.base.token}
	}
	return e
}

// closeRenders ends the renders of a key; content has tags.
func (c *client) closeRenders(key pageKey, b *begin, tags []string) closed {
	all := c.renders[key.name]
	delete(c.renders, key.name)
	mine, since := false, c.w.now()
	for _, r := range all {
		mine, since = mine || r.begin == b, min(since, r.openedAt)
	}
	if !mine {
		all, since = append(all, &render{key: key, begin: b}), 0
	}
	var out closed
	for _, r := range all {
		if r.lease != nil && (out.lease == nil || r.lease.token > out.lease.token) {
			out.lease = r.lease
		}
	}
	for _, r := range all {
		if r.lease != nil && r.lease != out.lease {
			c.giveLease(r.lease, false)
		}
	}
	out.base, out.at = c.lowest(all)
	if tags != nil && c.w.plan.plant != joinedCallForgotten {
		out = c.joined(out, since, tags)
	}
	if tags != nil && key.space == isrdv1.Space_SPACE_FETCH {
		c.calls = append(c.calls, endedCall{over: c.w.now(), via: c.link, tags: tags, closed: out})
	}
	return out
}

// counted is from where a render counts, for this connection.
func (r *render) counted(to *stream) (e closed) {
	switch {
	case r.base != nil && r.via != to:
		e.base = r.base
		return e.elsewhere()
	case r.base != nil:
		e.base = r.base
	case r.begin.known:
		e.at = &r.begin.at
	}
	return e
}

// elsewhere is the same for another connection: the token says nothing to a daemon that may have been told other things.
func (e closed) elsewhere() closed {
	if e.base != nil {
		if p := (place{epoch: e.base.epoch, seq: e.base.seq}); e.at == nil || p.before(*e.at) {
			e.at = &p
		}
	}
	return e
}

// lowest is from where a set must count: of its renders the lowest.
func (c *client) lowest(all []*render) (base *version, at *place) {
	for _, r := range all {
		e := r.counted(c.link)
		if e.base == nil && e.at == nil {
			return nil, nil
		}
		if e.base != nil && (base == nil || e.base.less(*base) != (c.w.plan.plant == setWithNewest)) {
			base = e.base
		}
		if e.at != nil && (at == nil || e.at.before(*at)) {
			at = e.at
		}
	}
	if base == nil || at == nil || !at.before(place{epoch: base.epoch, seq: base.seq}) {
		return base, at
	}
	return &version{epoch: at.epoch, seq: at.seq, token: base.token}, at
}

// set writes content and ends the renders of its key.
func (c *client) set(key pageKey, made *content, l lifetime, b *begin, then func()) {
	turn := c.near.begin(key.name)
	born := c.w.now()
	tags := made.all()
	ended := c.closeRenders(key, b, tags)
	if c.link == nil || ended.base == nil && ended.at == nil {
		c.giveLease(ended.lease, false)
		then()
		return
	}
	r := &isrdv1.SetRequest{Key: key.wire(), Entry: entryOf(key, made, tags, l)}
	if ended.base != nil {
		r.Base = ended.base.wire()
	}
	if ended.at != nil {
		r.Position = ended.at.wire()
	}
	if ended.lease != nil {
		r.LeaseToken = ended.lease.token
	}
	c.w.note("set", c.name, key.name, made.id, r.GetBase(), r.GetLeaseToken())
	f := &isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Set{Set: r}}
	c.request(f, clientTimeout, nil, func(answer *isrdv1.SessionResponse) {
		if ended.lease != nil {
			c.unused(ended.lease, answer)
		}
		if s := answer.GetSet(); s.GetOutcome() == isrdv1.Outcome_OUTCOME_ACCEPTED && s.GetVersion() != nil {
			v := versionOf(s.GetVersion())
			c.near.fill(answerOf(key.name, made, v, tags, l, born), c.hashOf(key), nil, place{epoch: v.epoch, seq: v.seq}, turn, c.w.plan.plant == fillWithoutAsOf)
		}
		then()
	})
}

// unused ends a lease after its set. A set that was sent and not answered may yet be done, and end it; any other never will.
func (c *client) unused(l *lease, answer *isrdv1.SessionResponse) {
	if answer.GetRefusal() != nil || answer == nil && c.bound == nil {
		c.giveLease(l, false)
	}
	l.open = false
}

func answerOf(key string, made *content, v version, tags []string, l lifetime, born time.Duration) answer {
	return answer{key: key, status: isrdv1.Status_STATUS_HIT, content: made, version: v, tags: tags, lifetime: l, bornAt: born}
}

func entryOf(key pageKey, made *content, tags []string, l lifetime) *isrdv1.Entry {
	kind := isrdv1.Kind_KIND_APP_PAGE
	if key.space == isrdv1.Space_SPACE_FETCH {
		kind = isrdv1.Kind_KIND_FETCH
	}
	life := &isrdv1.Lifetime{}
	if l.revalidate != 0 {
		life.RevalidateSeconds = &l.revalidate
	}
	if l.expire != 0 {
		life.ExpireSeconds = &l.expire
	}
	return &isrdv1.Entry{Kind: kind, Parts: []*isrdv1.Part{{Name: "b", Data: made.body()}}, Lifetime: life, Tags: tags}
}
