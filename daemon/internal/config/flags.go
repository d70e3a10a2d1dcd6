package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
)

// Bytes is a number of bytes that is written as people write it: 64MiB, 1GB, 4096.
type Bytes int64

// String gives the number with a binary unit.
func (b Bytes) String() string { return humanize.IBytes(uint64(max(b, 0))) }

// Set implements pflag.Value.
func (b *Bytes) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<46 {
		return fmt.Errorf("%q is no size; write 256MiB, 1GB or a number of bytes", s)
	}
	*b = Bytes(n)
	return nil
}

// Type implements pflag.Value.
func (b *Bytes) Type() string { return "bytes" }

// environment gives the variables of flags that are not named after them.
var environment = map[string]string{"redis": "ISRD_REDIS_URL"}

// EnvName is the environment variable that stands in for a flag.
func EnvName(flag string) string {
	if name, ok := environment[flag]; ok {
		return name
	}
	return "ISRD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Register adds the flags to fs. The values that c has are the defaults.
func (c *Config) Register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&c.Listen, "listen", c.Listen, "where to serve gRPC: unix:///path or host:port; may be repeated")
	fs.StringVar(&c.SocketMode, "socket-mode", c.SocketMode, "mode of Unix sockets, in octal; who may write to one may use the cache")
	fs.StringVar(&c.Redis, "redis", c.Redis, "the store that all nodes share: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster:// (TLS: rediss+…); none: this process's memory")
	fs.StringVar(&c.RedisPrefix, "redis-prefix", c.RedisPrefix, "what every key and channel begins with")
	fs.IntVar(&c.RedisPool, "redis-pool", c.RedisPool, "largest number of connections to Redis; 0: ten for each CPU")
	fs.DurationVar(&c.RedisTimeout, "redis-timeout", c.RedisTimeout, "how long one command to Redis may take")
	fs.StringVar(&c.StateDir, "state-dir", c.StateDir, "folder for revalidations that Redis has not got, so that they outlive a restart; none: in memory")
	fs.StringSliceVar(&c.Apps, "app", c.Apps, "serve only this app; may be repeated; none: serve every app")
	fs.StringVar(&c.Token, "token", c.Token, "secret that clients must show (their ISRD_TOKEN); prefer the environment variable")
	fs.Var(&c.L1Bytes, "l1-bytes", "memory for entries; without --redis this is the whole cache")
	fs.Var(&c.MaxEntryBytes, "max-entry-bytes", "largest entry that is taken")
	fs.DurationVar(&c.LeaseTTL, "lease-ttl", c.LeaseTTL, "how soon the right to regenerate an entry ends when its holder cannot be asked; it is renewed while the holder lives")
	fs.DurationVar(&c.LeaseMax, "lease-max", c.LeaseMax, "how long one render may keep others from rendering the same")
	fs.DurationVar(&c.MaxOutageAge, "max-outage-age", c.MaxOutageAge, "how long what is in memory is served while Redis is away")
	fs.DurationVar(&c.WaitLimit, "wait-limit", c.WaitLimit, "longest wait of a request for a page that another replica renders")
	fs.DurationVar(&c.FetchWaitLimit, "fetch-wait-limit", c.FetchWaitLimit, "the same for data that is read inside renders")
	fs.StringVar(&c.Worker, "worker", c.Worker, "who regenerates pages on demand: any process that offers itself, those of an elected leader, ordinal 0, dedicated ones, or off")
	fs.IntVar(&c.WorkerConcurrency, "worker-concurrency", c.WorkerConcurrency, "jobs of this daemon at a time; a process never gets more than it offers to take")
	fs.Float64Var(&c.WorkerRate, "worker-rate", c.WorkerRate, "jobs that this daemon begins in a second; 0: no bound")
	fs.DurationVar(&c.WorkerTimeout, "worker-timeout", c.WorkerTimeout, "how long one attempt of a job may take")
	fs.IntVar(&c.Ordinal, "ordinal", c.Ordinal, "this daemon's number among its replicas, for --worker=ordinal where processes do not know theirs; -1: as \"isrd whoami\" finds it")
	fs.IntVar(&c.QueueMax, "queue-max", c.QueueMax, "jobs of one app that may wait; bulk ones fill at most 80% of it")
	fs.IntVar(&c.RefreshHot, "refresh-hot", c.RefreshHot, "after a tag is revalidated through the queue, regenerate so many of the most-read pages with it; 0: none")
	fs.StringVar(&c.WebhookListen, "webhook-listen", c.WebhookListen, "host:port of the HTTP endpoint for webhooks, POST /revalidate; without secret and token on loopback only; none: off")
	fs.StringSliceVar(&c.WebhookSecrets, "webhook-secret", c.WebhookSecrets, "secret that webhooks are signed with (HMAC-SHA256); may be repeated, to change it; prefer the environment variable")
	fs.StringSliceVar(&c.WebhookTokens, "webhook-token", c.WebhookTokens, "token that webhooks may show instead (Authorization: Bearer …); may be repeated; prefer the environment variable")
	fs.DurationVar(&c.WebhookWindow, "webhook-window", c.WebhookWindow, "how old the signature of a webhook may be")
	fs.Var(&c.WebhookMaxBytes, "webhook-max-bytes", "largest body of a webhook")
	fs.Float64Var(&c.WebhookRate, "webhook-rate", c.WebhookRate, "webhooks that are taken in a second")
	fs.StringArrayVar(&c.WebhookMaps, "webhook-map", c.WebhookMaps, "file (YAML or JSON) that says how payloads of content management systems are read, or JSON itself; may be repeated")
	fs.StringVar(&c.Codec, "codec", c.Codec, "compression of what is stored in Redis: zstd, gzip or none")
	fs.IntVar(&c.GzipLevel, "gzip-level", c.GzipLevel, "level of gzip, 1 to 9; CACHE_GZIP_LEVEL sets it too, and chooses gzip")
	fs.StringVar(&c.MetricsListen, "metrics-listen", c.MetricsListen, "host:port of /metrics, /healthz and /readyz; none: off")
	fs.StringVar(&c.DebugListen, "debug-listen", c.DebugListen, "host:port of /debug/pprof; keep it on loopback; none: off")
	fs.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	fs.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text or json")
	fs.DurationVar(&c.ShutdownTimeout, "shutdown-timeout", c.ShutdownTimeout, "how long calls under way may take when the daemon stops")
	fs.StringVar(&c.Instance, "instance", c.Instance, "what this daemon is called in logs and answers")
}

// Environ fills in the flags of fs that were not given from the environment, and returns all that is wrong with it.
func Environ(fs *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var problems []error
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			return
		}
		if value, ok := lookup(EnvName(f.Name)); ok && value != "" {
			if err := fs.Set(f.Name, value); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", EnvName(f.Name), err))
			}
		}
	})
	// The name that users of other cache handlers know. An explicit --codec or --gzip-level outweighs it.
	if level, ok := lookup("CACHE_GZIP_LEVEL"); ok && level != "" && !fs.Changed("codec") {
		if !fs.Changed("gzip-level") {
			if err := fs.Set("gzip-level", level); err != nil {
				problems = append(problems, fmt.Errorf("CACHE_GZIP_LEVEL: %w", err))
			}
		}
		problems = append(problems, fs.Set("codec", "gzip"))
	}
	return errors.Join(problems...)
}

// hidePassword makes a URL fit for a log: a password may stand before the host and among the parameters.
func hidePassword(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable)"
	}
	return u.Scheme + "://" + u.Host + u.Path
}
