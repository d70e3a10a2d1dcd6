package redisstore

import (
	"context"
	"errors"
)

// Server is what the store asks of Redis: all of it, so that a simulation can put a model in its place. Methods may be
// called from any number of goroutines and return soon after their context ends. What is known of a failure is said by
// ErrAnswer, ErrBusy and ErrUnsent, or by an error that wraps context.DeadlineExceeded or os.ErrDeadlineExceeded; any
// other is a connection that broke.
type Server interface {
	// Eval runs a script as one step, at most once. An argument is a string, a []byte, an int or an int64. The reply is the script's
	// table as Redis converts it: string, int64, nil for false, []any.
	Eval(ctx context.Context, script Script, keys []string, args ...any) ([]any, error)
	// Get returns a string's value; nil: there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Ping asks whether Redis answers.
	Ping(ctx context.Context) error
	// Subscribe gives a subscription to nothing yet. It opens no connection; close it all the same.
	Subscribe(ctx context.Context) Subscription
	// Close closes all connections. Nothing may be asked for afterwards: it would fail.
	Close() error
}

// Subscription is one connection on which messages arrive. Receive is called from one goroutine, the others from any.
type Subscription interface {
	// Subscribe asks for the messages of channels. That it did so is told by a Subscribed for each of them.
	Subscribe(ctx context.Context, channels ...string) error
	// Ping asks for a Pong.
	Ping(ctx context.Context) error
	// Receive returns what comes next. It may wait for longer than ctx lasts; Close ends it.
	Receive(ctx context.Context) (Push, error)
	// Close closes the connection. It may be called again.
	Close() error
}

// Push is what arrives on a Subscription: a Subscribed, a Message or a Pong.
type Push interface{ push() }

// Subscribed says that the channel's messages come from now on: those that were published before do not.
type Subscribed struct{ Channel string }

// Message was published on a channel.
type Message struct{ Channel, Payload string }

// Pong answers a Ping.
type Pong struct{}

func (Subscribed) push() {}
func (Message) push()    {}
func (Pong) push()       {}

var (
	// ErrAnswer is wrapped by an error that Redis answered with: it is there.
	ErrAnswer = errors.New("redis answered with an error")
	// ErrBusy says that no connection was free in time: it says nothing of Redis, which was not asked.
	ErrBusy = errors.New("no connection to redis is free")
	// ErrUnsent says that Redis was not asked: it cannot have carried out anything.
	ErrUnsent = errors.New("redis was not asked")
)

// Pool is what a Server may say of its connections, for the metrics.
type Pool interface {
	// Pool gives the connections beside those of subscriptions, how many of them wait for work, and how often none was
	// free in time.
	Pool() (total, idle, timeouts uint32)
}
