package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// bus is the one connection on which all apps' events and hints arrive, and who is to hear them.
//
// What is missed on it is caught up with by load.lua, whenever there is reason to: the subscription was confirmed (for
// the first time or again), an event does not follow, a probe is due. So nothing depends on messages but speed.
type bus struct {
	store *Store

	mu       sync.Mutex
	channels map[string]*follow
	ears     map[string]ear // by channel
	pubsub   Subscription   // the connection, if there is one
	work     work
}

func (b *bus) init(s *Store) {
	b.store = s
	b.channels = make(map[string]*follow)
	b.ears = make(map[string]ear)
	b.work.init()
}

func (b *bus) find(app string) *follow {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.channels[b.store.keys.channel(app)]
}

// follow adds an app. Its first load follows when the subscription is confirmed, so that nothing falls between.
func (b *bus) follow(ctx context.Context, app string, by cache.Follower) (*follow, error) {
	channel := b.store.keys.channel(app)
	b.mu.Lock()
	f, there := b.channels[channel]
	if !there {
		f = newFollow(app, by)
		b.channels[channel] = f
		b.work.order = append(b.work.order, f)
	}
	ps := b.pubsub
	b.mu.Unlock()
	switch {
	case there && f.follower != by:
		return nil, fmt.Errorf("follow %q: another follows it already", app)
	case !there && ps != nil:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.store.config.OpTimeout)
		defer cancel()
		// If it fails, the connection is broken, and the next one subscribes to all channels.
		if err := ps.Subscribe(ctx, channel); err != nil {
			b.store.log.Debug("subscribe", slog.String("app", app), slog.Any("error", err))
		}
	}
	return f, nil
}

// pause waits about d, so that daemons that lost Redis together do not come back together.
func (b *bus) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + time.Duration(b.store.config.Random()*float64(d/2)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// listen keeps a connection and passes on what arrives until ctx ends.
func (b *bus) listen(ctx context.Context) {
	var delay time.Duration
	for ctx.Err() == nil {
		begun := time.Now()
		err := b.session(ctx)
		b.store.metrics.subscribed.Set(0)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > maxDelay {
			delay = 0
		}
		delay = nextDelay(delay, err)
		b.store.log.Debug("subscription ended", slog.Any("error", err))
		b.pause(ctx, delay)
	}
}

// session is one connection's life. The error is never nil.
func (b *bus) session(ctx context.Context) error {
	ps := b.store.server.Subscribe(ctx)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer b.attach(nil)
	// Receive heeds no context while it waits; Close ends it.
	wg.Go(func() {
		<-ctx.Done()
		_ = ps.Close() // nobody is interested any more
	})
	if err := b.open(ctx, ps); err != nil {
		return err
	}
	begun := time.Now()
	var heard atomic.Int64 // time.Duration since begun
	wg.Go(func() {
		defer cancel()
		b.watch(ctx, ps, func() time.Duration { return time.Since(begun) - time.Duration(heard.Load()) })
	})
	for {
		m, err := ps.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		heard.Store(int64(time.Since(begun)))
		b.store.metrics.subscribed.Set(1)
		b.receive(m)
	}
}

// attach makes ps the connection to which apps are added, and returns the channels that were there before.
func (b *bus) attach(ps Subscription) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pubsub = ps
	return b.names()
}

// names gives the channels. The caller holds mu.
func (b *bus) names() []string {
	return slices.Concat(slices.Sorted(maps.Keys(b.channels)), slices.Sorted(maps.Keys(b.ears)))
}

// open opens the connection and subscribes to every channel. Until it is open, nobody else uses it: whoever added an app
// would wait for as long as that takes.
func (b *bus) open(ctx context.Context, ps Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, b.store.config.DialTimeout)
	defer cancel()
	first := b.attach(nil)
	if err := subscribe(ctx, ps, first); err != nil {
		return err
	}
	if err := ps.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	before := make(map[string]bool, len(first))
	for _, channel := range first {
		before[channel] = true
	}
	came := slices.DeleteFunc(b.attach(ps), func(channel string) bool {
		return before[channel]
	})
	return subscribe(ctx, ps, came)
}

func subscribe(ctx context.Context, ps Subscription, channels []string) error {
	if len(channels) == 0 {
		return nil
	}
	if err := ps.Subscribe(ctx, channels...); err != nil {
		return fmt.Errorf("subscribe to %d channels: %w", len(channels), err)
	}
	return nil
}

// pingInterval is how often the connection is asked for a sign of life.
const pingInterval = 250 * time.Millisecond

var errSilent = errors.New("no sign of life on the subscription")

// watch returns when nothing was heard on the connection for too long, or when ctx ends.
func (b *bus) watch(ctx context.Context, ps Subscription, silence func() time.Duration) {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if silence() > 2*pingInterval+b.store.config.OpTimeout {
			b.store.log.Debug("subscription is given up", slog.Any("error", errSilent))
			return
		}
		bounded, cancel := context.WithTimeout(ctx, b.store.config.OpTimeout)
		_ = ps.Ping(bounded) // if it fails, silence follows
		cancel()
	}
}

// receive handles what came on the connection.
func (b *bus) receive(m Push) {
	switch m := m.(type) {
	case Subscribed:
		if f := b.at(m.Channel); f != nil {
			b.behind(f)
		}
		b.perk(m.Channel, "")
	case Message:
		f := b.at(m.Channel)
		if f == nil {
			b.perk(m.Channel, m.Payload)
			return
		}
		t, err := parseTold(m.Payload)
		switch {
		case err != nil, t.load, t.event != nil && !f.event(*t.event):
			b.behind(f)
		case t.acknowledged != nil:
			f.awaits.heard(*t.acknowledged)
		case t.event == nil:
			f.hint(t)
		}
	}
}

func (b *bus) at(channel string) *follow {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.channels[channel]
}

// Run keeps the store in touch with Redis until ctx ends: it follows logs, and notices when Redis hangs and when it is
// back, and ends leases that were granted to nobody. It returns nil. It may be called once.
func (s *Store) Run(ctx context.Context) error {
	s.breaker.arm(true)
	defer s.breaker.arm(false)
	var wg sync.WaitGroup
	for _, task := range []func(context.Context){s.probe, s.bus.listen, s.bus.check, s.bus.catchUp, s.endAbandoned} {
		wg.Go(func() { task(ctx) })
	}
	wg.Wait()
	return nil
}
