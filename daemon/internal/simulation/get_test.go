package simulation_test

import (
	"encoding/hex"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// A get of a client, from the near cache to the daemon: jsclient's client.ts and next/answer.ts.

// answer is what a get has found.
type answer struct {
	key      string
	status   isrdv1.Status
	reason   isrdv1.Reason
	content  *content
	version  version
	tags     []string
	lifetime lifetime
	bornAt   time.Duration
	leased   bool
	near     bool
	render   *render
}

// flagged says that the daemon could not ask its store.
func (a answer) flagged() bool { return a.reason == isrdv1.Reason_REASON_STORE_UNAVAILABLE }

// read is a get.
type read struct {
	key      pageKey
	soft     []string
	onDemand bool
	noLease  bool
	begin    *begin
	at       time.Duration // when it began
	need     required      // what held then
	own      required
}

func (c *client) hashOf(key pageKey) string {
	k := cache.Key{App: app, Space: cache.Space(key.space), Name: key.name} //nolint:gosec // a small number
	if key.space == isrdv1.Space_SPACE_ROUTE {
		k.Build = build
	}
	return string(k.ID())
}

func hashName(hash []byte) string { return "\x00" + hex.EncodeToString(hash) }

// get reads an entry.
func (c *client) get(r read, then func(answer)) {
	r.at, r.need, r.own = c.w.now(), clone(c.w.watch.acked), clone(c.own.marks)
	if !r.onDemand && (c.link != nil && c.follow.vouched(c.w.now()) || c.w.plan.plant == nearUnvouched) {
		if e := c.near.get(r.key.name, r.soft, c.w.now()); e != nil {
			a := e.answer
			a.near, a.status, a.reason, a.leased, a.render = true, isrdv1.Status_STATUS_HIT, 0, false, nil
			c.w.note("near", c.name, r.key.name, a.content.id)
			c.w.watch.told(c, r, a)
			then(a)
			return
		}
	}
	var held *nearEntry
	request := &isrdv1.GetRequest{Key: r.key.wire(), SoftTags: r.soft, OnDemand: r.onDemand, NoLease: r.noLease}
	if !r.onDemand {
		if held = c.near.entries[r.key.name]; held != nil {
			request.Held = held.answer.version.wire()
		}
	}
	turn, via := c.near.turn, c.link
	f := &isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Get{Get: request}}
	c.request(f, clientTimeout, &r.key, func(frame *isrdv1.SessionResponse) {
		a := c.answered(r, via, frame.GetGet(), held, turn)
		c.w.watch.told(c, r, a)
		then(a)
	})
}

// answered turns what the daemon said, if it did, into an answer, and opens a render if Next.js will render.
func (c *client) answered(r read, via *stream, g *isrdv1.GetResponse, held *nearEntry, turn int) answer {
	a := answer{key: r.key.name, status: isrdv1.Status_STATUS_MISS}
	if g == nil {
		if !r.noLease {
			a.render = c.open(&render{key: r.key, begin: r.begin})
		}
		return a
	}
	asOf := placeOf(g.GetAsOf())
	c.follow.answered(asOf)
	a.status, a.reason, a.version = g.GetStatus(), g.GetReason(), versionOf(g.GetVersion())
	a.leased = g.GetLease() != nil
	a.bornAt = c.w.now() - time.Duration(g.GetAgeMs())*time.Millisecond //nolint:gosec // some seconds
	switch {
	case g.GetUnchanged() && held != nil:
		a.content, a.tags, a.lifetime = held.answer.content, held.answer.tags, held.answer.lifetime
	case g.GetEntry() != nil:
		a.content, a.tags = c.w.origin.of(g.GetEntry().GetParts()[0].GetData()), g.GetEntry().GetTags()
		l := g.GetEntry().GetLifetime()
		a.lifetime = lifetime{revalidate: l.GetRevalidateSeconds(), expire: l.GetExpireSeconds()}
	}
	granted := c.grant(r.key, g.GetLease().GetToken())
	fetched := r.key.space == isrdv1.Space_SPACE_FETCH
	stale := a.status == isrdv1.Status_STATUS_STALE
	if r.onDemand || !r.noLease && (a.status == isrdv1.Status_STATUS_MISS || stale && (granted != nil || fetched)) {
		base := versionOf(g.GetBase())
		if c.w.plan.plant == baseOfHead {
			base.epoch, base.seq = c.w.head(base)
		}
		a.render = c.open(&render{key: r.key, begin: r.begin, base: &base, via: via, lease: granted})
	}
	if a.status == isrdv1.Status_STATUS_HIT && !a.flagged() && !r.onDemand && a.content != nil {
		c.near.fill(a, c.hashOf(r.key), r.soft, asOf, turn, c.w.plan.plant == fillWithoutAsOf)
	}
	c.w.note("got", c.name, r.key.name, a.status.String(), a.reason.String(), idOfContent(a.content), a.leased)
	return a
}

// head is where Redis has the log, for the plant that takes it for what the daemon has applied.
func (w *world) head(base version) (epoch, seq uint64) {
	for name, v := range w.redis.keys {
		if v.hash != nil && name != "" {
			return uint64(number(v.hash["epoch"])), uint64(number(v.hash["seq"])) //nolint:gosec // not negative
		}
	}
	return base.epoch, base.seq
}

func idOfContent(c *content) int {
	if c == nil {
		return -1
	}
	return int(c.id) //nolint:gosec // a few hundred
}

// freshFetch says how Next.js takes a fetch: jsclient tells it the age, and lets it be stale where it must.
func (c *client) freshFetch(a answer) bool {
	if a.content == nil || a.status == isrdv1.Status_STATUS_MISS {
		return false
	}
	if a.status == isrdv1.Status_STATUS_HIT {
		return true
	}
	if c.w.plan.plant == fetchLoserFresh && !a.leased {
		return true
	}
	byAge := a.reason != isrdv1.Reason_REASON_TAG_STALE && a.reason != isrdv1.Reason_REASON_STORE_UNAVAILABLE
	if a.leased || !byAge {
		return false
	}
	return a.lifetime.revalidate == 0 || c.w.now()-a.bornAt < time.Duration(a.lifetime.revalidate)*time.Second
}
