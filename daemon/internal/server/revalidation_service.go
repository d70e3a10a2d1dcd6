package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/queue"
)

// revalidationService implements isrd.v1.RevalidationService. The embedded type makes a new RPC break the build.
type revalidationService struct {
	isrdv1.UnsafeRevalidationServiceServer
	calls
	jobs    queue.Jobs
	hot     int
	config  Config
	stops   <-chan struct{}
	metrics *queueMetrics
}

var _ isrdv1.RevalidationServiceServer = (*revalidationService)(nil)

func newRevalidationService(cfg Config, stops <-chan struct{}) *revalidationService {
	return &revalidationService{
		calls: calls{cache: cfg.Cache, apps: allowList(cfg.Apps)}, jobs: cfg.Jobs, hot: cfg.RefreshHot, config: cfg, stops: stops,
		metrics: newQueueMetrics(cfg.Registerer),
	}
}

// What one call may name.
const (
	maxPaths = 20_000
	maxIDs   = 1000
	maxPage  = 1000
)

// Enqueue implements RevalidationService.
func (s *revalidationService) Enqueue(ctx context.Context, r *isrdv1.EnqueueRequest) (*isrdv1.EnqueueResponse, error) {
	out, err := s.enqueue(ctx, r)
	return out, statusOf(err).Err()
}

func (s *revalidationService) enqueue(ctx context.Context, r *isrdv1.EnqueueRequest) (*isrdv1.EnqueueResponse, error) {
	if err := s.named(r.GetApp()); err != nil {
		return nil, err
	}
	if err := checkEnqueue(r); err != nil {
		return nil, err
	}
	out := new(isrdv1.EnqueueResponse)
	var hot []cache.Key
	if len(r.GetTags()) > 0 {
		marks, err := revalidations(r.GetTags())
		if err != nil {
			return nil, err
		}
		done, err := s.cache.Revalidate(ctx, r.GetApp(), marks, nil)
		if err != nil {
			return nil, err
		}
		out.Revalidated = &isrdv1.RevalidateResponse{Position: wirePosition(done.Position), FleetWide: done.FleetWide}
		hot = s.cache.MostRead(r.GetApp(), marks, s.hot)
	}
	requests, err := s.requests(ctx, r, hot)
	if err != nil || len(requests) == 0 {
		return out, err
	}
	tickets, err := s.jobs.Enqueue(ctx, r.GetApp(), requests)
	for i, t := range tickets {
		s.metrics.enqueued.WithLabelValues(r.GetApp(), outcomeOf(t)).Inc()
		out.Jobs = append(out.Jobs, &isrdv1.EnqueuedJob{
			JobId: t.ID, Path: requests[i].Path, Build: wireBuild(requests[i].Build), Collapsed: t.Collapsed,
		})
	}
	s.metrics.enqueued.WithLabelValues(r.GetApp(), "refused").Add(float64(len(requests) - len(tickets)))
	if err != nil && len(requests) > 1 {
		return nil, fmt.Errorf("%d of %d jobs are queued; sending all of them again is harmless: %w", len(tickets), len(requests), err)
	}
	return out, err
}

func outcomeOf(t queue.Ticket) string {
	if t.Collapsed {
		return "collapsed"
	}
	return "enqueued"
}

func checkEnqueue(r *isrdv1.EnqueueRequest) error {
	if len(r.GetPaths()) == 0 && len(r.GetTags()) == 0 {
		return status.Error(codes.InvalidArgument, "there are neither paths nor tags")
	}
	if len(r.GetPaths()) > maxPaths {
		return status.Errorf(codes.InvalidArgument, "%d paths in one call; send at most %d", len(r.GetPaths()), maxPaths)
	}
	for i, p := range r.GetPaths() {
		if err := queue.CheckPath(p); err != nil {
			return fmt.Errorf("paths[%d]: %w", i, err)
		}
	}
	if p := r.GetPriority(); p < 0 || p > isrdv1.Priority_PRIORITY_BULK {
		return status.Errorf(codes.InvalidArgument, "priority %d is unknown", p)
	}
	return cache.Key{App: r.GetApp(), Build: buildScope(r.GetBuild()), Space: cache.Route, Name: "/"}.Validate()
}

// requests gives the jobs of a request: each path for its build, or for every build that has a process; and the most-read
// pages, each for its own.
func (s *revalidationService) requests(ctx context.Context, r *isrdv1.EnqueueRequest, hot []cache.Key) ([]queue.Request, error) {
	builds := []string{buildScope(r.GetBuild())}
	if builds[0] == "" && len(r.GetPaths()) > 0 {
		all, err := s.jobs.Builds(ctx, r.GetApp())
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			builds = all
		}
	}
	priority := queue.Priority(cmp.Or(r.GetPriority(), isrdv1.Priority_PRIORITY_INTERACTIVE)) //nolint:gosec // checked
	var requests []queue.Request
	for _, p := range r.GetPaths() {
		for _, b := range builds {
			requests = append(requests, queue.Request{Path: p, Build: b, Priority: priority, OnlyIfCached: r.GetOnlyIfCached()})
		}
	}
	for _, k := range hot {
		// Not only if it is cached: to Next.js, what a tag has expired is not.
		requests = append(requests, queue.Request{Path: queue.PathOf(k.Name), Build: k.Build, Priority: queue.Normal})
	}
	return requests, nil
}

// named checks the app of a call.
func (s *revalidationService) named(app string) error {
	if app == "" {
		return status.Error(codes.InvalidArgument, "app is empty; name the app whose content has changed")
	}
	return s.allowed(app)
}

// chosen checks the app and the jobs of a call.
func (s *revalidationService) chosen(app string, ids []string) error {
	if len(ids) == 0 || len(ids) > maxIDs {
		return status.Errorf(codes.InvalidArgument, "%d job_ids in one call; send 1 to %d", len(ids), maxIDs)
	}
	return s.named(app)
}

// Get implements RevalidationService.
func (s *revalidationService) Get(ctx context.Context, r *isrdv1.RevalidationServiceGetRequest) (*isrdv1.RevalidationServiceGetResponse, error) {
	if err := s.chosen(r.GetApp(), r.GetJobIds()); err != nil {
		return nil, err
	}
	jobs, err := s.jobs.Get(ctx, r.GetApp(), r.GetJobIds())
	return &isrdv1.RevalidationServiceGetResponse{Jobs: wireJobs(jobs)}, statusOf(err).Err()
}

// List implements RevalidationService.
func (s *revalidationService) List(ctx context.Context, r *isrdv1.ListRequest) (*isrdv1.ListResponse, error) {
	if err := s.named(r.GetApp()); err != nil {
		return nil, err
	}
	state := queue.State(min(max(r.GetState(), 0), isrdv1.JobState_JOB_STATE_DEAD)) //nolint:gosec // bounded on this line
	jobs, next, err := s.jobs.List(ctx, r.GetApp(), queue.ListOptions{
		State: state, Limit: int(min(cmp.Or(r.GetPageSize(), 100), maxPage)), From: r.GetPageToken(),
	})
	if err != nil && !errors.Is(err, queue.ErrUnavailable) {
		return nil, status.Errorf(codes.InvalidArgument, "page_token: %v", err)
	}
	return &isrdv1.ListResponse{Jobs: wireJobs(jobs), NextPageToken: next}, statusOf(err).Err()
}

// Retry implements RevalidationService.
func (s *revalidationService) Retry(ctx context.Context, r *isrdv1.RetryRequest) (*isrdv1.RetryResponse, error) {
	if err := s.chosen(r.GetApp(), r.GetJobIds()); err != nil {
		return nil, err
	}
	n, err := s.jobs.Retry(ctx, r.GetApp(), r.GetJobIds())
	return &isrdv1.RetryResponse{Retried: uint32(n)}, statusOf(err).Err() //nolint:gosec // at most as many as there are ids
}

// Drop implements RevalidationService.
func (s *revalidationService) Drop(ctx context.Context, r *isrdv1.DropRequest) (*isrdv1.DropResponse, error) {
	if err := s.chosen(r.GetApp(), r.GetJobIds()); err != nil {
		return nil, err
	}
	n, err := s.jobs.Drop(ctx, r.GetApp(), r.GetJobIds())
	return &isrdv1.DropResponse{Dropped: uint32(n)}, statusOf(err).Err() //nolint:gosec // as above
}

// lookEvery is the least time between two looks of one watcher: jobs may end by the hundred.
const lookEvery = 20 * time.Millisecond

// Watch implements RevalidationService.
func (s *revalidationService) Watch(r *isrdv1.WatchRequest, stream grpc.ServerStreamingServer[isrdv1.WatchResponse]) error {
	ctx := stream.Context()
	if err := s.config.authorize(ctx, ""); err != nil {
		return err
	}
	if err := s.chosen(r.GetApp(), r.GetJobIds()); err != nil {
		return err
	}
	ready, stop := s.jobs.Listen(r.GetApp(), queue.Ready)
	defer stop()
	ended, stopEnded := s.jobs.Listen(r.GetApp(), queue.Ended)
	defer stopEnded()
	w := watcher{service: s, app: r.GetApp(), ids: r.GetJobIds(), sent: make(map[string]queue.Job), stream: stream}
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := false // what is heard on the way to a look does not put it off
	hear := func() {
		if !soon {
			soon = true
			timer.Reset(lookEvery)
		}
	}
	for {
		select {
		case <-timer.C:
			soon = false
			over, err := w.look(ctx)
			if over || err != nil {
				return statusOf(err).Err()
			}
			timer.Reset(queue.Recheck)
		case <-ready:
			hear()
		case <-ended:
			hear()
		case <-s.stops:
			return status.Error(codes.Unavailable, "the daemon stops; watch again")
		case <-ctx.Done():
			return statusOf(context.Cause(ctx)).Err()
		}
	}
}

// watcher is one Watch.
type watcher struct {
	service *revalidationService
	app     string
	ids     []string // those that have not ended, as far as was told
	sent    map[string]queue.Job
	stream  grpc.ServerStreamingServer[isrdv1.WatchResponse]
}

// look sends what has changed. True: all have ended. A store that is away is waited for.
func (w *watcher) look(ctx context.Context) (over bool, err error) {
	jobs, err := w.service.jobs.Get(ctx, w.app, w.ids)
	if err != nil {
		w.service.config.Logger.DebugContext(ctx, "watch jobs", slog.Any("error", err))
		return false, nil
	}
	known := make(map[string]queue.Job, len(jobs))
	for _, j := range jobs {
		known[j.ID] = j
	}
	var rest []string
	for _, id := range w.ids {
		j, ok := known[id]
		if ok && !j.Ended() {
			rest = append(rest, id)
		}
		if was, told := w.sent[id]; told && was == j {
			continue
		}
		w.sent[id] = j
		j.ID = id
		if err := w.stream.Send(&isrdv1.WatchResponse{Job: wireJob(j)}); err != nil {
			return true, fmt.Errorf("send job: %w", err)
		}
	}
	w.ids = rest
	return len(rest) == 0, nil
}

func wireJobs(jobs []queue.Job) []*isrdv1.JobRecord {
	out := make([]*isrdv1.JobRecord, len(jobs))
	for i, j := range jobs {
		out[i] = wireJob(j)
	}
	return out
}

func wireJob(j queue.Job) *isrdv1.JobRecord {
	return &isrdv1.JobRecord{
		JobId: j.ID, Path: j.Path, Build: wireBuild(j.Build), Priority: isrdv1.Priority(j.Priority), OnlyIfCached: j.OnlyIfCached,
		State: isrdv1.JobState(j.State), Attempt: uint32(j.Attempt), ClaimedBy: j.By, //nolint:gosec // small
		EnqueuedAtMs: j.Enqueued, ClaimedAtMs: j.Claimed, RetryAtMs: j.RetryAt,
		Outcome: isrdv1.JobOutcome(j.Outcome), HttpStatus: uint32(j.HTTPStatus), Reason: j.Reason, //nolint:gosec // a status
	}
}

// wireBuild takes apart what buildScope has joined.
func wireBuild(scope string) *isrdv1.Build {
	if scope == "" {
		return nil
	}
	if length, rest, ok := strings.Cut(scope, ":"); ok {
		var n int
		if _, err := fmt.Sscanf(length, "%d", &n); err == nil && n >= 0 && n < len(rest) && rest[n] == ':' {
			return &isrdv1.Build{BuildId: rest[:n], DeploymentId: rest[n+1:]}
		}
	}
	return &isrdv1.Build{BuildId: scope}
}
