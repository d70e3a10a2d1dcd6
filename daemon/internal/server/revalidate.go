package server

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/queue"
)

// maxUrgent is how many paths one request of those callers may name that are for somebody who waits; more are bulk.
const maxUrgent = 100

// Revalidate does what RevalidationService.Enqueue does, for callers inside the daemon that have made sure of who asks: it
// revalidates tags, then queues paths, interactive ones unless they are many. It returns the jobs, and whether the tags
// were revalidated everywhere. The error wraps queue.ErrRequest or what the cache and the queue return.
func (s *Server) Revalidate(ctx context.Context, app string, paths, tags []string) (jobs []string, fleetWide bool, err error) {
	if s.revalidation == nil {
		return nil, false, errors.New("the daemon has no queue")
	}
	request := &isrdv1.EnqueueRequest{App: app, Paths: paths}
	if len(paths) > maxUrgent {
		request.Priority = isrdv1.Priority_PRIORITY_BULK
	}
	for _, t := range tags {
		request.Tags = append(request.Tags, &isrdv1.Revalidation{Tag: t})
	}
	out, err := s.revalidation.enqueue(ctx, request)
	if code := status.Code(err); code == codes.InvalidArgument || code == codes.PermissionDenied {
		return nil, false, fmt.Errorf("%w: %s", queue.ErrRequest, status.Convert(err).Message())
	}
	if err != nil {
		return nil, false, err
	}
	for _, j := range out.GetJobs() {
		jobs = append(jobs, j.GetJobId())
	}
	return jobs, out.GetRevalidated().GetFleetWide(), nil
}
