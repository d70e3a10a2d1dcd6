package redisstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// socketTimeout bounds what has no context of its own: handshakes of subscriptions, a cluster's map of slots. Operations
// have contexts with earlier deadlines; writes of many megabytes may need all of it.
const socketTimeout = 5 * time.Second

// protocol is RESP2: RESP3 would only add a look for push messages to every read.
const protocol = 2

// newClient builds the client that the URL names. It opens no connection.
func newClient(cfg Config) (redis.UniversalClient, error) {
	a, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	quiet()
	switch a.mode {
	case sentinel:
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: a.master, SentinelAddrs: a.hosts,
			SentinelUsername: a.sentinelUsername, SentinelPassword: a.sentinelPassword,
			Username: a.username, Password: a.password, DB: a.db, TLSConfig: a.tls,
			ClientName: clientName, DisableIdentity: true, Protocol: protocol,
			MaxRetries: -1, DialerRetries: 1, DialTimeout: cfg.DialTimeout, PoolSize: cfg.PoolSize, PoolTimeout: cfg.poolTimeout(),
			ReadTimeout: socketTimeout, WriteTimeout: socketTimeout, ContextTimeoutEnabled: true,
		}), nil
	case cluster:
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: a.hosts, Username: a.username, Password: a.password, TLSConfig: a.tls,
			ClientName: clientName, DisableIdentity: true, Protocol: protocol, MaintNotificationsConfig: noMaintenance(),
			MaxRetries: -1, DialerRetries: 1, DialTimeout: cfg.DialTimeout, PoolSize: cfg.PoolSize, PoolTimeout: cfg.poolTimeout(),
			ReadTimeout: socketTimeout, WriteTimeout: socketTimeout, ContextTimeoutEnabled: true,
			DisableRoutingPolicies: true,
		}), nil
	default:
		return redis.NewClient(&redis.Options{
			Network: a.network, Addr: a.hosts[0], Username: a.username, Password: a.password, DB: a.db, TLSConfig: a.tls,
			ClientName: clientName, DisableIdentity: true, Protocol: protocol, MaintNotificationsConfig: noMaintenance(),
			MaxRetries: -1, DialerRetries: 1, DialTimeout: cfg.DialTimeout, PoolSize: cfg.PoolSize, PoolTimeout: cfg.poolTimeout(),
			ReadTimeout: socketTimeout, WriteTimeout: socketTimeout, ContextTimeoutEnabled: true,
		}), nil
	}
}

// clientName is what CLIENT LIST shows.
const clientName = "isrd"

func noMaintenance() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// quiet keeps go-redis from writing to stderr: its logger is global, and what it has to say comes back as errors.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// once is a command that is sent at most once, also by a cluster client, which otherwise repeats what may have been
// carried out.
type once struct{ *redis.Cmd }

// NoRetry implements redis.Cmder.
func (once) NoRetry() bool { return true }

// script is one of the scripts.
type script struct {
	name string
	*redis.Script
	source string
}

func newScript(name, source string) script {
	return script{name: name, Script: redis.NewScript(source), source: source}
}

// run runs the script. Redis has it by its hash, unless it was restarted: then it is sent.
func (s script) run(ctx context.Context, c redis.UniversalClient, names []string, args ...any) ([]any, error) {
	reply, err := process(ctx, c, "evalsha", s.Hash(), names, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = process(ctx, c, "eval", s.source, names, args)
	}
	if err != nil {
		return nil, err
	}
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("%s replied with %T", s.name, reply)
	}
	return list, nil
}

func process(ctx context.Context, c redis.UniversalClient, command, what string, names []string, args []any) (any, error) {
	all := make([]any, 0, 3+len(names)+len(args))
	all = append(all, command, what, len(names))
	for _, n := range names {
		all = append(all, n)
	}
	cmd := once{redis.NewCmd(ctx, append(all, args...)...)}
	if err := c.Process(ctx, cmd); err != nil {
		return nil, err //nolint:wrapcheck // do wraps it with the operation
	}
	return cmd.Result()
}

// ping asks whether Redis answers; of a cluster, whether any master does.
func ping(ctx context.Context, c redis.UniversalClient) error {
	cc, ok := c.(*redis.ClusterClient)
	if !ok {
		return c.Ping(ctx).Err()
	}
	var (
		mu       sync.Mutex
		answered bool
	)
	err := cc.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		err := node.Ping(ctx).Err()
		mu.Lock()
		defer mu.Unlock()
		answered = answered || err == nil
		return err
	})
	if answered {
		return nil
	}
	return err
}
