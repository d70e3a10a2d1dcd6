package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/queue"
	"github.com/isrd/isrd/daemon/internal/server"
	"github.com/isrd/isrd/daemon/internal/worker"
)

// office is a daemon with a queue and a worker.
type office struct {
	*daemon
	queue isrdv1.RevalidationServiceClient
}

func startOffice(t *testing.T, cfg server.Config) *office {
	t.Helper()
	q := queue.NewMemory(queue.Config{})
	o := new(office)
	w := worker.New(worker.Config{Queue: q, Instance: "node-1", Position: func(ctx context.Context, app string) (epoch, seq uint64, err error) {
		p, err := o.cache.Position(ctx, app)
		return p.Epoch, p.Seq, err
	}})
	cfg.Workers, cfg.Jobs = w, q
	o.daemon = start(t, cfg)
	o.queue = isrdv1.NewRevalidationServiceClient(o.conn)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return o
}

// nextjs is a process that offers itself.
type nextjs struct{ *session }

func (o *office) hire(concurrency uint32) nextjs {
	o.t.Helper()
	h := hello("shop")
	h.Worker, h.Instance = &isrdv1.WorkerOffer{Concurrency: concurrency}, "web-0"
	s := o.dial(h)
	if s.recv().GetWelcome() == nil {
		o.t.Fatal("the first frame is no welcome")
	}
	return nextjs{s}
}

func (o *office) enqueue(r *isrdv1.EnqueueRequest) []*isrdv1.EnqueuedJob {
	o.t.Helper()
	r.App = "shop"
	out, err := o.queue.Enqueue(o.t.Context(), r)
	if err != nil {
		o.t.Fatal(err)
	}
	return out.GetJobs()
}

// watch returns the last that is told of the jobs.
func (o *office) watch(jobs ...*isrdv1.EnqueuedJob) map[string]*isrdv1.JobRecord {
	o.t.Helper()
	r := &isrdv1.WatchRequest{App: "shop"}
	for _, j := range jobs {
		r.JobIds = append(r.JobIds, j.GetJobId())
	}
	stream, err := o.queue.Watch(o.t.Context(), r)
	if err != nil {
		o.t.Fatal(err)
	}
	last := make(map[string]*isrdv1.JobRecord)
	for {
		w, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last
		}
		if err != nil {
			o.t.Fatal(err)
		}
		last[w.GetJob().GetJobId()] = w.GetJob()
	}
}

// job takes the next job.
func (n nextjs) job() (uint64, *isrdv1.Job) {
	n.t.Helper()
	for {
		if f := n.recv(); f.GetJob() != nil {
			return f.GetId(), f.GetJob()
		}
	}
}

func (n nextjs) answerJob(frame uint64, j *isrdv1.Job, code uint32, next string) {
	n.t.Helper()
	n.send(&isrdv1.SessionRequest{Id: frame, Frame: &isrdv1.SessionRequest_JobResult{JobResult: &isrdv1.JobResult{
		JobId: j.GetJobId(), HttpStatus: code, NextCache: next,
	}}})
}

func TestAJobEndsWithTheWriteThatItCaused(t *testing.T) {
	o := startOffice(t, server.Config{})
	n := o.hire(1)
	jobs := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/p/1"}})
	frame, j := n.job()
	if j.GetPath() != "/p/1" || j.GetJobId() != jobs[0].GetJobId() || j.GetDeadlineMs() < 50_000 {
		t.Fatalf("job %v", j)
	}
	render := n.get(&isrdv1.GetRequest{Key: route("/p/1"), OnDemand: true})
	n.set(route("/p/1"), render, page("new"))
	n.answerJob(frame, j, 200, "REVALIDATED")
	got := o.watch(jobs...)[j.GetJobId()]
	if got.GetState() != isrdv1.JobState_JOB_STATE_DONE || got.GetOutcome() != isrdv1.JobOutcome_JOB_OUTCOME_WRITTEN || got.GetClaimedBy() != "node-1" {
		t.Errorf("job %v", got)
	}
}

func TestAJobIsAskedAgainThatJoinedARenderBefore(t *testing.T) {
	o := startOffice(t, server.Config{})
	n := o.hire(1)
	before := n.get(&isrdv1.GetRequest{Key: route("/p/1")})
	jobs := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/p/1"}})
	frame, j := n.job()
	n.get(&isrdv1.GetRequest{Key: route("/p/1"), OnDemand: true}) // Next.js asks, and then joins the render that is under way
	n.set(route("/p/1"), before, page("old"))
	n.answerJob(frame, j, 200, "REVALIDATED")
	frame, again := n.job()
	if again.GetJobId() != j.GetJobId() {
		t.Fatalf("job %v, want %v again", again, j)
	}
	render := n.get(&isrdv1.GetRequest{Key: route("/p/1"), OnDemand: true})
	n.set(route("/p/1"), render, page("new"))
	n.answerJob(frame, again, 200, "REVALIDATED")
	if got := o.watch(jobs...)[j.GetJobId()]; got.GetOutcome() != isrdv1.JobOutcome_JOB_OUTCOME_WRITTEN || got.GetAttempt() != 1 {
		t.Errorf("job %v", got)
	}
}

// A large page is written beside the session.
func TestAWriteBesideTheSessionEndsAJob(t *testing.T) {
	o := startOffice(t, server.Config{})
	n := o.hire(1)
	jobs := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/large"}})
	frame, j := n.job()
	render := n.get(&isrdv1.GetRequest{Key: route("/large"), OnDemand: true})
	key := route("/large")
	key.App, key.Build = "shop", &isrdv1.Build{BuildId: "b1"}
	out, err := o.client.Set(t.Context(), &isrdv1.SetRequest{
		Key: key, Entry: page(strings.Repeat("x", 500_000)), Base: render.GetBase(), LeaseToken: render.GetLease().GetToken(),
	})
	if err != nil || out.GetOutcome() != isrdv1.Outcome_OUTCOME_ACCEPTED {
		t.Fatal(out, err)
	}
	n.answerJob(frame, j, 200, "REVALIDATED")
	if got := o.watch(jobs...)[j.GetJobId()]; got.GetOutcome() != isrdv1.JobOutcome_JOB_OUTCOME_WRITTEN {
		t.Errorf("job %v", got)
	}
}

func TestTheJobOfASessionThatBreaksIsAnothers(t *testing.T) {
	o := startOffice(t, server.Config{})
	dying := o.hire(1)
	jobs := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/p"}})
	_, j := dying.job()
	n := o.hire(1)
	dying.cancel()
	frame, again := n.job()
	if again.GetJobId() != j.GetJobId() {
		t.Errorf("job %v, want %v", again, j)
	}
	n.answerJob(frame, again, 404, "")
	if got := o.watch(jobs...)[j.GetJobId()]; got.GetOutcome() != isrdv1.JobOutcome_JOB_OUTCOME_NOT_FOUND || got.GetAttempt() != 2 || got.GetHttpStatus() != 404 {
		t.Errorf("job %v", got)
	}
}

// bureau hands processes to the test.
type bureau chan queue.Process

func (b bureau) Join(_ queue.Offer, p queue.Process) (leave func()) {
	b <- p
	return func() {}
}

func TestAJobThatNobodyWaitsForIsTakenBack(t *testing.T) {
	b := make(bureau, 1)
	o := &office{daemon: start(t, server.Config{Workers: b})}
	n := o.hire(1)
	process := <-b
	ctx, lose := context.WithCancelCause(t.Context())
	lost := errors.New("the claim was lost")
	ended := make(chan error, 1)
	go func() {
		_, err := process.Regenerate(ctx, queue.Task{ID: "j", Path: "/p", Within: time.Minute})
		ended <- err
	}()
	frame, _ := n.job()
	lose(lost)
	if err := <-ended; !errors.Is(err, lost) {
		t.Errorf("ended with %v", err)
	}
	for {
		f := n.recv()
		if c := f.GetJobCancel(); c != nil {
			if c.GetId() != frame || f.GetId() != 0 {
				t.Errorf("%v, want the withdrawal of %d", f, frame)
			}
			return
		}
	}
}

func TestTagsAreRevalidatedAndTheMostReadPagesRefreshed(t *testing.T) {
	o := startOffice(t, server.Config{RefreshHot: 2})
	n := o.hire(8)
	for name, reads := range map[string]int{"/index": 300, "/a": 200, "/b": 32, "/other": 400} {
		tag := "products"
		if name == "/other" {
			tag = "other"
		}
		n.set(route(name), n.get(&isrdv1.GetRequest{Key: route(name)}), page(name, tag))
		for range reads {
			n.get(&isrdv1.GetRequest{Key: route(name)})
		}
	}
	out, err := o.queue.Enqueue(t.Context(), &isrdv1.EnqueueRequest{App: "shop", Tags: []*isrdv1.Revalidation{{Tag: "products"}}})
	if err != nil || !out.GetRevalidated().GetFleetWide() {
		t.Fatal(out, err)
	}
	var paths []string
	for _, j := range out.GetJobs() {
		paths = append(paths, j.GetPath())
		if j.GetBuild().GetBuildId() != "b1" {
			t.Errorf("build %v", j.GetBuild())
		}
	}
	if !slices.Equal(paths, []string{"/", "/a"}) {
		t.Errorf("refreshed %q, want those with the tag that were read most", paths)
	}
	if a := n.get(&isrdv1.GetRequest{Key: route("/b"), NoLease: true}); a.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("a page with the tag: %v", a)
	}
}

func TestRevalidationServiceRefuses(t *testing.T) {
	o := startOffice(t, server.Config{Apps: []string{"shop"}, Token: ""})
	many := slices.Repeat([]string{"/p"}, 20_001)
	for name, tc := range map[string]struct {
		request *isrdv1.EnqueueRequest
		code    codes.Code
		says    string
	}{
		"no app":        {&isrdv1.EnqueueRequest{Paths: []string{"/p"}}, codes.InvalidArgument, "app is empty"},
		"another app":   {&isrdv1.EnqueueRequest{App: "x", Paths: []string{"/p"}}, codes.PermissionDenied, "--app"},
		"nothing":       {&isrdv1.EnqueueRequest{App: "shop"}, codes.InvalidArgument, "neither paths nor tags"},
		"too much":      {&isrdv1.EnqueueRequest{App: "shop", Paths: many}, codes.InvalidArgument, "at most 20000"},
		"absolute URL":  {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"/ok", "http://evil/"}}, codes.InvalidArgument, "paths[1]"},
		"other host":    {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"//evil/"}}, codes.InvalidArgument, "one slash"},
		"climbing":      {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"/a/%2E%2e/b"}}, codes.InvalidArgument, "climb"},
		"query":         {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"/a?b"}}, codes.InvalidArgument, "query"},
		"header split":  {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"/a\r\nX: y"}}, codes.InvalidArgument, "control"},
		"long":          {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"/" + strings.Repeat("a", 2048)}}, codes.InvalidArgument, "limit"},
		"empty tag":     {&isrdv1.EnqueueRequest{App: "shop", Tags: []*isrdv1.Revalidation{{}}}, codes.InvalidArgument, "tag"},
		"odd priority":  {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"/p"}, Priority: 9}, codes.InvalidArgument, "priority"},
		"endless build": {&isrdv1.EnqueueRequest{App: "shop", Paths: []string{"/p"}, Build: &isrdv1.Build{BuildId: strings.Repeat("b", 999)}}, codes.InvalidArgument, "build"},
	} {
		_, err := o.queue.Enqueue(t.Context(), tc.request)
		if s := status.Convert(err); s.Code() != tc.code || !strings.Contains(s.Message(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.queue.List(t.Context(), &isrdv1.ListRequest{App: "shop", PageToken: "x"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("page token: %v", err)
	}
	if _, err := o.queue.Get(t.Context(), &isrdv1.RevalidationServiceGetRequest{App: "shop"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no jobs: %v", err)
	}
}

func TestJobsAreLookedAfter(t *testing.T) {
	o := startOffice(t, server.Config{})
	jobs := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/1", "/2", "/1"}, Build: &isrdv1.Build{BuildId: "4:x", DeploymentId: "d:1"}, Priority: isrdv1.Priority_PRIORITY_BULK})
	if len(jobs) != 3 || !jobs[2].GetCollapsed() || jobs[2].GetJobId() != jobs[0].GetJobId() {
		t.Fatalf("jobs %v", jobs)
	}
	list, err := o.queue.List(t.Context(), &isrdv1.ListRequest{App: "shop", State: isrdv1.JobState_JOB_STATE_QUEUED})
	if err != nil || len(list.GetJobs()) != 2 {
		t.Fatal(list, err)
	}
	if b := list.GetJobs()[0].GetBuild(); b.GetBuildId() != "4:x" || b.GetDeploymentId() != "d:1" || list.GetJobs()[0].GetPriority() != isrdv1.Priority_PRIORITY_BULK {
		t.Errorf("job %v", list.GetJobs()[0])
	}
	watched, stop := context.WithCancel(t.Context())
	defer stop()
	stream, err := o.queue.Watch(watched, &isrdv1.WatchRequest{App: "shop", JobIds: []string{jobs[0].GetJobId()}})
	if err != nil {
		t.Fatal(err)
	}
	if w, err := stream.Recv(); err != nil || w.GetJob().GetState() != isrdv1.JobState_JOB_STATE_QUEUED {
		t.Fatal(w, err)
	}
	dropped, err := o.queue.Drop(t.Context(), &isrdv1.DropRequest{App: "shop", JobIds: []string{jobs[0].GetJobId(), jobs[1].GetJobId()}})
	if err != nil || dropped.GetDropped() != 2 {
		t.Fatal(dropped, err)
	}
	if w, err := stream.Recv(); err != nil || w.GetJob().GetState() != isrdv1.JobState_JOB_STATE_UNSPECIFIED {
		t.Fatal(w, err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the watch goes on: %v", err)
	}
	retried, err := o.queue.Retry(t.Context(), &isrdv1.RetryRequest{App: "shop", JobIds: []string{jobs[0].GetJobId()}})
	if err != nil || retried.GetRetried() != 0 {
		t.Fatal(retried, err)
	}
}

func TestABuildThatHasAProcessGetsItsJob(t *testing.T) {
	o := startOffice(t, server.Config{})
	none := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/early"}})
	if len(none) != 1 || none[0].GetBuild() != nil {
		t.Fatalf("without a process: %v", none)
	}
	n := o.hire(1)
	frame, j := n.job()
	n.answerJob(frame, j, 404, "")
	jobs := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/p"}})
	if len(jobs) != 1 || jobs[0].GetBuild().GetBuildId() != "b1" {
		t.Fatalf("with a process: %v", jobs)
	}
	if got := fmt.Sprint(len(o.watch(none...))); got != "1" {
		t.Error(got)
	}
}

// Where jobs come and go all the time there is always news.
func TestAWatcherIsToldOfItsJobsInABusyQueue(t *testing.T) {
	o := startOffice(t, server.Config{})
	jobs := o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{"/p"}})
	stream, err := o.queue.Watch(t.Context(), &isrdv1.WatchRequest{App: "shop", JobIds: []string{jobs[0].GetJobId()}})
	if err != nil {
		t.Fatal(err)
	}
	if w, err := stream.Recv(); err != nil || w.GetJob().GetState() != isrdv1.JobState_JOB_STATE_QUEUED {
		t.Fatal(w, err)
	}
	told, others := make(chan error, 1), 0
	if _, err := o.queue.Drop(t.Context(), &isrdv1.DropRequest{App: "shop", JobIds: []string{jobs[0].GetJobId()}}); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := stream.Recv()
		told <- err
	}()
	for over := time.After(5 * time.Second); ; others++ {
		select {
		case err := <-told:
			if err != nil {
				t.Error(err)
			}
			return
		case <-over:
			t.Fatalf("not told of its end while %d others were enqueued", others)
		default:
			o.enqueue(&isrdv1.EnqueueRequest{Paths: []string{fmt.Sprint("/other/", others)}})
		}
	}
}

// A CMS that publishes everything must not stand before an editor who waits for one page.
func TestManyPathsOfOneWebhookAreBulk(t *testing.T) {
	q := queue.NewMemory(queue.Config{})
	s := server.New(server.Config{Jobs: q, Registerer: prometheus.NewRegistry()})
	for n, want := range map[int]queue.Priority{1: queue.Interactive, 100: queue.Interactive, 101: queue.Bulk} {
		var paths []string
		for i := range n {
			paths = append(paths, fmt.Sprint("/", n, "/", i))
		}
		ids, _, err := s.Revalidate(t.Context(), "shop", paths, nil)
		if err != nil || len(ids) != n {
			t.Fatal(ids, err)
		}
		jobs, err := q.Get(t.Context(), "shop", ids[:1])
		if err != nil || len(jobs) != 1 || jobs[0].Priority != want {
			t.Errorf("of %d paths: %+v, %v; want priority %d", n, jobs, err, want)
		}
	}
}
