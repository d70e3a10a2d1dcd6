package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"
)

// Validate returns everything that is wrong at once, joined, each with what to write instead.
func (c Config) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(len(c.Listen) > 0, "--listen: give at least one address")
	for _, l := range c.Listen {
		if _, err := ParseAddress(l); err != nil {
			problems = append(problems, fmt.Errorf("--listen: %w", err))
		}
	}
	if _, err := c.Mode(); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, c.validateRedis())
	for _, l := range []struct{ flag, value string }{
		{"metrics-listen", c.MetricsListen}, {"debug-listen", c.DebugListen}, {"webhook-listen", c.WebhookListen},
	} {
		_, port, err := net.SplitHostPort(l.value)
		check(l.value == "" || err == nil && port != "", "--%s %q: write host:port, such as 127.0.0.1:9600", l.flag, l.value)
	}
	for _, d := range []struct {
		flag       string
		value, min time.Duration
	}{
		{"redis-timeout", c.RedisTimeout, time.Millisecond}, {"lease-ttl", c.LeaseTTL, time.Second},
		{"lease-max", c.LeaseMax, c.LeaseTTL}, {"max-outage-age", c.MaxOutageAge, time.Second}, {"wait-limit", c.WaitLimit, time.Millisecond},
		{"worker-timeout", c.WorkerTimeout, time.Second}, {"fetch-wait-limit", c.FetchWaitLimit, time.Millisecond}, {"shutdown-timeout", c.ShutdownTimeout, time.Millisecond},
	} {
		check(d.value >= d.min, "--%s %v: the least is %v", d.flag, d.value, d.min)
	}
	check(c.L1Bytes >= 1<<20, "--l1-bytes %v: the least is 1MiB", c.L1Bytes)
	check(c.MaxEntryBytes >= 1<<10 && c.MaxEntryBytes <= 60<<20, "--max-entry-bytes %v: write 1KiB to 60MiB, which is what fits in a message", c.MaxEntryBytes)
	check(c.MaxEntryBytes <= c.L1Bytes/4, "--max-entry-bytes %v: more than a quarter of --l1-bytes (%v); a few such entries would push everything else out", c.MaxEntryBytes, c.L1Bytes)
	problems = append(problems, c.validateWorker(), c.validateWebhook())
	check(slices.Contains([]string{"zstd", "gzip", "none"}, c.Codec), "--codec %q: write zstd, gzip or none", c.Codec)
	check(c.GzipLevel >= 1 && c.GzipLevel <= 9, "--gzip-level %d: write 1 (fast) to 9 (small)", c.GzipLevel)
	var level slog.Level
	check(level.UnmarshalText([]byte(c.LogLevel)) == nil, "--log-level %q: write debug, info, warn or error", c.LogLevel)
	check(c.LogFormat == "text" || c.LogFormat == "json", "--log-format %q: write text or json", c.LogFormat)
	check(c.RedisPool >= 0, "--redis-pool %d: write a number of connections, or 0", c.RedisPool)
	return errors.Join(problems...)
}

var redisSchemes = []string{
	"redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://", "redis+cluster://", "rediss+cluster://",
}

// validateRedis looks at the scheme; the store reads the rest.
func (c Config) validateRedis() error {
	if c.Redis == "" {
		return nil
	}
	if !slices.ContainsFunc(redisSchemes, func(s string) bool { return strings.HasPrefix(c.Redis, s) }) {
		return fmt.Errorf("--redis: the URL must begin with one of %s", strings.Join(redisSchemes, ", "))
	}
	if c.RedisPrefix == "" {
		return errors.New("--redis-prefix: it may not be empty")
	}
	return nil
}

var workerModes = []string{"any", "leader", "ordinal", "dedicated", "off"}

func (c Config) validateWorker() error {
	var problems []error
	if !slices.Contains(workerModes, c.Worker) {
		problems = append(problems, fmt.Errorf("--worker %q: write one of %s", c.Worker, strings.Join(workerModes, ", ")))
	}
	if c.WorkerConcurrency < 1 || c.WorkerConcurrency > 1024 {
		problems = append(problems, fmt.Errorf("--worker-concurrency %d: write 1 to 1024", c.WorkerConcurrency))
	}
	if c.WorkerRate < 0 || c.WorkerRate > 0 && c.WorkerRate < 0.001 {
		problems = append(problems, fmt.Errorf("--worker-rate %v: write jobs per second, or 0 for no bound", c.WorkerRate))
	}
	if c.QueueMax < 100 || c.QueueMax > 1_000_000 {
		problems = append(problems, fmt.Errorf("--queue-max %d: write 100 to 1000000", c.QueueMax))
	}
	if c.RefreshHot < 0 || c.RefreshHot > 1000 {
		problems = append(problems, fmt.Errorf("--refresh-hot %d: write 0 to 1000", c.RefreshHot))
	}
	return errors.Join(problems...)
}

// leastSecret keeps secrets from being guessed.
const leastSecret = 16

func (c Config) validateWebhook() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	open := len(c.WebhookSecrets) == 0 && len(c.WebhookTokens) == 0
	check(!open || c.WebhookListen == "" || onLoopback(c.WebhookListen),
		"--webhook-listen %s: give --webhook-secret or --webhook-token; without, it may listen on loopback only, such as 127.0.0.1:7601", c.WebhookListen)
	for _, s := range slices.Concat(c.WebhookSecrets, c.WebhookTokens) {
		check(len(s) >= leastSecret, "--webhook-secret, --webhook-token: one has %d bytes; the least is %d", len(s), leastSecret)
	}
	check(c.WebhookWindow >= time.Second && c.WebhookWindow <= time.Hour, "--webhook-window %v: write 1s to 1h", c.WebhookWindow)
	check(c.WebhookMaxBytes >= 1<<10 && c.WebhookMaxBytes <= 32<<20, "--webhook-max-bytes %v: write 1KiB to 32MiB", c.WebhookMaxBytes)
	check(c.WebhookRate >= 0.1 && c.WebhookRate <= 1e6, "--webhook-rate %v: write 0.1 to 1000000 webhooks per second", c.WebhookRate)
	return errors.Join(problems...)
}

// onLoopback reports whether only this machine reaches an address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // it is refused for that
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
