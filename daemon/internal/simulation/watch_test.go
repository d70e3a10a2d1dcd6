package simulation_test

import (
	"strings"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// The promises.
const (
	noResurrection   = "no resurrection, no lost invalidation"
	oneRegeneration  = "one regeneration"
	oneWrite         = "one winning write per version, and none that is older"
	boundedWait      = "every call ends in time"
	cutOff           = "who is cut off vouches for nothing"
	nothingLeft      = "nothing is left"
	everythingIsNew  = "when all is well, everything is new"
	oneSlot          = "a script touches one slot"
	staleFetchIsKept = "an old fetch is not baked into a new page"
)

// How long things may take.
const (
	getBound        = waitLimit + 4*time.Second
	revalidateBound = 6500 * time.Millisecond
	vouchedFor      = cache.Bound + 5*time.Millisecond
	parkedInVain    = 1200 * time.Millisecond
)

// watch compares what happens with the promises.
type watch struct {
	w *world
	// acked is what was acknowledged to the whole fleet.
	acked   map[string]*marks
	holders map[string]*holder // by the name of the key
	ends    map[string]time.Duration
	version string                   // of the entry before a script
	text    string                   // and all of it
	stored  map[string]time.Duration // when the entry at a Redis key was written
	issued  map[string]*marks        // what anybody has revalidated, acknowledged or not
	// contents are what was served, by key and version.
	contents map[string]*content
	// shaken says that something has happened to the log.
	shaken  bool
	streams []*stream
	counts  map[string]int
	must    required // at the end
	history []acknowledged
	lacking []acknowledged // that the log lacks
	settled int64          // the epoch, of those that were moved, whose first second is over
	seen    []*seen
}

// holder is who was granted a key's lease last.
type holder struct {
	stream *stream
	token  uint64
	since  time.Duration
	done   bool // it was used or given back, or something happened that may have ended it
}

// asked is what a client has asked a daemon.
type asked struct {
	at     time.Duration
	frame  *isrdv1.SessionRequest
	marks  []delivered // of a revalidation
	demand bool
}

// delivered is one revalidation on its way to a daemon.
type delivered struct {
	tag     string
	tick    uint64
	soft    bool
	seconds uint32
}

func newWatch(w *world) *watch {
	return &watch{
		w: w, acked: make(map[string]*marks), holders: make(map[string]*holder),
		ends: make(map[string]time.Duration), counts: make(map[string]int),
		stored: make(map[string]time.Duration), issued: make(map[string]*marks),
		contents: make(map[string]*content),
	}
}

// asked takes note of what a client sends.
func (h *watch) asked(s *stream, f *isrdv1.SessionRequest) {
	switch frame := f.GetFrame().(type) {
	case *isrdv1.SessionRequest_Hello:
		h.streams = append(h.streams, s)
	case *isrdv1.SessionRequest_Get:
		s.open[f.GetId()] = &asked{at: h.w.now(), frame: f, demand: frame.Get.GetOnDemand()}
	case *isrdv1.SessionRequest_Revalidate:
		s.open[f.GetId()] = &asked{at: h.w.now(), frame: f, marks: s.client.delivering}
	case *isrdv1.SessionRequest_Set:
		h.end(frame.Set.GetKey().GetName(), frame.Set.GetLeaseToken())
	case *isrdv1.SessionRequest_Release:
		h.end(frame.Release.GetKey().GetName(), frame.Release.GetLeaseToken())
	case *isrdv1.SessionRequest_Cancel:
		if a := s.open[f.GetId()]; a != nil {
			a.demand = true // whatever it is answered with is given back
		}
		for _, r := range h.holders {
			if r.stream == s {
				r.done = true
			}
		}
	}
}

func (h *watch) end(key string, token uint64) {
	if r := h.holders[key]; r != nil && r.token == token {
		r.done = true
	}
}

// excuse ends all that is promised only while nothing happens.
func (h *watch) excuse(what string) {
	switch what {
	case "evict entry", "evict lease", "cut", "hang", "redis hangs":
	default:
		h.shaken = true
	}
	for _, r := range h.holders {
		r.done = true
	}
}

// sent looks at what a daemon says.
func (h *watch) sent(s *stream, f *isrdv1.SessionResponse) {
	a := s.open[f.GetId()]
	switch frame := f.GetFrame().(type) {
	case *isrdv1.SessionResponse_Waiting:
		return
	case *isrdv1.SessionResponse_Get:
		h.answered(s, a, frame.Get)
	case *isrdv1.SessionResponse_Revalidate:
		if a != nil && frame.Revalidate.GetFleetWide() {
			for _, m := range a.marks {
				h.w.note("acked", m.tag, m.tick, m.soft)
				h.acknowledge(s.life, frame.Revalidate.GetPosition(), m)
			}
		}
	}
	if a != nil && f.GetId() != 0 {
		delete(s.open, f.GetId())
	}
}

// answered looks at the answer of a get when the daemon gives it.
func (h *watch) answered(s *stream, a *asked, r *isrdv1.GetResponse) {
	if a == nil {
		return
	}
	now := h.w.now()
	key := a.frame.GetGet().GetKey().GetName()
	link := s.life.link
	h.counts[r.GetStatus().String()]++
	if r.GetStatus() == isrdv1.Status_STATUS_HIT && r.GetReason() != isrdv1.Reason_REASON_STORE_UNAVAILABLE {
		if since, ok := h.unreachable(link); ok && now-since > vouchedFor {
			h.w.fail(cutOff, "%s answers a hit of %s, and cannot reach Redis since %v", s.life.name, key, since)
		}
	}
	if r.GetReason() == isrdv1.Reason_REASON_WAITED && !a.demand {
		free, known := h.ends[key]
		since, away := h.unreachable(link)
		_ = since
		if known && now-free > parkedInVain && !away && now-link.since > parkedInVain {
			h.w.fail(boundedWait, "%s waited at %s for a lease of %s that ended at %v", s.client.name, s.life.name, key, free)
		}
	}
	if r.GetLease().GetToken() != 0 && !s.ended {
		h.granted(s, a, key, r.GetLease().GetToken())
	}
}

// granted looks at a lease that a daemon hands out.
func (h *watch) granted(s *stream, a *asked, key string, token uint64) {
	now := h.w.now()
	if before := h.holders[key]; before != nil && !before.done && !before.stream.ended && !a.demand && before.token < token {
		if now-before.since < leaseMax-leaseTTL {
			h.w.fail(oneRegeneration, "%s was granted %s with %d, and %s has it since %v with %d",
				s.client.name, key, token, before.stream.client.name, before.since, before.token)
		}
	}
	if before := h.holders[key]; before == nil || before.token < token {
		h.holders[key] = &holder{stream: s, token: token, since: now, done: a.demand || !h.stands(key, token)}
	}
}

// stands says whether Redis still has a lease: it may have gone while the answer was on its way.
func (h *watch) stands(key string, token uint64) bool {
	for name, v := range h.w.redis.keys {
		if strings.Contains(name, ":l:{") && h.nameOf(name) == key {
			return strings.HasPrefix(v.text, decimal(int64(token))+" ") //nolint:gosec // a time in microseconds
		}
	}
	return false
}

// unreachable says since when a daemon cannot reach Redis.
func (h *watch) unreachable(l *link) (since time.Duration, ok bool) {
	switch {
	case l.is != sound:
		return l.since, true
	case h.w.net.hung:
		return h.w.net.since, true
	}
	return 0, false
}

// step looks at what must end in time. It is called after every step.
func (h *watch) step() {
	if len(h.w.redis.slots) > 0 {
		h.w.fail(oneSlot, "%s", h.w.redis.slots[0])
	}
	if h.w.steps%64 != 0 {
		return
	}
	now := h.w.now()
	open := h.streams[:0]
	for _, s := range h.streams {
		if s.ended || s.life.ended {
			continue
		}
		open = append(open, s)
		if s.is != sound {
			for _, a := range s.open {
				a.at = now // it may not even have arrived
			}
			continue
		}
		for id, a := range s.open {
			bound := getBound
			if a.marks != nil {
				bound = revalidateBound
			}
			if now-a.at > bound+2*h.w.plan.slowHop {
				h.w.fail(boundedWait, "%s has not answered %d of %s, asked at %v", s.life.name, id, s.client.name, a.at)
			}
		}
	}
	h.streams = open
}

// before takes note of what a script finds.
func (h *watch) before(s *script, name string) {
	if name == "write" {
		_, h.version, _ = s.head(s.key(1))
		h.text, _ = s.text(s.key(1))
	}
}

// after compares what a script left.
func (h *watch) after(s *script, name string) {
	switch name {
	case "write":
		h.written(s)
	case "read":
		h.outdated(s)
		if r := h.holders[h.nameOf(s.key(1))]; r != nil && s.arg(2) == "1" && s.arg(3) == "1" {
			r.done = true // a render on demand takes the lease from whoever has it, whether or not it hears of that
		}
	case "release", "renew", "claim", "abandon":
	case "append", "load":
		h.settles(s)
		return
	default:
		return
	}
	for _, k := range s.names {
		if strings.Contains(k, ":l:{") {
			h.leaseAt(s, k)
		}
	}
}

// outdated looks whether a lease was granted to who has judged less than what is there: it would render what the fleet has.
func (h *watch) outdated(s *script) {
	_, _, holder := s.leaseOf(s.key(2))
	format, version, _ := s.head(s.key(1))
	if s.arg(2) == "1" && holder == s.arg(4) && format == "1" && version > s.arg(1) {
		h.w.fail(oneRegeneration, "a lease of %s was granted to who knows %s, and %s is there", h.nameOf(s.key(1)), s.arg(1), version)
	}
}

func (h *watch) leaseAt(s *script, key string) {
	name := h.nameOf(key)
	_, left, _ := s.leaseOf(key)
	now := h.w.now()
	if left > 0 {
		h.ends[name] = now + time.Duration(left)*time.Millisecond
	} else if h.ends[name] > now {
		h.ends[name] = now
	}
}

func (h *watch) written(s *script) {
	text, ok := s.text(s.key(1))
	if !ok {
		return
	}
	if text != h.text {
		h.stored[s.key(1)] = h.w.now()
	}
	// What was lost may be written again.
	_, version, _ := s.head(s.key(1))
	if version < h.version || version == h.version && text != h.text {
		h.w.fail(oneWrite, "version %s of %s was replaced by %s", h.version, h.nameOf(s.key(1)), version)
	}
}

// nameOf finds the name of a key that a Redis key is of.
func (h *watch) nameOf(key string) string {
	for _, p := range h.w.pages {
		if strings.Contains(key, string(p.id)) {
			return p.name
		}
		for _, f := range p.fetches {
			if strings.Contains(key, string(f.id)) {
				return f.name
			}
		}
	}
	return key
}

// lost says that a key went without a script.
func (h *watch) lost(key string) { h.ends[h.nameOf(key)] = min(h.ends[h.nameOf(key)], h.w.now()) }

func (h *watch) lostAll() { clear(h.ends) }
