package redisstore

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

const (
	// maxRestored is the largest table that is given back to a log that lost it: Redis does nothing else meanwhile.
	maxRestored = 100_000
	// marksAtOnce is how many marks one event has that says again what a log has lost.
	marksAtOnce = 1000
	// sooner is by how much what is said again expires before it had to: the time that passes until it is said is not known,
	// and it must not be later.
	sooner = time.Second
)

// makeGood gives a log that is in another epoch what it lost and this follower knows. True: the log is another than
// theirs now, and must be loaded again. Doing it twice, or by several daemons, does no harm.
func (s *Store) makeGood(ctx context.Context, f *follow, theirs tag.Snapshot) (bool, error) {
	if f.madeGood == theirs.Position.Epoch {
		return false, nil
	}
	mine := f.follower.Snapshot()
	if _, ok := theirs.Past[mine.Position.Epoch]; !ok && f.vouched() && restorable(mine, theirs) {
		if restored, err := s.restore(ctx, f, mine, theirs); restored || err != nil {
			return restored, err
		}
	}
	var marks []tag.Revalidation
	if after, ok := since(mine, theirs); ok {
		marks = lacking(mine, theirs, after, s.Now())
	} else if _, said := theirs.Records[tag.Forgotten]; !said {
		// All entries that it judges were rendered in it. But what was built outside any log has to know that marks are missing.
		marks = []tag.Revalidation{{Tag: tag.Forgotten}}
		s.log.WarnContext(ctx, "the log was lost, and what was revalidated in it; what is older than this is rendered anew", slog.String("app", f.app))
	}
	again, err := s.appendLacking(ctx, f, marks)
	if err == nil {
		f.madeGood = theirs.Position.Epoch
	}
	return again, err
}

// restorable reports whether mine can be merged into theirs: all of it was marked before the other log began.
func restorable(mine, theirs tag.Snapshot) bool {
	return mine.Position.Epoch != 0 && mine.Position.Seq < theirs.Position.Epoch && len(mine.Records) <= maxRestored
}

// common is up to where the two have the same events; 0: nowhere. Their own epochs need not know each other: a server that
// is killed twice may load the same snapshot twice.
func common(mine, theirs tag.Snapshot) uint64 {
	most := min(mine.Position.Seq, theirs.Past[mine.Position.Epoch])
	for epoch, seq := range mine.Past {
		most = max(most, min(seq, theirs.Past[epoch]))
	}
	return most
}

// since is after which place mine has marks that concern content which theirs judges: after the last one that both have
// or, if they have none in common, after the first epoch that theirs explains began. False: theirs explains none, and all
// that it judges was rendered in it.
func since(mine, theirs tag.Snapshot) (after uint64, ok bool) {
	if after = common(mine, theirs); after != 0 {
		return after, true
	}
	for epoch := range theirs.Past {
		if !ok || epoch < after {
			after, ok = epoch, true
		}
	}
	return after, ok
}

// lacking gives the marks that mine has after a place and theirs does not cover by marks of its own.
func lacking(mine, theirs tag.Snapshot, after uint64, now int64) []tag.Revalidation {
	var out []tag.Revalidation
	for t, r := range mine.Records {
		m, ok := r.Since(t, after)
		if !ok || covers(theirs.Records[t], r) {
			continue
		}
		out = append(out, m.AskedAt(now+sooner.Milliseconds()))
	}
	slices.SortFunc(out, func(a, b tag.Revalidation) int { return strings.Compare(a.Tag, b.Tag) })
	return out
}

// covers reports whether a record says of all content what another says, or more.
func covers(theirs, mine tag.Record) bool {
	pending := mine.Pending == 0 || theirs.Expired >= mine.Pending || theirs.Pending >= mine.Pending && theirs.ExpireAt <= mine.ExpireAt
	return theirs.Expired >= mine.Expired && max(theirs.Expired, theirs.Stale) >= mine.Stale && pending
}

// appendLacking says marks again, as events of the present epoch: later than everything that was rendered without them.
func (s *Store) appendLacking(ctx context.Context, f *follow, marks []tag.Revalidation) (bool, error) {
	for some := range slices.Chunk(marks, marksAtOnce) {
		if _, err := s.Append(ctx, f.app, some); err != nil {
			return false, fmt.Errorf("make good what the log lost: %w", err)
		}
	}
	if len(marks) > 0 {
		s.log.WarnContext(ctx, "marks that a log lacked were appended", slog.String("app", f.app), slog.Int("tags", len(marks)))
	}
	return len(marks) > 0, nil
}

// restore gives a log that was lost the whole table back.
func (s *Store) restore(ctx context.Context, f *follow, mine, theirs tag.Snapshot) (bool, error) {
	args := []any{
		s.keys.channel(f.app), number(theirs.Position.Epoch), number(mine.Position.Epoch), number(mine.Position.Seq),
		number(mine.Floor), formatPast(mine.Past), mine.FloorAt,
	}
	for t, r := range mine.Records {
		args = append(args, t, formatTagRecord(r))
	}
	reply, err := s.run(ctx, restoreScript, limit{within: s.config.loadTimeout()}, s.logKeys(f.app), args...)
	if err != nil {
		return false, fmt.Errorf("restore log of %q: %w", f.app, err)
	}
	r := fields{list: reply}
	restored := r.number() == 1
	if restored {
		s.log.WarnContext(ctx, "the log was lost; this daemon gave it back", slog.String("app", f.app), slog.Int("tags", len(mine.Records)))
	}
	return restored, nil
}

// pruneAtOnce is how many tags one script forgets: Redis does nothing else meanwhile.
const pruneAtOnce = 1000

// prune forgets the older half of the tags. Followers need not know: what they know says the same or more.
func (s *Store) prune(ctx context.Context, f *follow) {
	forgotten, floor, err := s.pruneTags(ctx, f.app)
	if err != nil {
		s.log.DebugContext(ctx, "prune log; it is tried again", slog.String("app", f.app), slog.Any("error", err))
		return
	}
	s.log.InfoContext(ctx, "tags were forgotten; what was rendered before is regenerated",
		slog.String("app", f.app), slog.Int("tags", forgotten), slog.Uint64("floor", floor))
}

func (s *Store) pruneTags(ctx context.Context, app string) (n int, floor uint64, err error) {
	l, err := s.ask(ctx, app, limit{within: s.config.loadTimeout()}, tag.Position{}, true, "", 0, allFields)
	if err != nil {
		return 0, 0, err
	}
	whole, err := parseSnapshot(l.list)
	if err != nil {
		return 0, 0, err
	}
	var m tag.Manifest
	m.Load(whole)
	forgotten, floor := m.Prune(s.config.MaxTags)
	for some := range slices.Chunk(forgotten, pruneAtOnce) {
		args := []any{number(whole.Position.Epoch), number(floor)}
		for _, t := range some {
			args = append(args, t)
		}
		if _, err := s.run(ctx, pruneScript, s.config.small(), []string{s.keys.log(app)}, args...); err != nil {
			return 0, 0, fmt.Errorf("forget tags: %w", err)
		}
	}
	return len(forgotten), floor, nil
}
