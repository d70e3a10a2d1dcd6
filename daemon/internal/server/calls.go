package server

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// calls are what the unary methods and the frames of a session have in common.
type calls struct {
	cache *cache.Cache
	apps  map[string]bool // the allow-list; nil: every app
}

// maxRetryDelay bounds what a client can keep a key from being rendered; Next.js asks for 3 to 30 s.
const maxRetryDelay = time.Minute

// allowed refuses an app that is not in the allow-list.
func (c *calls) allowed(app string) error {
	if c.apps == nil || c.apps[app] {
		return nil
	}
	return status.Errorf(codes.PermissionDenied, "app %q is not in this daemon's --app list; add it there, or set ISRD_APP in the client", app)
}

// get answers one read. Bodies above aside bytes are only announced; parked is called before a wait.
func (c *calls) get(ctx context.Context, who caller, r *isrdv1.GetRequest, aside int, parked func(time.Duration)) (*isrdv1.GetResponse, error) {
	q, err := who.getRequest(r)
	if err != nil {
		return nil, err
	}
	if err := c.allowed(q.Key.App); err != nil {
		return nil, err
	}
	if r.GetBodyOf() != nil {
		return c.body(ctx, q.Key, version(r.GetBodyOf()))
	}
	q.Parked = parked
	answer, err := c.cache.Get(ctx, q)
	if err != nil {
		return nil, err
	}
	return wireAnswer(answer, aside)
}

// body answers with the body that an earlier answer announced.
func (c *calls) body(ctx context.Context, k cache.Key, v cache.Version) (*isrdv1.GetResponse, error) {
	e, ok, err := c.cache.Body(ctx, k, v)
	if err != nil {
		return nil, err
	}
	if !ok {
		return &isrdv1.GetResponse{Status: isrdv1.Status_STATUS_MISS, Reason: isrdv1.Reason_REASON_ABSENT}, nil
	}
	out, err := wireEntry(e, true)
	if err != nil {
		return nil, err
	}
	return &isrdv1.GetResponse{Status: isrdv1.Status_STATUS_HIT, Entry: out, Version: wireVersion(v)}, nil
}

func (c *calls) set(ctx context.Context, who caller, r *isrdv1.SetRequest) (*isrdv1.SetResponse, error) {
	k, err := who.key(r.GetKey())
	if err != nil {
		return nil, err
	}
	if err := c.allowed(k.App); err != nil {
		return nil, err
	}
	if r.GetRewriteOf() != nil {
		// Next.js stores the old value again after a render that failed. The entry stays what it is; nobody is granted
		// its lease until the delay is over.
		delay := min(time.Duration(r.GetRetryAfterMs())*time.Millisecond, maxRetryDelay)
		_, err := c.cache.Release(ctx, k, r.GetLeaseToken(), cache.ReleaseOptions{Keep: delay})
		return &isrdv1.SetResponse{Outcome: isrdv1.Outcome_OUTCOME_ACCEPTED, Version: r.GetRewriteOf()}, err
	}
	s, err := who.setRequest(r)
	if err != nil {
		return nil, err
	}
	outcome, v, err := c.cache.Set(ctx, s)
	if err != nil {
		return nil, err
	}
	return &isrdv1.SetResponse{Outcome: isrdv1.Outcome(outcome), Version: wireVersion(v)}, nil
}

func (c *calls) release(ctx context.Context, who caller, r *isrdv1.ReleaseRequest) (*isrdv1.ReleaseResponse, error) {
	k, err := who.key(r.GetKey())
	if err != nil {
		return nil, err
	}
	if err := c.allowed(k.App); err != nil {
		return nil, err
	}
	released, err := c.cache.Release(ctx, k, r.GetLeaseToken(), cache.ReleaseOptions{Completed: r.GetCompleted()})
	return &isrdv1.ReleaseResponse{Released: released}, err
}

func (c *calls) revalidate(ctx context.Context, who caller, r *isrdv1.RevalidateRequest) (*isrdv1.RevalidateResponse, error) {
	app := r.GetApp()
	if app == "" {
		app = who.app
	}
	if app == "" {
		return nil, status.Error(codes.InvalidArgument, "app is empty; name the app whose content has changed")
	}
	if who.app != "" && app != who.app {
		return nil, status.Errorf(codes.PermissionDenied, "app is %q, but the session belongs to %q", app, who.app)
	}
	if err := c.allowed(app); err != nil {
		return nil, err
	}
	tags, err := revalidations(r.GetRevalidations())
	if err != nil {
		return nil, err
	}
	keys := make([]cache.Key, 0, len(r.GetKeys()))
	for _, k := range r.GetKeys() {
		key, err := caller{app: app, build: who.build}.key(k)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	done, err := c.cache.Revalidate(ctx, app, tags, keys)
	if err != nil {
		return nil, err
	}
	return &isrdv1.RevalidateResponse{Position: wirePosition(done.Position), FleetWide: done.FleetWide}, nil
}
