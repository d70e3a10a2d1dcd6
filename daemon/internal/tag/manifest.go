package tag

import (
	"maps"
	"slices"
)

// Freshness is the judgement on an entry; a larger one outweighs a smaller one.
type Freshness uint8

// The three judgements (RFC 5861).
const (
	// Fresh may be served.
	Fresh Freshness = iota
	// Stale may be served while one caller regenerates.
	Stale
	// Expired may not be served.
	Expired
)

// String gives the judgement in lower case.
func (f Freshness) String() string {
	return [...]string{"fresh", "stale", "expired"}[f]
}

// Record is the sum of all marks of one tag.
//
// Content rendered at seq v is expired if v < Expired, or if v < Pending and ExpireAt is over; it is stale if v < Stale.
// Two soft marks whose expiries are both still to come share one pending pair, the earlier time with the later seq: an
// entry between the two then expires sooner than it had to, never later.
type Record struct {
	// Expired is the seq of the newest mark that expires at once.
	Expired uint64
	// Stale is the seq of the newest soft mark.
	Stale uint64
	// Pending is the seq below which entries expire at ExpireAt. 0: nothing is pending.
	Pending uint64
	// ExpireAt is in milliseconds by the store's clock.
	ExpireAt int64
	// At is when the newest mark was made, in milliseconds by the store's clock: what was built outside the log, at a time
	// and not at a place in it, is judged by that.
	At int64
}

// Mark returns the record after mark m of an event at seq, appended at time at. seq is larger than that of every mark
// before. It must give the same as append.lua of the Redis store, which folds marks in the same way.
func (r Record) Mark(m Mark, seq uint64, at int64) Record {
	r.At = max(r.At, at)
	if !m.Soft {
		r.Expired = max(r.Expired, seq)
		r.Pending, r.ExpireAt = 0, 0
		return r
	}
	if r.ExpireAt <= at { // over: what it expired stays expired, and the pair is free for the new mark
		r.Expired = max(r.Expired, r.Pending)
	}
	if r.Pending <= r.Expired {
		r.Pending, r.ExpireAt = 0, 0
	}
	r.Stale = max(r.Stale, seq)
	if m.ExpireAt == Never {
		return r
	}
	if r.Pending == 0 || m.ExpireAt < r.ExpireAt {
		r.ExpireAt = m.ExpireAt
	}
	r.Pending = max(r.Pending, seq)
	return r
}

// Merge returns what both records say together. It is commutative, associative and idempotent: each field by itself is
// the larger one, or for a pending pair the earlier time. Therefore a pair that Expired has overtaken is kept, although
// it says nothing any more; Mark drops it.
func (r Record) Merge(o Record) Record {
	r.Expired = max(r.Expired, o.Expired)
	r.Stale = max(r.Stale, o.Stale)
	r.At = max(r.At, o.At)
	if o.Pending != 0 {
		if r.Pending == 0 || o.ExpireAt < r.ExpireAt {
			r.ExpireAt = o.ExpireAt
		}
		r.Pending = max(r.Pending, o.Pending)
	}
	return r
}

// Newest is the seq of the newest mark.
func (r Record) Newest() uint64 { return max(r.Expired, r.Stale, r.Pending) }

// Since gives the mark that says of content from up to seq what the marks after it say; false: there are none after it.
func (r Record) Since(t string, seq uint64) (Mark, bool) {
	switch {
	case r.Expired > seq:
		return Mark{Tag: t}, true
	case r.Newest() <= seq:
		return Mark{}, false
	case r.Pending > seq:
		return Mark{Tag: t, Soft: true, ExpireAt: r.ExpireAt}, true
	default:
		return Mark{Tag: t, Soft: true, ExpireAt: Never}, true
	}
}

// Judge gives the freshness of content rendered at seq, at time now.
func (r Record) Judge(seq uint64, now int64) Freshness {
	switch {
	case seq < r.Expired, seq < r.Pending && now >= r.ExpireAt:
		return Expired
	case seq < r.Stale:
		return Stale
	default:
		return Fresh
	}
}

// Snapshot is a manifest at rest: what a store loads.
type Snapshot struct {
	// Position is the last event that is in Records.
	Position Position
	// Floor is the seq below which marks were pruned: content rendered before it is expired.
	Floor uint64
	// FloorAt is when the newest mark that was pruned was made, in milliseconds by the store's clock.
	FloorAt int64
	// Past are the epochs before, whose events up to the given seq are in Records: content of them is judged like that of
	// the present one. Seqs grow from epoch to epoch, so that they can be compared.
	Past map[uint64]uint64
	// Records are the tags.
	Records map[string]Record
}

// Manifest knows the newest marks of every tag up to one position. The zero value knows nothing, at position zero.
// It is not safe for concurrent use.
type Manifest struct {
	position Position
	floor    uint64
	floorAt  int64
	past     map[uint64]uint64
	records  map[string]Record
}

// Position is the last event that was applied.
func (m *Manifest) Position() Position { return m.position }

// Len is the number of tags known.
func (m *Manifest) Len() int { return len(m.records) }

// Load replaces everything.
func (m *Manifest) Load(s Snapshot) {
	m.position, m.floor, m.floorAt = s.Position, s.Floor, s.FloorAt
	m.past, m.records = maps.Clone(s.Past), maps.Clone(s.Records)
}

// Snapshot copies everything.
func (m *Manifest) Snapshot() Snapshot {
	return Snapshot{Position: m.position, Floor: m.floor, FloorAt: m.floorAt, Past: maps.Clone(m.past), Records: maps.Clone(m.records)}
}

// Outcome says what Apply did.
type Outcome uint8

// The outcomes of Apply.
const (
	// Applied: the event was the next one.
	Applied Outcome = iota
	// Known: the event had been applied before.
	Known
	// Gap: events between are missing, or the epoch is another. Nothing was changed: load a snapshot.
	Gap
)

// Apply adds the event that follows the manifest's position.
func (m *Manifest) Apply(e Event) Outcome {
	switch {
	case e.Position.Epoch != m.position.Epoch:
		return Gap
	case e.Position.Seq <= m.position.Seq:
		return Known
	case e.Position.Seq != m.position.Seq+1:
		return Gap
	}
	if m.records == nil {
		m.records = make(map[string]Record)
	}
	for _, mark := range e.Marks {
		m.records[mark.Tag] = m.records[mark.Tag].Mark(mark, e.Position.Seq, e.At)
	}
	m.position = e.Position
	return Applied
}

// Explains reports whether every event up to (epoch, seq) is known here, so that content rendered there can be judged.
func (m *Manifest) Explains(epoch, seq uint64) bool {
	if epoch == m.position.Epoch {
		return seq <= m.position.Seq
	}
	known, ok := m.past[epoch]
	return ok && seq <= known
}

// Judge gives the freshness of content rendered at (epoch, seq) for a reader with all of the given tags. Content of an
// epoch that nobody explains, or from below the floor, cannot be vouched for: it is expired.
func (m *Manifest) Judge(epoch, seq uint64, now int64, tags ...[]string) Freshness {
	if epoch != m.position.Epoch && !m.Explains(epoch, seq) || seq < m.floor {
		return Expired
	}
	worst := Fresh
	for _, list := range tags {
		for _, t := range list {
			r, ok := m.records[t]
			if !ok {
				continue
			}
			if f := r.Judge(seq, now); f > worst {
				if f == Expired {
					return Expired
				}
				worst = f
			}
		}
	}
	return worst
}

// Forgotten is the tag of a mark that says: before it, marks of any tag may have been made that nobody knows any more.
const Forgotten = "\x00forgotten"

// MarkedSince reports whether one of the tags was marked at or after a time, in milliseconds by the store's clock, as far
// as is known: what was pruned, or forgotten, may have been any of them.
func (m *Manifest) MarkedSince(at int64, tags ...[]string) bool {
	if m.floorAt >= at && m.floorAt > 0 {
		return true
	}
	if r, ok := m.records[Forgotten]; ok && r.At >= at {
		return true
	}
	for _, list := range tags {
		for _, t := range list {
			if r, ok := m.records[t]; ok && r.At >= at {
				return true
			}
		}
	}
	return false
}

// Prune forgets the older half of the records if there are more than limit, and raises the floor above them: content
// from before it is regenerated. It returns the tags that were forgotten, and the floor.
func (m *Manifest) Prune(limit int) (forgotten []string, floor uint64) {
	if len(m.records) <= limit {
		return nil, m.floor
	}
	newest := make([]uint64, 0, len(m.records))
	for _, r := range m.records {
		newest = append(newest, r.Newest())
	}
	slices.Sort(newest)
	m.floor = max(m.floor, newest[len(newest)/2])
	for t, r := range m.records {
		if r.Newest() <= m.floor {
			m.floorAt = max(m.floorAt, r.At)
			delete(m.records, t)
			forgotten = append(forgotten, t)
		}
	}
	return forgotten, m.floor
}
