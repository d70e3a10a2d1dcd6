// Package warm fills the cache of a new build: it requests pages of one process, at a bounded rate, before it gets traffic.
// What that process renders, all replicas of its build have.
//
// It goes where it was told to only: paths of the target, no redirects, and no more of a body than a bound.
package warm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Config of a Run. Target must be given; the zero value of every other field works.
type Config struct {
	// Target is the process: its scheme, host and base path.
	Target *url.URL
	// Rate is how many requests begin in a second. Default 10.
	Rate float64
	// Concurrency is how many there are at a time. Default 4.
	Concurrency int
	// Timeout bounds one request. Default 30 s.
	Timeout time.Duration
	// Agent is what it calls itself.
	Agent string
	// Done is told of every answer, from one goroutine at a time.
	Done func(Result)
}

// Result is what became of one path.
type Result struct {
	// Path that was requested.
	Path string
	// Status of the answer; 0: there was none.
	Status int
	// Cache is what x-nextjs-cache said: HIT, MISS, STALE or another word; empty: nothing.
	Cache string
	// Err is why there was no answer.
	Err error
}

// Counts of the answers. Each is counted once.
type Counts struct {
	// Hit, Miss and Stale are pages, by x-nextjs-cache; Other are pages that do not say.
	Hit, Miss, Stale, Other int
	// Redirected and Refused are answers 3xx and 4xx.
	Redirected, Refused int
	// Failed are answers 5xx, and none.
	Failed int
}

// Total is how many paths were requested.
func (c Counts) Total() int {
	return c.Hit + c.Miss + c.Stale + c.Other + c.Redirected + c.Refused + c.Failed
}

// String gives the counts for people.
func (c Counts) String() string {
	return fmt.Sprintf("%d requested: HIT %d, MISS %d, STALE %d, other %d, redirected %d, refused %d, failed %d",
		c.Total(), c.Hit, c.Miss, c.Stale, c.Other, c.Redirected, c.Refused, c.Failed)
}

func (c *Counts) add(r Result) {
	switch {
	case r.Err != nil || r.Status >= http.StatusInternalServerError || r.Status < http.StatusOK:
		c.Failed++
	case r.Status >= http.StatusBadRequest:
		c.Refused++
	case r.Status >= http.StatusMultipleChoices:
		c.Redirected++
	case r.Cache == "HIT":
		c.Hit++
	case r.Cache == "MISS":
		c.Miss++
	case r.Cache == "STALE":
		c.Stale++
	default:
		c.Other++
	}
}

// maxBody is how much of a page is read. A page is rendered whether or not somebody reads it to its end.
const maxBody = 32 << 20

// Run requests the paths, and counts the answers. The error is that of ctx.
func Run(ctx context.Context, cfg Config, paths []string) (Counts, error) {
	if cfg.Rate <= 0 {
		cfg.Rate = 10
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 4
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	client := plainClient(cfg.Concurrency)
	defer client.CloseIdleConnections()
	pace := rate.NewLimiter(rate.Limit(cfg.Rate), 1)
	todo := make(chan string)
	results := make(chan Result)
	var wg sync.WaitGroup
	for range cfg.Concurrency {
		wg.Go(func() {
			for path := range todo {
				results <- cfg.request(ctx, client, path)
			}
		})
	}
	go func() { // ends when ctx does, or with the paths
		defer close(results)
		defer wg.Wait()
		defer close(todo)
		for _, path := range paths {
			if pace.Wait(ctx) != nil {
				return
			}
			todo <- path
		}
	}()
	var counts Counts
	for r := range results {
		counts.add(r)
		if cfg.Done != nil {
			cfg.Done(r)
		}
	}
	if err := ctx.Err(); err != nil {
		return counts, fmt.Errorf("warm up: %w", context.Cause(ctx))
	}
	return counts, nil
}

// plainClient follows no redirects.
func plainClient(connections int) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: connections},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (cfg Config) request(ctx context.Context, client *http.Client, path string) Result {
	r := Result{Path: path}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.Target.Scheme+"://"+cfg.Target.Host+path, http.NoBody)
	if err != nil {
		r.Err = fmt.Errorf("request %q: %w", path, err)
		return r
	}
	request.Header.Set("User-Agent", cfg.Agent)
	request.Header.Set("Accept", "text/html,*/*")
	response, err := client.Do(request)
	if err != nil {
		r.Err = fmt.Errorf("request %q: %w", path, err)
		return r
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	r.Status, r.Cache = response.StatusCode, strings.ToUpper(response.Header.Get("X-Nextjs-Cache"))
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); err != nil {
		r.Err = fmt.Errorf("read %q: %w", path, err)
	}
	return r
}
