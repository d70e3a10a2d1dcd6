package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/isrd/isrd/daemon/internal/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "s3cret-of-the-daemon"
	token  = "t0ken-of-the-daemon"
)

// office does what webhooks ask for, on a queue in memory.
type office struct {
	*queue.Memory
	mu          sync.Mutex
	fails       error
	paths, tags []string
	looks       int // at jobs
}

// Get is the queue's, counted.
func (o *office) Get(ctx context.Context, app string, ids []string) ([]queue.Job, error) {
	o.mu.Lock()
	o.looks++
	o.mu.Unlock()
	return o.Memory.Get(ctx, app, ids)
}

func (o *office) Revalidate(ctx context.Context, app string, paths, tags []string) (ids []string, fleetWide bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fails != nil {
		return nil, false, o.fails
	}
	o.paths, o.tags = append(o.paths, paths...), append(o.tags, tags...)
	requests := make([]queue.Request, len(paths))
	for i, p := range paths {
		requests[i] = queue.Request{Path: p, Priority: queue.Interactive}
	}
	tickets, err := o.Enqueue(ctx, app, requests)
	for _, t := range tickets {
		ids = append(ids, t.ID)
	}
	return ids, true, err
}

func (o *office) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fails = err
}

// asked gives what was asked for, and forgets it.
func (o *office) asked() (paths, tags []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	paths, tags = o.paths, o.tags
	o.paths, o.tags = nil, nil
	return paths, tags
}

// endpoint is a Hook that is served.
type endpoint struct {
	*Hook
	*office
	t        *testing.T
	url      string
	client   *http.Client
	registry *prometheus.Registry
}

func start(t *testing.T, cfg Config) *endpoint {
	t.Helper()
	e := &endpoint{t: t, office: &office{Memory: queue.NewMemory(queue.Config{})}, registry: prometheus.NewRegistry()}
	cfg.Revalidator, cfg.Jobs, cfg.Registerer = e.office, e.office, e.registry
	e.Hook = New(cfg)
	s := httptest.NewServer(e.Handler(nil))
	t.Cleanup(s.Close)
	e.url, e.client = s.URL, s.Client()
	return e
}

// request makes one with a JSON body; a header is a name and a value.
func (e *endpoint) request(path, body string, header ...string) *http.Request {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// answer is what a sender gets.
type answer struct {
	status int
	header http.Header
	reply
}

func (e *endpoint) do(r *http.Request) answer {
	e.t.Helper()
	a, err := e.try(r)
	if err != nil {
		e.t.Fatal(err)
	}
	return a
}

func (e *endpoint) try(r *http.Request) (a answer, err error) {
	response, err := e.client.Do(r)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a.status, a.header = response.StatusCode, response.Header
	return a, json.Unmarshal(body, &a.reply)
}

func (e *endpoint) post(path, body string, header ...string) answer {
	e.t.Helper()
	return e.do(e.request(path, body, header...))
}

func (e *endpoint) withToken(path, body string) answer {
	e.t.Helper()
	return e.post(path, body, "Authorization", "Bearer "+token)
}

func sign(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signed gives the header of the daemon's own scheme.
func signed(key string, at time.Time, delivery, body string) []string {
	sent := strconv.FormatInt(at.Unix(), 10)
	header, before := []string{TimestampHeader, sent}, sent+"."
	if delivery != "" {
		header, before = append(header, DeliveryHeader, delivery), before+delivery+"."
	}
	return append(header, SignatureHeader, "sha256="+hex.EncodeToString(sign(key, before+body)))
}
