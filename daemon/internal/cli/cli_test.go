package cli_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cli"
)

const patience = 10 * time.Second

// buffer is a bytes.Buffer that a daemon may write to while a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run runs one command to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs buffer
	code = cli.Main(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// serve starts a daemon and waits until it is healthy. It is stopped with the test.
func serve(t *testing.T, args ...string) (address string, log *buffer) {
	t.Helper()
	dir, err := os.MkdirTemp("", "isrd") // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	address, log = "unix://"+filepath.Join(dir, "isrd.sock"), new(buffer)
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- cli.Main(ctx, append([]string{"serve", "--listen", address}, args...), io.Discard, log)
	}()
	t.Cleanup(func() {
		stop()
		select {
		case c := <-code:
			if c != 0 {
				t.Errorf("serve ended with %d:\n%s", c, log)
			}
		case <-time.After(patience):
			t.Error("serve did not stop")
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if c, _, stderr := run(t, "health", "--listen", address, "--timeout", patience.String()); c != 0 {
		t.Fatalf("health: %d, %s\n%s", c, stderr, log)
	}
	return address, log
}

// listens gives the address on which a daemon that answers serves HTTP, from its log: a port that is chosen before may be
// another's when the daemon wants it.
func listens(t *testing.T, log *buffer, what string) string {
	t.Helper()
	found := regexp.MustCompile(`msg="serving HTTP" for=` + what + ` address=(\S+)`).FindStringSubmatch(log.String())
	if found == nil {
		t.Fatalf("the log does not say the address of %s:\n%s", what, log)
	}
	return found[1]
}

func TestServeAnswersProbesAndStopsInOrder(t *testing.T) {
	t.Setenv("ISRD_METRICS_LISTEN", "127.0.0.1:0")
	_, log := serve(t)
	metrics := listens(t, log, "metrics-listen")
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": "isrd_build_info"} {
		reply, err := http.Get("http://" + metrics + path) //nolint:noctx // the test's own server
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		if err := reply.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || reply.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d, %v, without %q", path, reply.StatusCode, err, want)
		}
	}
}

func TestTheEffectiveConfigurationIsLoggedWithoutSecrets(t *testing.T) {
	_, log := serve(t, "--token", "hunter2", "--lease-ttl", "42s")
	if s := log.String(); strings.Contains(s, "hunter2") || !strings.Contains(s, "lease_ttl=42s") {
		t.Errorf("the log says:\n%s", s)
	}
}

func TestSecondDaemonOnTheSameSocketIsRefused(t *testing.T) {
	address, _ := serve(t)
	if code, _, stderr := run(t, "serve", "--listen", address); code != 1 || !strings.Contains(stderr, "another daemon answers") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestMistakesAreNamedAllAtOnce(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"nothing", nil, 2, nil},
		{"unknown command", []string{"server"}, 2, []string{`no command "server"`, "serve"}},
		{"unknown flag", []string{"serve", "--lisen", "x"}, 2, []string{"--lisen", "--help"}},
		{"argument that is no flag", []string{"serve", "redis://x"}, 2, []string{`unexpected "redis://x"`}},
		{"two bad values", []string{"serve", "--codec", "lz4", "--gzip-level", "0"}, 2, []string{"zstd, gzip or none", "1 (fast) to 9"}},
		{"a redis URL that cannot be read", []string{"serve", "--listen", "127.0.0.1:0", "--redis", "redis://:hunter2@host:port:1"}, 1, []string{"--redis"}},
		{"no daemon", []string{"health", "--listen", "unix:///nonexistent/isrd.sock", "--timeout", "50ms"}, 1, []string{"no daemon answers at unix:///nonexistent/isrd.sock"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, _, stderr := run(t, test.args...)
			if code != test.code {
				t.Errorf("code %d, want %d: %s", code, test.code, stderr)
			}
			for _, want := range test.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q is not said in:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, "hunter2") {
				t.Errorf("a password is shown: %s", stderr)
			}
		})
	}
}

func TestHelpNamesEveryEnvironmentVariable(t *testing.T) {
	code, stdout, _ := run(t, "serve", "--help")
	for _, want := range []string{"--listen", "ISRD_LISTEN", "ISRD_REDIS_URL", "--gzip-level", "CACHE_GZIP_LEVEL", "ISRD_TOKEN"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("code %d; help does not name %s", code, want)
		}
	}
	if code, stdout, _ := run(t, "version"); code != 0 || !strings.HasPrefix(stdout, "isrd ") {
		t.Errorf("version: %d, %q", code, stdout)
	}
}
