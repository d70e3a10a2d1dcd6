package cache

import (
	"context"
	"fmt"
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
	token  uint64 // content with a smaller one is older
	serial uint64
}

// maxOwed bounds the tags; one more is refused, and stays with the client.
const maxOwed = 10_000

// errOwed is returned for the tag that finds no room.
var errOwed = fmt.Errorf("%w, and %d tags wait for it already", ErrUnavailable, maxOwed)

func (o *owed) empty() bool { return len(o.marks) == 0 }

// add marks tags at now, in milliseconds by the store's clock: all, or none.
func (o *owed) add(rs []tag.Revalidation, now int64) error {
	if len(o.marks)+len(rs) > maxOwed {
		return errOwed
	}
	if o.marks == nil {
		o.marks = make(map[string]owedMark)
	}
	for _, r := range rs {
		m := owedMark{Mark: r.MarkAt(now), token: lease.NextToken(0, now+1), serial: o.marks[r.Tag].serial + 1}
		if was, ok := o.marks[r.Tag]; ok && m.Soft {
			m.Soft = was.Soft
			m.ExpireAt = min(m.ExpireAt, was.ExpireAt)
		}
		o.marks[r.Tag] = m
	}
	return nil
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
	for t, m := range o.marks {
		r := tag.Revalidation{Tag: t, Soft: m.Soft}
		switch {
		case !m.Soft:
		case m.ExpireAt == tag.Never:
			r.Expire = tag.ForEver
		default:
			r.Expire = time.Duration(max(m.ExpireAt-now, 0)) * time.Millisecond
		}
		rs = append(rs, r)
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
// they hold until the last proof is over, and get no other while something is owed.
func (a *app) owe(ctx context.Context, rs []tag.Revalidation) error {
	a.mu.Lock()
	err := a.owed.add(rs, a.cache.store.Now())
	a.vouching.owing.Store(!a.owed.empty())
	a.mu.Unlock()
	if err != nil {
		return err
	}
	timer := time.NewTimer(a.vouching.left())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("revalidate here: %w", context.Cause(ctx))
	}
}

// payOwed appends what is owed.
func (a *app) payOwed(ctx context.Context) error {
	a.mu.RLock()
	rs, serials := a.owed.asRevalidations(a.cache.store.Now())
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
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owed.paid(serials)
	a.vouching.owing.Store(!a.owed.empty())
	return nil
}
