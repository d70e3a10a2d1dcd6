package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/config"
)

// revalidation is what the command was told.
type revalidation struct {
	paths    []string
	tags     []string
	app      string
	address  string
	token    string
	priority string
	cached   bool
	wait     bool
	timeout  time.Duration
}

var priorities = map[string]isrdv1.Priority{
	"interactive": isrdv1.Priority_PRIORITY_INTERACTIVE, "normal": isrdv1.Priority_PRIORITY_NORMAL, "bulk": isrdv1.Priority_PRIORITY_BULK,
}

// revalidate enqueues at a daemon, and waits for the end of the jobs if asked to. It finds the daemon as a client does: by
// ISRD_ADDRESS, or at the default socket.
func revalidate(ctx context.Context, args []string, stdout, _ io.Writer) error {
	r, err := parseRevalidation(args, stdout)
	if err != nil {
		return help(err)
	}
	address, err := config.ParseAddress(r.address)
	if err != nil {
		return errors.Join(errUsage, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if r.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+r.token)
	}
	conn, err := dial(address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nobody is interested any more
	client := isrdv1.NewRevalidationServiceClient(conn)
	request := &isrdv1.EnqueueRequest{App: r.app, Paths: r.paths, OnlyIfCached: r.cached, Priority: priorities[r.priority]}
	for _, t := range r.tags {
		request.Tags = append(request.Tags, &isrdv1.Revalidation{Tag: t})
	}
	out, err := client.Enqueue(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("enqueue at %v: %w", address, err)
	}
	if done := out.GetRevalidated(); done != nil {
		where := "everywhere"
		if !done.GetFleetWide() {
			where = "on this node only, until the store is back"
		}
		fmt.Fprintf(stdout, "revalidated %d tags, %s\n", len(r.tags), where)
	}
	for _, j := range out.GetJobs() {
		fmt.Fprintf(stdout, "queued %s %s\n", j.GetJobId(), j.GetPath())
	}
	if !r.wait {
		return nil
	}
	return await(ctx, client, r.app, out.GetJobs(), stdout)
}

func parseRevalidation(args []string, stdout io.Writer) (revalidation, error) {
	var r revalidation
	fs := newFlagSet("revalidate /path…", "Regenerate paths, and revalidate tags before, in every replica. With --wait: exit code 0 if all of them were.", stdout)
	r.register(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return r, err
		}
		return r, errors.Join(errUsage, fmt.Errorf("%w; see --help", err))
	}
	r.paths = fs.Args()
	switch _, known := priorities[r.priority]; {
	case len(r.paths) == 0 && len(r.tags) == 0:
		return r, errors.Join(errUsage, errors.New("give paths, which begin with a slash, or --tag"))
	case r.app == "":
		return r, errors.Join(errUsage, errors.New("--app: name the app, as its ISRD_APP or package.json does"))
	case !known:
		return r, errors.Join(errUsage, fmt.Errorf("--priority %q: write interactive, normal or bulk", r.priority))
	}
	return r, nil
}

func (r *revalidation) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&r.tags, "tag", nil, "a tag to revalidate; may be repeated")
	fs.StringVar(&r.app, "app", os.Getenv("ISRD_APP"), "the app [ISRD_APP]")
	fs.StringVar(&r.address, "address", cmp.Or(os.Getenv("ISRD_ADDRESS"), config.Default().Listen[0]), "where the daemon listens [ISRD_ADDRESS]")
	fs.StringVar(&r.priority, "priority", "interactive", "interactive, normal or bulk")
	fs.BoolVar(&r.cached, "only-if-cached", false, "leave alone what is not cached")
	fs.BoolVar(&r.wait, "wait", false, "wait until all of it is done")
	fs.DurationVar(&r.timeout, "timeout", 5*time.Minute, "how long all of it may take")
	r.token = os.Getenv("ISRD_TOKEN") // not a flag: others see those of a process
}

// maxWatched is how many jobs one Watch takes.
const maxWatched = 1000

// await prints the end of each job, and fails if one of them did.
func await(ctx context.Context, client isrdv1.RevalidationServiceClient, app string, jobs []*isrdv1.EnqueuedJob, stdout io.Writer) error {
	failed := 0
	for some := range slices.Chunk(jobs, maxWatched) {
		left := make(map[string]bool, len(some))
		for _, j := range some {
			left[j.GetJobId()] = true
		}
		for len(left) > 0 {
			n, err := watch(ctx, client, app, left, stdout)
			failed += n
			if err == nil {
				continue
			}
			if status.Code(err) != codes.Unavailable {
				return fmt.Errorf("watch: %w", err)
			}
			select { // the daemon restarts, and the jobs go on
			case <-time.After(watchAgain):
			case <-ctx.Done():
				return fmt.Errorf("watch: %w", err)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d jobs were not done", failed, len(jobs))
	}
	return nil
}

// watchAgain is how long to wait after a Watch that broke.
const watchAgain = 200 * time.Millisecond

// watch prints what becomes of jobs, takes those that have ended out of left, and says how many of them have failed.
func watch(ctx context.Context, client isrdv1.RevalidationServiceClient, app string, left map[string]bool, stdout io.Writer) (failed int, err error) {
	ids := slices.Sorted(maps.Keys(left))
	stream, err := client.Watch(ctx, &isrdv1.WatchRequest{App: app, JobIds: ids}, grpc.WaitForReady(true))
	if err != nil {
		return 0, err //nolint:wrapcheck // the caller says what it is of
	}
	for {
		w, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			clear(left)
			return failed, nil
		case err != nil:
			return failed, err //nolint:wrapcheck // as above
		}
		if !report(w.GetJob(), stdout) {
			failed++
		}
		switch w.GetJob().GetState() {
		case isrdv1.JobState_JOB_STATE_DONE, isrdv1.JobState_JOB_STATE_DEAD, isrdv1.JobState_JOB_STATE_UNSPECIFIED:
			delete(left, w.GetJob().GetJobId())
		}
	}
}

var ends = map[isrdv1.JobOutcome]string{
	isrdv1.JobOutcome_JOB_OUTCOME_WRITTEN: "regenerated", isrdv1.JobOutcome_JOB_OUTCOME_NOT_FOUND: "not found",
	isrdv1.JobOutcome_JOB_OUTCOME_REDIRECTED: "redirected", isrdv1.JobOutcome_JOB_OUTCOME_NOT_CACHED: "not cached",
	isrdv1.JobOutcome_JOB_OUTCOME_NO_WRITE: "answered without a write", isrdv1.JobOutcome_JOB_OUTCOME_TOO_LARGE: "too large to be kept",
}

// report prints what is new of a job. False: it has failed for good.
func report(j *isrdv1.JobRecord, stdout io.Writer) bool {
	switch j.GetState() {
	case isrdv1.JobState_JOB_STATE_DONE:
		fmt.Fprintf(stdout, "%s %s\n", ends[j.GetOutcome()], j.GetPath())
	case isrdv1.JobState_JOB_STATE_FAILED:
		fmt.Fprintf(stdout, "attempt %d failed, it is tried again: %s: %s\n", j.GetAttempt(), j.GetPath(), j.GetReason())
	case isrdv1.JobState_JOB_STATE_DEAD:
		fmt.Fprintf(stdout, "given up after %d attempts: %s: %s\n", j.GetAttempt(), j.GetPath(), j.GetReason())
		return false
	case isrdv1.JobState_JOB_STATE_UNSPECIFIED:
		fmt.Fprintf(stdout, "job %s is gone: it was dropped, or has ended long ago\n", j.GetJobId())
		return false
	}
	return true
}
