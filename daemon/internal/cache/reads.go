package cache

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// reads counts which pages of an app are read most, roughly: one read in sampleEvery is counted, and counts are halved
// now and then, so that what was read long ago is forgotten. Reads that a client answers from its near cache are not seen.
// The zero value is ready.
type reads struct {
	turn atomic.Uint32

	mu      sync.Mutex
	counts  map[ID]*readCount
	sampled int // since the counts were halved
}

// readCount is one page.
type readCount struct {
	key  Key
	tags []string // of the entry that was read last
	n    uint32
}

const (
	sampleEvery = 16
	// maxCounted bounds the pages that are counted; those that were read least go first.
	maxCounted = 8192
	// halveEvery is after how many samples the counts are halved.
	halveEvery = 64 << 10
)

// saw counts a read of an entry.
func (r *reads) saw(id ID, e *Entry) {
	if e.Key.Space != Route || r.turn.Add(1)%sampleEvery != 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[ID]*readCount)
	}
	c := r.counts[id]
	if c == nil {
		if len(r.counts) >= maxCounted && r.sampled >= maxCounted {
			r.halve()
		}
		if len(r.counts) >= maxCounted {
			return
		}
		c = &readCount{key: e.Key}
		r.counts[id] = c
	}
	c.n, c.tags = c.n+1, e.Tags
	if r.sampled++; r.sampled >= halveEvery {
		r.halve()
	}
}

// halve forgets half of every count, and who has none left.
func (r *reads) halve() {
	r.sampled = 0
	for id, c := range r.counts {
		if c.n /= 2; c.n == 0 {
			delete(r.counts, id)
		}
	}
}

// most gives the up to n pages that were read most of those that any of the marks affects; without marks, of all.
func (r *reads) most(marks []tag.Revalidation, n int) []Key {
	marked := make(map[string]bool, len(marks))
	for _, m := range marks {
		marked[m.Tag] = true
	}
	r.mu.Lock()
	var found []readCount
	for _, c := range r.counts {
		if len(marks) == 0 || slices.ContainsFunc(c.tags, func(t string) bool { return marked[t] }) {
			found = append(found, *c)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(found, func(a, b readCount) int {
		return cmp.Or(-cmp.Compare(a.n, b.n), cmp.Compare(a.key.Name, b.key.Name), cmp.Compare(a.key.Build, b.key.Build))
	})
	var keys []Key
	for _, c := range found[:min(n, len(found))] {
		keys = append(keys, c.key)
	}
	return keys
}

// MostRead gives the up to n pages of an app that this daemon's processes have read most, roughly and lately, of those that
// were read with any of the tags; without marks, of all.
func (c *Cache) MostRead(name string, marks []tag.Revalidation, n int) []Key {
	c.mu.Lock()
	a := c.apps[name]
	c.mu.Unlock()
	if a == nil || n <= 0 || !c.config.CountReads {
		return nil
	}
	return a.reads.most(marks, n)
}

// CountsReads says whether MostRead can know anything.
func (c *Cache) CountsReads() bool { return c.config.CountReads }
