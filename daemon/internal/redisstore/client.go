package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// client is Redis itself, by go-redis: the only file that knows it.
type client struct{ redis.UniversalClient }

var (
	_ Server = client{}
	_ Pool   = client{}
)

// newClient builds the client that the URL names. It opens no connection.
func newClient(cfg Config) (client, error) {
	c, err := dialer(cfg)
	return client{c}, err
}

func dialer(cfg Config) (redis.UniversalClient, error) {
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

// Eval implements Server. Redis has the script by its hash, unless it was restarted: then it is sent.
func (c client) Eval(ctx context.Context, sc Script, keys []string, args ...any) ([]any, error) {
	reply, err := c.process(ctx, "evalsha", sc.hash, keys, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = c.process(ctx, "eval", sc.Source, keys, args)
	}
	if err != nil {
		return nil, classify(err)
	}
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s replied with %T", ErrAnswer, sc.Name, reply)
	}
	return list, nil
}

func (c client) process(ctx context.Context, command, what string, keys []string, args []any) (any, error) {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, command, what, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	cmd := once{redis.NewCmd(ctx, append(all, args...)...)}
	if err := c.Process(ctx, cmd); err != nil {
		return nil, err //nolint:wrapcheck // Eval classifies it
	}
	return cmd.Result()
}

// Get implements Server.
func (c client) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := c.UniversalClient.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return value, classify(err)
}

// Ping implements Server. A cluster answers if any master does.
func (c client) Ping(ctx context.Context) error {
	cc, ok := c.UniversalClient.(*redis.ClusterClient)
	if !ok {
		return classify(c.UniversalClient.Ping(ctx).Err())
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
	return classify(err)
}

// Subscribe implements Server.
func (c client) Subscribe(ctx context.Context) Subscription {
	return subscription{c.UniversalClient.Subscribe(ctx)}
}

// Close implements Server.
func (c client) Close() error { return classify(c.UniversalClient.Close()) }

// Pool implements Pool.
func (c client) Pool() (total, idle, timeouts uint32) {
	s := c.PoolStats()
	return s.TotalConns, s.IdleConns, s.Timeouts
}

// classify says in the store's terms what an error of go-redis means.
func classify(err error) error {
	var answer redis.Error
	var op *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	case errors.Is(err, redis.ErrPoolTimeout):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, redis.ErrClosed), errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%w: %w", ErrUnsent, err)
	default:
		return err
	}
}

// subscription implements Subscription by go-redis.
type subscription struct{ pubsub *redis.PubSub }

func (s subscription) Subscribe(ctx context.Context, channels ...string) error {
	return classify(s.pubsub.Subscribe(ctx, channels...))
}

func (s subscription) Ping(ctx context.Context) error { return classify(s.pubsub.Ping(ctx)) }

func (s subscription) Receive(ctx context.Context) (Push, error) {
	for {
		m, err := s.pubsub.Receive(ctx)
		if err != nil {
			return nil, classify(err)
		}
		switch m := m.(type) {
		case *redis.Message:
			return Message{Channel: m.Channel, Payload: m.Payload}, nil
		case *redis.Pong:
			return Pong{}, nil
		case *redis.Subscription:
			if m.Kind == "subscribe" {
				return Subscribed{Channel: m.Channel}, nil
			}
		}
	}
}

func (s subscription) Close() error { return classify(s.pubsub.Close()) }
