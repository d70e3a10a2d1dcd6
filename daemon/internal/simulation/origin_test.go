package simulation_test

import (
	"slices"
	"strconv"
	"time"
)

// origin is what pages are rendered from. It counts changes: what was read after a change of a tag has a larger tick.
type origin struct {
	tick     uint64
	contents []*content
}

// content is what a render has made: when it read its own data, and what it read of other entries.
type content struct {
	id   uint64
	key  string
	tick uint64
	// tags are what its own data depends on.
	tags   []string
	nested []*content
	// implicit are the tags of a page by which it and all that it reads can be invalidated.
	implicit []string
}

// marks are the revalidations of one tag that hold.
type marks struct {
	hard uint64 // content with a smaller tick may not be served
	soft []soft
}

// soft is a revalidation that makes content stale, and expires it later.
type soft struct {
	tick    uint64
	expires time.Duration // by the simulation's clock
}

func newOrigin() *origin { return &origin{} }

// change is a change of the data behind a tag.
func (o *origin) change() uint64 {
	o.tick++
	return o.tick
}

// render makes content of what was read.
func (o *origin) render(c content) *content {
	c.id = uint64(len(o.contents))
	o.contents = append(o.contents, &c)
	return &c
}

// body is how content stands in an entry.
func (c *content) body() []byte { return strconv.AppendUint(nil, c.id, 10) }

// of finds the content of an entry.
func (o *origin) of(body []byte) *content {
	id, err := strconv.ParseUint(string(body), 10, 64)
	if err != nil || id >= uint64(len(o.contents)) {
		return nil
	}
	return o.contents[id]
}

// all are the tags of an entry with this content, those of the fetches of a page among them.
func (c *content) all() []string {
	list := slices.Clone(c.tags)
	for _, n := range c.nested {
		list = append(list, n.tags...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// required is what a read must heed: the revalidations that held when it began.
type required map[string]marks

// clone copies what holds now.
func clone(all map[string]*marks) required {
	r := make(required, len(all))
	for t, m := range all {
		r[t] = *m
	}
	return r
}

// hold notes that a revalidation of tag holds.
func hold(all map[string]*marks, tag string, s *soft, tick uint64) {
	m := all[tag]
	if m == nil {
		m = new(marks)
		all[tag] = m
	}
	if s == nil {
		m.hard = max(m.hard, tick)
		return
	}
	m.soft = append(slices.Clip(m.soft), *s)
}

// broken says by which tag content may not be served, or not as fresh.
func (r required) broken(c *content, readers []string, fresh bool, now time.Duration) (tag string, ok bool) {
	for _, list := range [][]string{c.tags, readers} {
		for _, t := range list {
			if r[t].forbids(c.tick, fresh, now) {
				return t, true
			}
		}
	}
	for _, n := range c.nested {
		if t, bad := r.broken(n, c.implicit, fresh, now); bad {
			return t, true
		}
	}
	return "", false
}

// forbids says whether content may not be served, or not as fresh.
func (r required) forbids(c *content, readers []string, fresh bool, now time.Duration) bool {
	_, bad := r.broken(c, readers, fresh, now)
	return bad
}

func (m marks) forbids(tick uint64, fresh bool, now time.Duration) bool {
	if tick < m.hard {
		return true
	}
	for _, s := range m.soft {
		if tick < s.tick && (fresh || now >= s.expires) {
			return true
		}
	}
	return false
}
