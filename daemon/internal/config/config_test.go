package config_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/isrd/isrd/daemon/internal/config"
)

// parse gives what a command line and an environment make of the defaults.
func parse(t *testing.T, env map[string]string, args ...string) (config.Config, error) {
	t.Helper()
	c := config.Default()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.SetOutput(new(bytes.Buffer))
	c.Register(flags)
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	err := config.Environ(flags, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	return c, err
}

func TestFlagDefaultsAreTheDefaults(t *testing.T) {
	got, err := parse(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), got); diff != "" {
		t.Errorf("flags change the defaults (-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

func TestEveryFlagHasAnEnvironmentVariable(t *testing.T) {
	env := map[string]string{
		"ISRD_LISTEN": "unix:///tmp/a.sock,127.0.0.1:7600", "ISRD_REDIS_URL": "redis://localhost", "ISRD_L1_BYTES": "1GiB",
		"ISRD_LEASE_TTL": "45s", "ISRD_APP": "shop,blog", "ISRD_TOKEN": "s3cret",
	}
	got, err := parse(t, env, "--lease-ttl", "20s")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Listen = []string{"unix:///tmp/a.sock", "127.0.0.1:7600"}
	want.Redis, want.L1Bytes, want.Apps, want.Token = "redis://localhost", 1<<30, []string{"shop", "blog"}, "s3cret"
	want.LeaseTTL = 20 * time.Second // a flag outweighs the environment
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGzipLevelOfOtherHandlers(t *testing.T) {
	tests := []struct {
		name      string
		args      []string
		wantCodec string
		wantLevel int
	}{
		{name: "chooses gzip at that level", wantCodec: "gzip", wantLevel: 6},
		{name: "an explicit codec outweighs it", args: []string{"--codec", "zstd"}, wantCodec: "zstd", wantLevel: 1},
		{name: "an explicit level outweighs it", args: []string{"--gzip-level", "3"}, wantCodec: "gzip", wantLevel: 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(t, map[string]string{"CACHE_GZIP_LEVEL": "6"}, test.args...)
			if err != nil || got.Codec != test.wantCodec || got.GzipLevel != test.wantLevel {
				t.Errorf("got %s at %d, %v; want %s at %d", got.Codec, got.GzipLevel, err, test.wantCodec, test.wantLevel)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	c, err := parse(t, map[string]string{"ISRD_WAIT_LIMIT": "soon", "CACHE_GZIP_LEVEL": "best"},
		"--listen", "unix:relative.sock", "--codec", "brotli", "--gzip-level", "12", "--redis", "localhost:6379",
		"--log-level", "loud", "--metrics-listen", "9600", "--lease-ttl", "3ms", "--socket-mode", "rw", "--l1-bytes", "1KiB")
	text := ""
	for _, e := range []error{err, c.Validate()} {
		if e != nil {
			text += e.Error() + "\n"
		}
	}
	for _, want := range []string{
		"ISRD_WAIT_LIMIT", "unix:///run/isrd/isrd.sock", "zstd, gzip or none", "1 (fast) to 9", "redis+cluster://",
		"debug, info, warn or error", "host:port", "--lease-ttl 3ms", "octal", "--l1-bytes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing is said of %q in:\n%s", want, text)
		}
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	c := config.Default()
	c.Redis, c.Token = "redis+sentinel://user:hunter2@cache.internal:6379/0?sentinel_password=hunter4", "hunter3"
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("start", slog.Any("config", c))
	if s := out.String(); strings.Contains(s, "hunter") || !strings.Contains(s, "cache.internal") {
		t.Errorf("the log shows a secret, or hides the host: %s", s)
	}
}

func TestSocketMode(t *testing.T) {
	c := config.Default()
	for text, want := range map[string]fs.FileMode{"0660": 0o660, "600": 0o600, "0660abc": 0, "0660 0777": 0, "rw": 0, "1777": 0} {
		c.SocketMode = text
		if got, err := c.Mode(); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseAddress(t *testing.T) {
	tests := []struct{ in, want, problem string }{
		{in: "unix:///run/isrd/isrd.sock", want: "unix:///run/isrd/isrd.sock"},
		{in: "unix:/tmp/x.sock", want: "unix:///tmp/x.sock"},
		{in: "tcp://127.0.0.1:7600", want: "tcp://127.0.0.1:7600"},
		{in: "[::1]:7600", want: "tcp://[::1]:7600"},
		{in: "unix:x.sock", problem: "absolute"},
		{in: "http://host:80/x", problem: "host:port"},
		{in: "7600", problem: "host:port"},
		{in: "", problem: "host:port"},
	}
	for _, test := range tests {
		got, err := config.ParseAddress(test.in)
		switch {
		case test.problem != "":
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%q: error %v, want one that says %q", test.in, err, test.problem)
			}
		case err != nil || got.String() != test.want:
			t.Errorf("%q: got %v, %v; want %s", test.in, got, err, test.want)
		}
	}
}

func TestWebhooksNeedASecretOrLoopback(t *testing.T) {
	const secret = "0123456789abcdef"
	for _, test := range []struct {
		args    []string
		problem string
	}{
		{args: []string{"--webhook-listen", "127.0.0.1:7601"}},
		{args: []string{"--webhook-listen", "localhost:7601"}},
		{args: []string{"--webhook-listen", "[::1]:7601"}},
		{args: []string{"--webhook-listen", ":7601"}, problem: "loopback only"},
		{args: []string{"--webhook-listen", "0.0.0.0:7601"}, problem: "loopback only"},
		{args: []string{"--webhook-listen", "daemon.internal:7601"}, problem: "loopback only"},
		{args: []string{"--webhook-listen", ":7601", "--webhook-secret", secret}},
		{args: []string{"--webhook-listen", ":7601", "--webhook-token", secret}},
		{args: []string{"--webhook-listen", ":7601", "--webhook-secret", secret, "--webhook-secret", "short"}, problem: "the least is 16"},
		{args: []string{"--webhook-listen", "7601"}, problem: "host:port"},
		{args: []string{"--webhook-window", "2h", "--webhook-max-bytes", "1GiB", "--webhook-rate", "0"}, problem: "--webhook-window"},
	} {
		c, err := parse(t, nil, test.args...)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%q: %v; want %q", test.args, err, test.problem)
		}
	}
	c, err := parse(t, map[string]string{"ISRD_WEBHOOK_SECRET": secret + ",another-of-16-bytes"})
	if err != nil || len(c.WebhookSecrets) != 2 {
		t.Errorf("two secrets by the environment: %q, %v", c.WebhookSecrets, err)
	}
	c.WebhookTokens = []string{secret}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("start", slog.Any("config", c))
	if s := out.String(); strings.Contains(s, secret) || strings.Contains(s, "another") {
		t.Errorf("the log shows a secret: %s", s)
	}
}
