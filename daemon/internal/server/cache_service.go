package server

import (
	"context"
	"log/slog"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/hub"
)

// cacheService implements isrd.v1.CacheService. The embedded type makes a new RPC break the build.
type cacheService struct {
	isrdv1.UnsafeCacheServiceServer
	calls
	hub      *hub.Hub
	config   Config
	metrics  *metrics
	sessions sessions
	log      *slog.Logger
}

var _ isrdv1.CacheServiceServer = (*cacheService)(nil)

// unary is the holder of leases that unary callers get: they end with their write, a release, or their TTL.
var unary = caller{holder: "unary"}

// Get implements CacheService.
func (s *cacheService) Get(ctx context.Context, r *isrdv1.GetRequest) (*isrdv1.GetResponse, error) {
	out, err := s.get(ctx, unary, r, 0, nil)
	return out, statusOf(err).Err()
}

// Set implements CacheService. A large page is written beside its process's session, which has the lease.
func (s *cacheService) Set(ctx context.Context, r *isrdv1.SetRequest) (*isrdv1.SetResponse, error) {
	if ss := s.sessions.holding(r.GetKey(), r.GetLeaseToken()); ss != nil {
		out, err := ss.store(ctx, unary, r)
		return out, statusOf(err).Err()
	}
	out, err := s.set(ctx, unary, r)
	return out, statusOf(err).Err()
}

// Release implements CacheService.
func (s *cacheService) Release(ctx context.Context, r *isrdv1.ReleaseRequest) (*isrdv1.ReleaseResponse, error) {
	out, err := s.release(ctx, unary, r)
	return out, statusOf(err).Err()
}

// Revalidate implements CacheService.
func (s *cacheService) Revalidate(ctx context.Context, r *isrdv1.RevalidateRequest) (*isrdv1.RevalidateResponse, error) {
	out, err := s.revalidate(ctx, unary, r)
	return out, statusOf(err).Err()
}
