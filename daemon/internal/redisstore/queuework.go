package redisstore

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// Claim implements queue.Work.
func (q *Queue) Claim(ctx context.Context, app string, opt queue.ClaimOptions) (queue.Claimed, error) {
	args := []any{opt.By, q.config.Lease.Milliseconds(), opt.Limit, number(opt.Term)}
	for _, build := range slices.Sorted(maps.Keys(opt.Free)) {
		args = append(args, url.PathEscape(build), opt.Free[build])
	}
	if len(opt.Free) > 0 {
		args = append(args, "", opt.Limit) // those that any build will do for
	}
	f, err := q.run(ctx, "claim jobs", queueTakeScript, app, args...)
	if err != nil {
		return queue.Claimed{}, err
	}
	jobs, err := parseJobs(f.table())
	c := queue.Claimed{Jobs: jobs, Next: within(f.next())}
	c.Open, c.Dead = int(f.number()), int(f.number()) //nolint:gosec // they count what is in memory
	over := f.number() == 1
	switch {
	case err != nil:
		return queue.Claimed{}, err
	case f.bad:
		return queue.Claimed{}, unexpected("claim jobs", app)
	case over:
		return c, queue.ErrNotLeader
	}
	return c, nil
}

// Renew implements queue.Work.
func (q *Queue) Renew(ctx context.Context, app string, claims []queue.Claim) ([]bool, error) {
	args := []any{q.config.Lease.Milliseconds()}
	for _, c := range claims {
		args = append(args, c.ID, number(c.Token))
	}
	f, err := q.run(ctx, "renew claims", queueRenewScript, app, args...)
	if err != nil {
		return nil, err
	}
	lives := make([]bool, 0, len(claims))
	for t := f.table(); len(t.list) > 0; {
		lives = append(lives, t.number() == 1)
	}
	if len(lives) != len(claims) {
		return nil, unexpected("renew claims", app)
	}
	return lives, nil
}

var verdicts = map[queue.Verdict]string{queue.Complete: "done", queue.TryAgain: "again", queue.GiveBack: "back", queue.GiveUp: "dead"}

// Finish implements queue.Work.
func (q *Queue) Finish(ctx context.Context, app string, c queue.Claim, r queue.Result) (bool, error) {
	f, err := q.run(ctx, "finish job", queueEndScript, app,
		c.ID, number(c.Token), verdicts[r.Verdict], int(r.Outcome), r.HTTPStatus, r.Reason, max(r.Delay, 0).Milliseconds())
	if err != nil {
		return false, err
	}
	return f.number() == 1, nil
}

// Lead implements queue.Work.
func (q *Queue) Lead(ctx context.Context, app, holder string, ttl time.Duration) (queue.Term, error) {
	f, err := q.run(ctx, "lead", queueLeadScript, app, holder, lifetime(ttl))
	if err != nil {
		return queue.Term{}, err
	}
	t := queue.Term{Number: f.number(), Left: within(f.next())}
	if f.bad {
		return queue.Term{}, unexpected("lead", app)
	}
	return t, nil
}

// Resign implements queue.Work.
func (q *Queue) Resign(ctx context.Context, app, holder string) error {
	_, err := q.run(ctx, "resign", queueLeadScript, app, holder, 0)
	return err
}
