// Package config is what an operator can set: the options of `isrd serve`, their defaults, flags and environment
// variables, and what is wrong with them.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Config is everything `isrd serve` can be told. Default gives the values of flags that are not set.
type Config struct {
	// Listen are the addresses of the gRPC server.
	Listen []string
	// SocketMode is the mode of Unix sockets, in octal.
	SocketMode string
	// Redis is the URL of the shared store; empty: everything is kept in this process's memory.
	Redis string
	// RedisPrefix begins every key and channel.
	RedisPrefix string
	// RedisPool is the largest number of connections; 0: the library's choice.
	RedisPool int
	// RedisTimeout bounds one command.
	RedisTimeout time.Duration
	// StateDir keeps revalidations that Redis has not got; empty: they are kept in memory.
	StateDir string
	// Apps is the allow-list; empty: every app.
	Apps []string
	// Token must be shown by clients; empty: nobody is asked.
	Token string
	// L1Bytes bounds the memory for entries.
	L1Bytes Bytes
	// MaxEntryBytes is the largest body that is taken.
	MaxEntryBytes Bytes
	// LeaseTTL is how long the right to regenerate an entry lives.
	LeaseTTL time.Duration
	// LeaseMax is for how long it is renewed while the replica that has it lives.
	LeaseMax time.Duration
	// MaxOutageAge is for how long what is in memory is served while Redis is away.
	MaxOutageAge time.Duration
	// WaitLimit is the longest that a read of a page waits for another's render.
	WaitLimit time.Duration
	// FetchWaitLimit is the same for data that is read inside renders.
	FetchWaitLimit time.Duration
	// Worker says which processes regenerate pages on demand: any, leader, ordinal, dedicated or off.
	Worker string
	// WorkerConcurrency bounds the jobs of this daemon at a time.
	WorkerConcurrency int
	// WorkerRate bounds the jobs that this daemon begins in a second; 0: no bound.
	WorkerRate float64
	// WorkerTimeout bounds one attempt of a job.
	WorkerTimeout time.Duration
	// Ordinal is this daemon's number among its replicas; negative: it is looked for, if it matters.
	Ordinal int
	// QueueMax bounds the jobs of an app that have not ended.
	QueueMax int
	// RefreshHot is how many of the most-read pages with a revalidated tag are regenerated at once.
	RefreshHot int
	// WebhookListen takes webhooks over HTTP; empty: nothing does.
	WebhookListen string
	// WebhookSecrets are those that webhooks may be signed with.
	WebhookSecrets []string
	// WebhookTokens are those that webhooks may show instead.
	WebhookTokens []string
	// WebhookWindow is how old the signature of a webhook may be.
	WebhookWindow time.Duration
	// WebhookMaxBytes bounds the body of a webhook.
	WebhookMaxBytes Bytes
	// WebhookRate bounds the webhooks that are taken in a second.
	WebhookRate float64
	// WebhookMaps say how the payloads of others are read: files in YAML or JSON, or JSON itself.
	WebhookMaps []string
	// Codec compresses what is stored in Redis: zstd, gzip or none.
	Codec string
	// GzipLevel is 1 (fast) to 9 (small).
	GzipLevel int
	// MetricsListen serves /metrics, /healthz and /readyz; empty: nothing does.
	MetricsListen string
	// DebugListen serves pprof; empty: nothing does.
	DebugListen string
	// LogLevel is debug, info, warn or error.
	LogLevel string
	// LogFormat is text or json.
	LogFormat string
	// ShutdownTimeout bounds the graceful stop.
	ShutdownTimeout time.Duration
	// Instance names this daemon, for people.
	Instance string
}

// Default gives the configuration of a daemon that was told nothing.
func Default() Config {
	host, err := os.Hostname()
	if err != nil {
		host = "isrd"
	}
	return Config{
		Listen:            []string{"unix://" + defaultSocket()},
		SocketMode:        "0660",
		RedisPrefix:       "isrd",
		RedisTimeout:      150 * time.Millisecond,
		L1Bytes:           256 << 20,
		MaxEntryBytes:     32 << 20,
		LeaseTTL:          30 * time.Second,
		LeaseMax:          2 * time.Minute,
		MaxOutageAge:      time.Hour,
		WaitLimit:         10 * time.Second,
		FetchWaitLimit:    time.Second,
		Worker:            "any",
		WorkerConcurrency: 16,
		WorkerTimeout:     time.Minute,
		Ordinal:           -1,
		QueueMax:          100_000,
		WebhookWindow:     5 * time.Minute,
		WebhookMaxBytes:   1 << 20,
		WebhookRate:       100,
		Codec:             "zstd",
		GzipLevel:         1,
		LogLevel:          "info",
		LogFormat:         "text",
		ShutdownTimeout:   10 * time.Second,
		Instance:          host,
	}
}

// systemDir is where the socket belongs; packages and manifests make it, and so does a daemon that may.
const systemDir = "/run/isrd"

// defaultSocket is in /run/isrd, or in $XDG_RUNTIME_DIR where that cannot be used. The client looks in the same places.
func defaultSocket() string {
	dir := systemDir
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); runtime != "" && !usable(systemDir) {
		dir = runtime
	}
	return filepath.Join(dir, "isrd.sock")
}

// usable reports whether this process may write to dir, or may make it.
func usable(dir string) bool {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Dir(dir)
	}
	return unix.Access(dir, unix.W_OK|unix.X_OK) == nil
}

// Mode is SocketMode as a number.
func (c Config) Mode() (fs.FileMode, error) {
	mode, err := strconv.ParseUint(c.SocketMode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf("--socket-mode %q: write an octal mode, such as 0660", c.SocketMode)
	}
	return fs.FileMode(mode), nil
}

// LogValue shows the configuration in a log, without its secrets.
func (c Config) LogValue() slog.Value {
	redis := "none: entries are kept in this process's memory"
	if c.Redis != "" {
		redis = hidePassword(c.Redis)
	}
	return slog.GroupValue(
		slog.Any("listen", c.Listen), slog.String("redis", redis), slog.String("redis_prefix", c.RedisPrefix),
		slog.String("state_dir", c.StateDir), slog.Any("apps", c.Apps), slog.Bool("token", c.Token != ""), slog.String("l1_bytes", c.L1Bytes.String()),
		slog.String("max_entry_bytes", c.MaxEntryBytes.String()), slog.Duration("lease_ttl", c.LeaseTTL),
		slog.Duration("lease_max", c.LeaseMax), slog.Duration("max_outage_age", c.MaxOutageAge),
		slog.Duration("wait_limit", c.WaitLimit), slog.Duration("fetch_wait_limit", c.FetchWaitLimit),
		slog.String("worker", c.Worker), slog.Int("worker_concurrency", c.WorkerConcurrency), slog.Float64("worker_rate", c.WorkerRate),
		slog.Duration("worker_timeout", c.WorkerTimeout), slog.Int("ordinal", c.Ordinal), slog.Int("queue_max", c.QueueMax),
		slog.Int("refresh_hot", c.RefreshHot), slog.String("webhook_listen", c.WebhookListen),
		slog.Int("webhook_secrets", len(c.WebhookSecrets)), slog.Int("webhook_tokens", len(c.WebhookTokens)), slog.Duration("webhook_window", c.WebhookWindow),
		slog.String("webhook_max_bytes", c.WebhookMaxBytes.String()), slog.Float64("webhook_rate", c.WebhookRate), slog.Int("webhook_maps", len(c.WebhookMaps)),
		slog.String("codec", c.Codec), slog.Int("gzip_level", c.GzipLevel), slog.String("metrics_listen", c.MetricsListen),
		slog.String("debug_listen", c.DebugListen), slog.String("instance", c.Instance),
	)
}
