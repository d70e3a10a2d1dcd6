package simulation_test

import (
	"strings"
	"time"
)

// wasted looks whether a lease was granted for what the fleet holds: an entry that was there, and fresh to this reader,
// before the read began. It is asked only where nothing has happened to the log, since then what is held may have to be
// rendered again.
func (h *watch) wasted(s *stream, a *asked, key string) {
	get := a.frame.GetGet()
	if h.shaken || a.demand || h.demanded[key] {
		return
	}
	for name, v := range h.w.redis.keys {
		if !strings.Contains(name, ":e:{") || h.nameOf(name) != key || v.expires < h.w.redis.micros()/1000 {
			continue
		}
		stored := h.stored[name]
		_, body, _ := plain{}.Decode([]byte(v.text[lineSize:]))
		made, life := h.w.origin.of(body), h.lifeOf(key)
		if made == nil || stored == 0 || stored > a.at-time.Millisecond || h.w.now()-stored > life.fresh()-100*time.Millisecond {
			continue
		}
		if _, old := required(clone(h.issued)).broken(made, get.GetSoftTags(), true, h.w.now()); !old {
			h.w.fail(oneRegeneration, "%s was granted %s, which is there since %v: %s", s.client.name, key, stored, describe(made))
		}
	}
}

func (h *watch) lifeOf(key string) lifetime {
	for _, p := range h.w.pages {
		if p.name == key {
			return p.lifetime
		}
		for _, f := range p.fetches {
			if f.name == key {
				return f.lifetime
			}
		}
	}
	return lifetime{}
}

// fresh is for how long an entry with this lifetime is.
func (l lifetime) fresh() time.Duration {
	if l.revalidate == 0 {
		return time.Hour
	}
	return time.Duration(l.revalidate) * time.Second
}
