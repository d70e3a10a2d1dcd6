package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cli"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// asDaemon is set in the environment of a process of this test that is to be a daemon.
const asDaemon = "ISRD_TEST_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) //nolint:forbidigo // it is main here
	}
	os.Exit(m.Run()) //nolint:forbidigo // as above
}

// spawn starts a daemon as a process of its own, which can be killed.
func spawn(t *testing.T, args ...string) (address string, kill func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "isrd")
	if err != nil {
		t.Fatal(err)
	}
	log := new(buffer)
	address = "unix://" + filepath.Join(dir, "isrd.sock")
	command := exec.Command(os.Args[0], append([]string{"serve", "--listen", address}, args...)...) //nolint:noctx,gosec // it is killed, below
	command.Env = append(os.Environ(), asDaemon+"=1")
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		if err := command.Process.Signal(syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		_ = command.Wait() // it was killed
	})
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("the daemon said:\n%s", log)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if c, _, stderr := run(t, "health", "--listen", address, "--timeout", patience.String()); c != 0 {
		t.Fatalf("health: %d, %s\n%s", c, stderr, log)
	}
	return address, kill
}

// replica is a process that is connected and renders what it is asked to, until its daemon goes.
type replica struct {
	t       *testing.T
	stream  isrdv1.CacheService_SessionClient
	sending sync.Mutex
	next    atomic.Uint64
	renders atomic.Int64
	answers sync.Map // the channels of gets, by id
	ended   chan struct{}
}

func connect(t *testing.T, address string, takes time.Duration) *replica {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := isrdv1.NewCacheServiceClient(conn).Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, stream: stream, ended: make(chan struct{})}
	r.send(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Hello{Hello: &isrdv1.Hello{
		ProtocolMin: 1, ProtocolMax: 1, App: "shop", Build: &isrdv1.Build{BuildId: "b1"}, Worker: &isrdv1.WorkerOffer{Concurrency: 4},
	}}})
	if f, err := stream.Recv(); err != nil || f.GetWelcome() == nil {
		t.Fatal(f, err)
	}
	var work sync.WaitGroup
	go func() {
		defer close(r.ended)
		r.serve(&work, takes)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
		work.Wait()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *replica) send(f *isrdv1.SessionRequest) {
	r.sending.Lock()
	defer r.sending.Unlock()
	_ = r.stream.Send(f) // its daemon may have been killed
}

func (r *replica) serve(work *sync.WaitGroup, takes time.Duration) {
	for {
		f, err := r.stream.Recv()
		if err != nil {
			return
		}
		if events := f.GetEvents().GetEvents(); len(events) > 0 {
			p := events[len(events)-1].GetPosition()
			r.send(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_EventsAck{EventsAck: &isrdv1.EventsAck{Position: p}}})
		}
		if j := f.GetJob(); j != nil { // its id may be that of a request that is open
			work.Go(func() { r.render(f.GetId(), j, takes) })
			continue
		}
		if f.GetWaiting() != nil {
			continue
		}
		if c, ok := r.answers.LoadAndDelete(f.GetId()); ok {
			c.(chan *isrdv1.SessionResponse) <- f //nolint:errcheck,forcetypeassert // nothing else is stored
		}
	}
}

// ask sends a request and returns its answer; nil: the daemon has gone.
func (r *replica) ask(f *isrdv1.SessionRequest) *isrdv1.SessionResponse {
	f.Id = r.next.Add(1)
	c := make(chan *isrdv1.SessionResponse, 1)
	r.answers.Store(f.GetId(), c)
	r.send(f)
	select {
	case answer := <-c:
		return answer
	case <-r.ended:
		return nil
	}
}

// render does what Next.js does for a request on demand.
func (r *replica) render(frame uint64, j *isrdv1.Job, takes time.Duration) {
	if strings.HasPrefix(j.GetPath(), "/poison") {
		r.send(&isrdv1.SessionRequest{Id: frame, Frame: &isrdv1.SessionRequest_JobResult{JobResult: &isrdv1.JobResult{JobId: j.GetJobId(), HttpStatus: 404}}})
		return
	}
	key := &isrdv1.Key{Space: isrdv1.Space_SPACE_ROUTE, Name: j.GetPath()}
	got := r.ask(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: key, OnDemand: true}}}).GetGet()
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ended:
		return
	}
	r.renders.Add(1)
	r.ask(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{
		Key: key, Base: got.GetBase(), LeaseToken: got.GetLease().GetToken(),
		Entry: &isrdv1.Entry{Kind: isrdv1.Kind_KIND_APP_PAGE, Parts: []*isrdv1.Part{{Name: "html", Data: []byte("new")}}},
	}}})
	r.send(&isrdv1.SessionRequest{Id: frame, Frame: &isrdv1.SessionRequest_JobResult{JobResult: &isrdv1.JobResult{
		JobId: j.GetJobId(), HttpStatus: 200, NextCache: "REVALIDATED",
	}}})
}

// A worker's daemon is killed in the middle: every job is done, by the other, and none twice.
func TestJobsOfADaemonThatIsKilledAreDone(t *testing.T) {
	redis := redistest.Start(t)
	flags := []string{"--redis", redis.URL(), "--redis-timeout", "1s"}
	one, kill := spawn(t, flags...)
	two, _ := spawn(t, flags...)
	dying, living := connect(t, one, 20*time.Millisecond), connect(t, two, 20*time.Millisecond)
	conn, err := grpc.NewClient(two, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	client := isrdv1.NewRevalidationServiceClient(conn)
	const jobs = 400
	request := &isrdv1.EnqueueRequest{App: "shop", Build: &isrdv1.Build{BuildId: "b1"}}
	watch := &isrdv1.WatchRequest{App: "shop"}
	for i := range jobs {
		request.Paths = append(request.Paths, fmt.Sprint("/p/", i))
	}
	out, err := client.Enqueue(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range out.GetJobs() {
		watch.JobIds = append(watch.JobIds, j.GetJobId())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	stream, err := client.Watch(ctx, watch)
	if err != nil {
		t.Fatal(err)
	}
	attempts, done, killed := 0, map[string]int{}, false
	for {
		w, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%d of %d jobs are done: %v", len(done), jobs, err)
		}
		if j := w.GetJob(); j.GetState() == isrdv1.JobState_JOB_STATE_DONE {
			done[j.GetJobId()]++
			attempts += int(j.GetAttempt())
			if j.GetOutcome() != isrdv1.JobOutcome_JOB_OUTCOME_WRITTEN {
				t.Errorf("job %v", j)
			}
		}
		if !killed && dying.renders.Load() > 20 {
			killed = true
			kill()
		}
	}
	if !killed || len(done) != jobs {
		t.Errorf("%d of %d jobs are done (killed in the middle: %v)", len(done), jobs, killed)
	}
	for id, times := range done {
		if times != 1 {
			t.Errorf("job %s was done %d times", id, times)
		}
	}
	t.Logf("%d jobs: %d renders by the daemon that was killed, %d by the other; %d attempts, of which %d were taken over",
		jobs, dying.renders.Load(), living.renders.Load(), attempts, attempts-jobs)
	if attempts-jobs > 8 {
		t.Errorf("%d jobs were taken over; the killed daemon's process had 4", attempts-jobs)
	}
}

func TestRevalidateCommand(t *testing.T) {
	address, _ := serve(t)
	connect(t, address, 0)
	t.Setenv("ISRD_ADDRESS", address)
	t.Setenv("ISRD_APP", "shop")
	code, stdout, stderr := run(t, "revalidate", "/a", "/poison", "--tag", "products", "--tag", "x", "--wait")
	for _, want := range []string{"revalidated 2 tags, everywhere", "regenerated /a", "not found /poison"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("code %d, %q, without %q: %s", code, stdout, want, stderr)
		}
	}
	if code, stdout, _ := run(t, "revalidate", "/b"); code != 0 || !strings.Contains(stdout, "queued ") || !strings.HasSuffix(stdout, " /b\n") {
		t.Errorf("code %d, %q", code, stdout)
	}
	for says, args := range map[string][]string{
		"must begin with one slash": {"revalidate", "a"}, "give paths": {"revalidate"}, "interactive, normal or bulk": {"revalidate", "/a", "--priority", "high"},
		"unknown flag": {"revalidate", "/a", "--x"}, "absolute": {"revalidate", "/a", "--address", "unix:x"},
	} {
		if code, _, stderr := run(t, args...); code == 0 || !strings.Contains(stderr, says) {
			t.Errorf("%q: code %d, %q", args, code, stderr)
		}
	}
	t.Setenv("ISRD_APP", "")
	if code, _, stderr := run(t, "revalidate", "/a"); code != 2 || !strings.Contains(stderr, "--app") {
		t.Errorf("without an app: code %d, %q", code, stderr)
	}
}

// As many as one call may name; each is named in the answer.
func TestRevalidateCommandTakesManyPaths(t *testing.T) {
	address, _ := serve(t)
	args := []string{"revalidate", "--app", "shop", "--address", address, "--priority", "bulk"}
	for i := range 20_000 {
		args = append(args, fmt.Sprintf("/%0200d", i))
	}
	code, stdout, stderr := run(t, args...)
	if n := strings.Count(stdout, "queued "); code != 0 || n != 20_000 {
		t.Errorf("code %d, %d queued: %s", code, n, stderr)
	}
}

// restarting is a daemon that is away for a moment when somebody watches.
type restarting struct {
	isrdv1.UnimplementedRevalidationServiceServer
	watches [][]string
}

func (*restarting) Enqueue(context.Context, *isrdv1.EnqueueRequest) (*isrdv1.EnqueueResponse, error) {
	return &isrdv1.EnqueueResponse{Jobs: []*isrdv1.EnqueuedJob{{JobId: "1", Path: "/1"}, {JobId: "2", Path: "/2"}}}, nil
}

func (r *restarting) Watch(w *isrdv1.WatchRequest, stream grpc.ServerStreamingServer[isrdv1.WatchResponse]) error {
	r.watches = append(r.watches, w.GetJobIds())
	for _, id := range w.GetJobIds() {
		j := &isrdv1.JobRecord{JobId: id, Path: "/" + id, State: isrdv1.JobState_JOB_STATE_DONE, Outcome: isrdv1.JobOutcome_JOB_OUTCOME_WRITTEN}
		if err := stream.Send(&isrdv1.WatchResponse{Job: j}); err != nil {
			return err
		}
		if len(r.watches) == 1 {
			return status.Error(codes.Unavailable, "the daemon stops; watch again")
		}
	}
	return nil
}

func TestRevalidateCommandWatchesAgainAfterARestart(t *testing.T) {
	dir, err := os.MkdirTemp("", "isrd") // as in serve
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "isrd.sock")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	service, server := new(restarting), grpc.NewServer()
	isrdv1.RegisterRevalidationServiceServer(server, service)
	go func() { _ = server.Serve(l) }() // until it is stopped
	defer server.Stop()
	code, stdout, stderr := run(t, "revalidate", "/1", "/2", "--app", "shop", "--address", "unix://"+socket, "--wait")
	if code != 0 || strings.Count(stdout, "regenerated /1") != 1 || strings.Count(stdout, "regenerated /2") != 1 {
		t.Errorf("code %d, %s: %s", code, stdout, stderr)
	}
	if fmt.Sprint(service.watches) != "[[1 2] [2]]" {
		t.Errorf("watched %v", service.watches)
	}
}
