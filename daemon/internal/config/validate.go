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
	for _, l := range []struct{ flag, value string }{{"metrics-listen", c.MetricsListen}, {"debug-listen", c.DebugListen}} {
		_, port, err := net.SplitHostPort(l.value)
		check(l.value == "" || err == nil && port != "", "--%s %q: write host:port, such as 127.0.0.1:9600", l.flag, l.value)
	}
	for _, d := range []struct {
		flag       string
		value, min time.Duration
	}{
		{"redis-timeout", c.RedisTimeout, time.Millisecond}, {"lease-ttl", c.LeaseTTL, time.Second},
		{"lease-max", c.LeaseMax, c.LeaseTTL}, {"max-outage-age", c.MaxOutageAge, time.Second}, {"wait-limit", c.WaitLimit, time.Millisecond},
		{"fetch-wait-limit", c.FetchWaitLimit, time.Millisecond}, {"shutdown-timeout", c.ShutdownTimeout, time.Millisecond},
	} {
		check(d.value >= d.min, "--%s %v: the least is %v", d.flag, d.value, d.min)
	}
	check(c.L1Bytes >= 1<<20, "--l1-bytes %v: the least is 1MiB", c.L1Bytes)
	check(c.MaxEntryBytes >= 1<<10 && c.MaxEntryBytes <= 60<<20, "--max-entry-bytes %v: write 1KiB to 60MiB, which is what fits in a message", c.MaxEntryBytes)
	check(c.MaxEntryBytes <= c.L1Bytes/4, "--max-entry-bytes %v: more than a quarter of --l1-bytes (%v); a few such entries would push everything else out", c.MaxEntryBytes, c.L1Bytes)
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
