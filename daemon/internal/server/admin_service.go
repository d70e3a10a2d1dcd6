package server

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// What one list may cost.
const (
	maxListed = 100_000
	listStep  = 500 // entries in one message: with names of a few hundred bytes, far below what a client can receive
	listLimit = time.Minute
)

// adminService implements isrd.v1.AdminService. The embedded type makes a new RPC break the build.
type adminService struct {
	isrdv1.UnsafeAdminServiceServer
	calls
	lister cache.Lister
	config Config
}

var _ isrdv1.AdminServiceServer = (*adminService)(nil)

// ListKeys implements AdminService.
func (s *adminService) ListKeys(r *isrdv1.ListKeysRequest, stream grpc.ServerStreamingServer[isrdv1.ListKeysResponse]) error {
	if err := s.config.authorize(stream.Context(), ""); err != nil {
		return err
	}
	opt, err := s.listOptions(r)
	if err != nil {
		return statusOf(err).Err()
	}
	switch r.GetOrder() {
	case isrdv1.ListOrder_LIST_ORDER_UNSPECIFIED:
		if s.lister == nil {
			return status.Error(codes.Unimplemented, "this daemon's store cannot list its entries")
		}
	case isrdv1.ListOrder_LIST_ORDER_MOST_READ:
		return s.listMostRead(opt, int(r.GetLimit()), stream)
	default:
		return status.Errorf(codes.InvalidArgument, "order %d is unknown", r.GetOrder())
	}
	ctx, cancel := context.WithTimeout(stream.Context(), listLimit)
	defer cancel()
	left := maxListed
	if n := int(r.GetLimit()); n > 0 && n < maxListed {
		left = n
	}
	var sent error
	out := new(isrdv1.ListKeysResponse)
	err = s.lister.List(ctx, opt, func(l cache.Listed) bool {
		if left == 0 {
			out.Truncated = true
			return false
		}
		left--
		out.Keys = append(out.Keys, wireListed(l))
		if len(out.GetKeys()) >= listStep {
			sent = stream.Send(out)
			out = new(isrdv1.ListKeysResponse)
		}
		return sent == nil
	})
	switch {
	case sent != nil:
		return sent //nolint:wrapcheck // it is a status already, and nobody is there to be told
	case err != nil:
		return statusOf(err).Err()
	}
	return stream.Send(out) //nolint:wrapcheck // the same
}

// listMostRead names the pages that are read most.
func (s *adminService) listMostRead(opt cache.ListOptions, limit int, stream grpc.ServerStreamingServer[isrdv1.ListKeysResponse]) error {
	switch {
	case opt.Space != cache.Route:
		return status.Error(codes.InvalidArgument, "order: only pages are counted; ask for SPACE_ROUTE")
	case !s.cache.CountsReads():
		return status.Error(codes.FailedPrecondition, "this daemon does not count reads; start it with --refresh-hot")
	}
	keys := slices.DeleteFunc(s.cache.MostRead(opt.App, nil, maxListed), func(k cache.Key) bool { return !opt.Selects(k) })
	truncated := limit > 0 && len(keys) > limit
	if truncated {
		keys = keys[:limit]
	}
	for some := range slices.Chunk(keys, listStep) {
		out := new(isrdv1.ListKeysResponse)
		for _, k := range some {
			out.Keys = append(out.Keys, &isrdv1.ListedKey{Name: k.Name, Lifetime: new(isrdv1.Lifetime)})
		}
		if err := stream.Send(out); err != nil {
			return err //nolint:wrapcheck // it is a status already, and nobody is there to be told
		}
	}
	return stream.Send(&isrdv1.ListKeysResponse{Truncated: truncated}) //nolint:wrapcheck // the same
}

func (s *adminService) listOptions(r *isrdv1.ListKeysRequest) (cache.ListOptions, error) {
	// Any name will do: the rest is checked as for a key.
	k, err := caller{}.key(&isrdv1.Key{App: r.GetApp(), Build: r.GetBuild(), Space: r.GetSpace(), Name: "/"})
	switch {
	case err != nil:
		return cache.ListOptions{}, err
	case s.allowed(k.App) != nil:
		return cache.ListOptions{}, s.allowed(k.App)
	}
	return cache.ListOptions{App: k.App, Build: k.Build, Space: k.Space}, nil
}

func wireListed(l cache.Listed) *isrdv1.ListedKey {
	out := &isrdv1.ListedKey{Name: l.Key.Name, Lifetime: new(isrdv1.Lifetime)}
	out.Lifetime.RevalidateSeconds = seconds(l.Lifetime.Revalidate)
	out.Lifetime.ExpireSeconds = seconds(l.Lifetime.Expire)
	var e isrdv1.Entry
	if l.Meta != nil && proto.Unmarshal(l.Meta, &e) == nil {
		out.Kind, out.Status = e.GetKind(), e.Status
	}
	return out
}

// seconds is the wire's form of a limit; none: absent.
func seconds(d time.Duration) *uint32 {
	if d < 0 {
		return nil
	}
	return proto.Uint32(uint32(min(d/time.Second, 1<<32-1))) //nolint:gosec // it was bounded
}
