package redisstore

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// Coder packs a value: a header as it is and a body compressed. codec.Coder is one. It must be safe for concurrent use.
type Coder interface {
	// Append appends a frame of header and parts to dst.
	Append(dst, header []byte, parts ...[]byte) ([]byte, error)
	// Decode takes a frame apart. What it returns belongs to the caller.
	Decode(frame []byte) (header, body []byte, err error)
}

// Config of a Store. Coder must be given; the zero value of every other field works.
type Config struct {
	// URL says where Redis is and how it is built, by name:
	//
	//	redis://user:password@host:6379/0          one server; rediss:// with TLS
	//	unix://user:password@/run/redis.sock?db=0  one server on this host
	//	redis+sentinel://user:password@host:26379,host:26379/master/0?sentinel_username=…&sentinel_password=…
	//	redis+cluster://user:password@host:6379,host:6379
	//
	// and rediss+sentinel://, rediss+cluster:// with TLS. With TLS, ?skip_verify=true takes any certificate. Default
	// redis://127.0.0.1:6379.
	URL string
	// Server is a model of Redis in its place, for the simulation. Default: Redis, by URL.
	Server Server
	// Random spreads waits, so that daemons that lost Redis together do not come back together; it is in [0, 1). Default
	// math/rand/v2.Float64. A simulation wants one with a seed.
	Random func() float64
	// Name is this daemon's among those that share a log: no other may have it, nor may this one's next life. Default: a
	// random one, which is what to use outside a simulation.
	Name string
	// Prefix begins every key and channel. Default isrd.
	Prefix string
	// PoolSize bounds the connections, in a cluster those to each node. Default 10 per CPU.
	PoolSize int
	// DialTimeout bounds the opening of a connection. Default 1 s.
	DialTimeout time.Duration
	// OpTimeout bounds every operation, also while Redis hangs; a large value gets more, according to its size. The
	// context's deadline counts if it is earlier. Default 150 ms.
	OpTimeout time.Duration
	// Coder packs the values.
	Coder Coder
	// MaxTags is how many tags of an app Redis may know before the older half is forgotten. Default 100,000.
	MaxTags int
	// Logger for what an operator must know; nil: nothing is logged.
	Logger *slog.Logger
	// Registerer of the metrics; nil: none are registered.
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	c.URL = cmp.Or(c.URL, "redis://127.0.0.1:6379")
	c.Prefix = cmp.Or(c.Prefix, "isrd")
	c.DialTimeout = cmp.Or(c.DialTimeout, time.Second)
	c.OpTimeout = cmp.Or(c.OpTimeout, 150*time.Millisecond)
	if c.Random == nil {
		c.Random = rand.Float64
	}
	c.MaxTags = cmp.Or(c.MaxTags, cache.MaxTags)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// transferRate is the slowest network that a value of any size must get through, in bytes per second.
const transferRate = 16 << 20

// largeValue is how many bytes count as large: they are read in a step of their own, which knows how much time it needs.
const largeValue = 1 << 20

// limit bounds an operation.
type limit struct {
	within time.Duration
	// large says that being late tells more of the network and the size than of Redis.
	large bool
}

func (c Config) small() limit { return limit{within: c.OpTimeout} }

// transfer is the limit of what moves a value of this many bytes.
func (c Config) transfer(size int) limit {
	return limit{within: c.OpTimeout + time.Duration(size)*time.Second/transferRate, large: size > largeValue}
}

// poolTimeout bounds the wait for a free connection. It is less than OpTimeout: that none is free is the daemon's doing and
// must be told from a Redis that does not answer, and some time must be left for the operation.
func (c Config) poolTimeout() time.Duration { return c.OpTimeout / 2 }

// loadTimeout bounds the loading of a log's whole table, which may have many tags; nobody waits for it but Follow.
func (c Config) loadTimeout() time.Duration { return 10 * c.OpTimeout }
