package cache

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/isrd/isrd/daemon/internal/lease"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// owed are the revalidations that were asked for while the store was away. They hold on this daemon at once, and are
// appended to the log before this daemon relies on it again. The app's mutex guards them.
type owed struct {
	marks map[string]owedMark
}

// owedMark is what is owed for one tag. Nothing has a place in the log yet, so content is told from older content by its
// token, which is a time.
type owedMark struct {
	tag.Mark
	token  uint64 // content with a smaller one is older, or may have been made of what is
	serial uint64
}

// maxOwed bounds the tags; one more is refused, and stays with the client.
const maxOwed = 10_000

// errOwed is returned for the tag that finds no room.
var errOwed = fmt.Errorf("%w, and %d tags wait for it already", ErrUnavailable, maxOwed)

func (o *owed) empty() bool { return len(o.marks) == 0 }

// add marks tags, all or none. They hold from then on, in milliseconds by the store's clock.
func (o *owed) add(marks []tag.Mark, from int64) error {
	if len(o.marks)+len(marks) > maxOwed {
		return errOwed
	}
	if o.marks == nil {
		o.marks = make(map[string]owedMark)
	}
	for _, mark := range marks {
		m := owedMark{Mark: mark, token: lease.NextToken(0, from+1), serial: o.marks[mark.Tag].serial + 1}
		if was, ok := o.marks[mark.Tag]; ok && m.Soft {
			m.Soft = was.Soft
			m.ExpireAt = min(m.ExpireAt, was.ExpireAt)
		}
		o.marks[mark.Tag] = m
	}
	return nil
}

// all are the marks, in the order of their tags.
func (o *owed) all() []tag.Mark {
	marks := make([]tag.Mark, 0, len(o.marks))
	for _, t := range slices.Sorted(maps.Keys(o.marks)) {
		marks = append(marks, o.marks[t].Mark)
	}
	return marks
}

// judge gives the freshness of content with that token.
func (o *owed) judge(token uint64, now int64, tags ...[]string) tag.Freshness {
	worst := tag.Fresh
	for _, list := range tags {
		for _, t := range list {
			m, ok := o.marks[t]
			switch {
			case !ok || token >= m.token:
			case !m.Soft || m.ExpireAt <= now:
				return tag.Expired
			default:
				worst = tag.Stale
			}
		}
	}
	return worst
}

// asRevalidations gives the marks as they are appended at now. Times go on running while they wait.
func (o *owed) asRevalidations(now int64) (rs []tag.Revalidation, serials map[string]uint64) {
	serials = make(map[string]uint64, len(o.marks))
	for _, t := range slices.Sorted(maps.Keys(o.marks)) {
		m := o.marks[t]
		rs = append(rs, m.AskedAt(now))
		serials[t] = m.serial
	}
	return rs, serials
}

// paid forgets the marks, but for those that were made again since.
func (o *owed) paid(serials map[string]uint64) {
	for t, serial := range serials {
		if o.marks[t].serial == serial {
			delete(o.marks, t)
		}
	}
}

// owe keeps revalidations for when the store is back. They hold here when it returns: clients may serve by themselves what
// they hold, and make other content of it, until the last proof is over, and get no other while something is owed.
func (a *app) owe(ctx context.Context, rs []tag.Revalidation) error {
	now := a.cache.store.Now()
	marks := make([]tag.Mark, len(rs))
	for i, r := range rs {
		marks[i] = r.MarkAt(now)
	}
	a.mu.Lock()
	a.vouching.owing.Store(true) // so that what is left does not become more
	left := max(a.vouching.left(), 0)
	err := a.owed.add(marks, now+left.Milliseconds())
	if err == nil {
		err = a.keepOwed()
	} else {
		a.vouching.owing.Store(!a.owed.empty())
	}
	a.mu.Unlock()
	if err != nil {
		return err
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("revalidate here: %w", context.Cause(ctx))
	}
}

// Outbox keeps what is owed where the next process finds it.
type Outbox interface {
	// Load returns what was saved last.
	Load(app string) ([]tag.Mark, error)
	// Save keeps these marks and nothing else, durably.
	Save(app string, marks []tag.Mark) error
}

// keepOwed notes that something is owed or nothing. The caller holds the app's mutex.
func (a *app) keepOwed() error {
	a.vouching.owing.Store(!a.owed.empty())
	if a.cache.config.Outbox == nil {
		return nil
	}
	if err := a.cache.config.Outbox.Save(a.name, a.owed.all()); err != nil {
		return fmt.Errorf("keep what is owed to the log: %w", err)
	}
	return nil
}

// inheritOwed takes over what a process before has left.
func (a *app) inheritOwed() {
	if a.cache.config.Outbox == nil {
		return
	}
	marks, err := a.cache.config.Outbox.Load(a.name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && len(marks) > 0 {
		err = a.owed.add(marks, a.cache.store.Now())
		a.vouching.owing.Store(!a.owed.empty())
	}
	if err != nil {
		a.cache.log.Error("revalidations that waited for the store are not taken over", slog.String("app", a.name), slog.Any("error", err))
	}
}

// payOwed appends what is owed, until it is in the log that this daemon knows: one that is lost takes with it what was
// appended just before.
func (a *app) payOwed(ctx context.Context) error {
	var serials map[string]uint64
	for {
		var rs []tag.Revalidation
		a.mu.RLock()
		rs, serials = a.owed.asRevalidations(a.cache.store.Now())
		a.mu.RUnlock()
		if len(rs) == 0 {
			return nil
		}
		p, err := a.cache.invalidations.Append(ctx, a.name, rs)
		if err != nil {
			return fmt.Errorf("append what was revalidated while the store was away: %w", err)
		}
		if err := a.wait(ctx, p); err != nil {
			return err
		}
		if a.explains(p) {
			break
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owed.paid(serials)
	if err := a.keepOwed(); err != nil { // it is appended again by the next process, which does no harm
		a.cache.log.ErrorContext(ctx, "forget what was owed", slog.String("app", a.name), slog.Any("error", err))
	}
	return nil
}
