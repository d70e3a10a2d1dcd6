package cache

import (
	"context"
	"slices"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// recent are the last events of a log: what a client missed whose stream broke.
type recent struct {
	before tag.Position // the position before the first of events
	events []tag.Event
}

// maxRecent is how far behind a client may be before it has to forget what it holds.
const maxRecent = 1024

func (r *recent) begin(at tag.Position) { r.before, r.events = at, nil }

func (r *recent) add(e tag.Event) {
	if len(r.events) >= 2*maxRecent { // copied once in maxRecent events
		gone := len(r.events) - maxRecent
		r.before = r.events[gone-1].Position
		r.events = slices.Clone(r.events[gone:])
	}
	r.events = append(r.events, e)
}

// since gives the events after p; false: nobody can say which they are.
func (r *recent) since(p tag.Position) ([]tag.Event, bool) {
	if p == r.before {
		return slices.Clone(r.events), true
	}
	if p.Epoch != r.before.Epoch || p.Seq <= r.before.Seq || p.Seq-r.before.Seq > uint64(len(r.events)) {
		return nil, false
	}
	after := p.Seq - r.before.Seq // every event is one further
	if r.events[after-1].Position != p {
		return nil, false
	}
	return slices.Clone(r.events[after:]), true
}

// Resume gives the place in the app's log that this daemon has applied, and the events that a client has missed that had
// applied those up to from. False: it must forget what it holds. The error is that of Position.
func (c *Cache) Resume(ctx context.Context, name string, from tag.Position) (now tag.Position, missed []tag.Event, ok bool, err error) {
	a, err := c.app(ctx, name)
	if err != nil {
		return tag.Position{}, nil, false, err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	missed, ok = a.recent.since(from)
	return a.manifest.Position(), missed, ok, nil
}
