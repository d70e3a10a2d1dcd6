package redisstore

import (
	"context"
	"log/slog"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// ear are those who listen to one channel whose messages only say that it is worth a look. They are guarded by bus.mu.
type ear map[*hearer]struct{}

// hearer gets a value on signal after a message of its kind, or when some may have been missed.
type hearer struct {
	kind   queue.Kind
	signal chan struct{}
}

// hear adds a listener to a channel; the function ends it. The channel stays subscribed to: there is one for each app.
func (b *bus) hear(channel string, kind queue.Kind) (<-chan struct{}, func()) {
	l := &hearer{kind: kind, signal: make(chan struct{}, 1)}
	b.mu.Lock()
	e, there := b.ears[channel]
	if !there {
		e = make(ear)
		b.ears[channel] = e
	}
	e[l] = struct{}{}
	ps := b.pubsub
	b.mu.Unlock()
	if !there && ps != nil {
		ctx, cancel := context.WithTimeout(context.Background(), b.store.config.OpTimeout)
		defer cancel()
		// If it fails, the connection is broken, and the next one subscribes to all channels.
		if err := ps.Subscribe(ctx, channel); err != nil {
			b.store.log.Debug("subscribe", slog.String("channel", channel), slog.Any("error", err))
		}
	}
	return l.signal, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(e, l)
	}
}

// perk tells the listeners of a channel of a message; "": of all that may have been missed.
func (b *bus) perk(channel, payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.ears[channel] {
		if payload == "" || payload == queueTold[l.kind] {
			select {
			case l.signal <- struct{}{}:
			default:
			}
		}
	}
}

// queueTold is what the scripts of the queue publish.
var queueTold = map[queue.Kind]string{queue.Ready: "w", queue.Ended: "d"}
