package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"google.golang.org/grpc/metadata"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/config"
	"github.com/isrd/isrd/daemon/internal/warm"
)

// warming is what the command was told.
type warming struct {
	target, origin string
	sitemaps       []string
	build          string
	deployment     string
	top            uint32
	app            string
	address        string
	rate           float64
	concurrency    int
	timeout        time.Duration
	dry            bool
}

func (c *warming) register(fs *pflag.FlagSet) {
	fs.StringVar(&c.target, "target", "", "the process to request pages of: http://host:port, with the base path of the app if it has one")
	fs.StringArrayVar(&c.sitemaps, "sitemap", nil, "address or file of a sitemap or an index of them; may be repeated")
	fs.StringVar(&c.origin, "origin", "", "what sitemaps call the target, such as https://shop.example; none: as --target")
	fs.StringVar(&c.build, "from-build", "", "folder of a build (.next): the pages that it has prerendered; or the id of a build: the pages that the cache has of it")
	fs.StringVar(&c.deployment, "from-deployment", "", "the deploymentId of the build that --from-build names, if it has one")
	fs.Uint32Var(&c.top, "top", 0, "so many of the pages that the daemon's processes have read most; it must run with --refresh-hot")
	fs.StringVar(&c.app, "app", os.Getenv("ISRD_APP"), "the app, for the id of a build and --top [ISRD_APP]")
	fs.StringVar(&c.address, "address", cmp.Or(os.Getenv("ISRD_ADDRESS"), config.Default().Listen[0]), "where the daemon listens, for the same [ISRD_ADDRESS]")
	fs.Float64Var(&c.rate, "rate", 10, "requests in a second")
	fs.IntVar(&c.concurrency, "concurrency", 4, "requests at a time")
	fs.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long one request may take")
	fs.BoolVar(&c.dry, "dry-run", false, "print the paths, and request nothing")
}

// warmUp collects paths and requests them of one process. A signal ends it, with the counts so far.
func warmUp(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c warming
	fs := newFlagSet("warm --target URL", "Fill the cache of a new build: request pages of one process, before it gets traffic. Exit code 0 if none failed.", stdout)
	c.register(fs)
	if err := parse(fs, args); err != nil {
		return help(err)
	}
	list, target, err := c.list()
	if err != nil {
		return errors.Join(errUsage, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if err := c.collect(ctx, list); err != nil {
		return err
	}
	if n := list.Elsewhere; n > 0 {
		fmt.Fprintf(stderr, "%d addresses of other origins are left out; --origin says what sitemaps call the target\n", n)
	}
	if list.Odd > 0 {
		fmt.Fprintf(stderr, "%d names that are no pages are left out\n", list.Odd)
	}
	if len(list.Paths()) == 0 {
		return errors.New("there are no pages to request")
	}
	if c.dry {
		for _, p := range list.Paths() {
			fmt.Fprintln(stdout, p)
		}
		return nil
	}
	bar := newProgress(len(list.Paths()), stderr)
	counts, err := warm.Run(ctx, warm.Config{
		Target: target, Rate: c.rate, Concurrency: c.concurrency, Timeout: c.timeout, Agent: "isrd-warm/" + Version, Done: bar.done,
	}, list.Paths())
	bar.finish()
	fmt.Fprintln(stdout, counts)
	if err == nil && counts.Failed > 0 {
		err = fmt.Errorf("%d of %d requests failed", counts.Failed, counts.Total())
	}
	return err
}

// list checks what the command was told.
func (c *warming) list() (*warm.List, *url.URL, error) {
	switch {
	case c.target == "":
		return nil, nil, errors.New("--target: name the process, such as http://127.0.0.1:3000")
	case len(c.sitemaps) == 0 && c.build == "" && c.top == 0:
		return nil, nil, errors.New("say which pages: --sitemap, --from-build or --top")
	case c.rate <= 0 || c.rate > 10_000 || c.concurrency < 1 || c.concurrency > 1024 || c.timeout <= 0:
		return nil, nil, errors.New("--rate is 0 to 10000 requests a second, --concurrency 1 to 1024, --timeout more than 0")
	}
	target, err := warm.ParseTarget(c.target)
	if err != nil {
		return nil, nil, fmt.Errorf("--target: %w", err)
	}
	var origin *url.URL
	if c.origin != "" {
		if origin, err = warm.ParseTarget(c.origin); err != nil {
			return nil, nil, fmt.Errorf("--origin: %w", err)
		}
	}
	return warm.NewList(target, origin), target, nil
}

// collect fills the list: what is read most first.
func (c *warming) collect(ctx context.Context, list *warm.List) error {
	if c.top > 0 {
		if err := c.ask(ctx, list, &isrdv1.ListKeysRequest{Limit: c.top, Order: isrdv1.ListOrder_LIST_ORDER_MOST_READ}); err != nil {
			return fmt.Errorf("--top: %w", err)
		}
	}
	for _, s := range c.sitemaps {
		if err := list.AddSitemap(ctx, s); err != nil {
			return fmt.Errorf("--sitemap: %w", err)
		}
	}
	if c.build == "" {
		return nil
	}
	if info, err := os.Stat(c.build); err == nil && info.IsDir() {
		if err := list.AddBuild(c.build); err != nil {
			return fmt.Errorf("--from-build: %w", err)
		}
		return nil
	}
	build := &isrdv1.Build{BuildId: c.build, DeploymentId: c.deployment}
	if err := c.ask(ctx, list, &isrdv1.ListKeysRequest{Build: build}); err != nil {
		return fmt.Errorf("--from-build: %q is no folder; ask the daemon for that build: %w", c.build, err)
	}
	return nil
}

// ask adds the pages that a daemon names.
func (c *warming) ask(ctx context.Context, list *warm.List, request *isrdv1.ListKeysRequest) error {
	if c.app == "" {
		return errors.Join(errUsage, errors.New("--app: name the app, as its ISRD_APP or package.json does"))
	}
	address, err := config.ParseAddress(c.address)
	if err != nil {
		return errors.Join(errUsage, err)
	}
	conn, err := dial(address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nobody is interested any more
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if token := os.Getenv("ISRD_TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	request.App, request.Space = c.app, isrdv1.Space_SPACE_ROUTE
	stream, err := isrdv1.NewAdminServiceClient(conn).ListKeys(ctx, request)
	if err != nil {
		return fmt.Errorf("list the keys at %v: %w", address, err)
	}
	for {
		some, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the keys at %v: %w", address, err)
		}
		for _, k := range some.GetKeys() {
			if k.GetStatus() < 400 {
				list.AddRoute(k.GetName())
			}
		}
	}
}

// progress shows how far it is: a bar on a terminal, a line now and then elsewhere, and every failure.
type progress struct {
	out   io.Writer
	total int
	count int
	told  time.Time
	bar   *progressbar.ProgressBar // nil: no terminal
}

const tellEvery = 10 * time.Second

func newProgress(total int, out io.Writer) *progress {
	p := &progress{out: out, total: total, told: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a file descriptor is small
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(out), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("pages"), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return p
}

func (p *progress) done(r warm.Result) {
	p.count++
	if p.bar != nil {
		_ = p.bar.Add(1) // a terminal that has gone is nobody's loss
	}
	if r.Err != nil || r.Status >= 500 {
		p.clear()
		fmt.Fprintf(p.out, "failed: %s: %s\n", r.Path, failure(r))
	}
	if p.bar == nil && time.Since(p.told) >= tellEvery {
		p.told = time.Now()
		fmt.Fprintf(p.out, "%d of %d\n", p.count, p.total)
	}
}

func failure(r warm.Result) string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return fmt.Sprintf("status %d", r.Status)
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear() // as above
	}
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish() // as above
	}
}
