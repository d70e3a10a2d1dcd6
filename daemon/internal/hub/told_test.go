package hub_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/tag"
)

func at(seq uint64) tag.Position { return tag.Position{Epoch: 1, Seq: seq} }

// told starts a wait for everybody's word on seq and gives when it ended, relative to now.
func told(t *testing.T, h *hub.Hub, seq uint64) <-chan time.Duration {
	t.Helper()
	begun := time.Now()
	done := make(chan time.Duration, 1)
	go func() {
		if err := h.WaitTold(t.Context(), "shop", at(seq)); err != nil {
			t.Error(err)
		}
		done <- time.Since(begun)
	}()
	synctest.Wait()
	return done
}

// wantPending says that the wait goes on.
func wantPending(t *testing.T, done <-chan time.Duration, why string) {
	t.Helper()
	synctest.Wait()
	select {
	case after := <-done:
		t.Fatalf("over after %v: %s", after, why)
	default:
	}
}

func TestWaitToldEndsWithTheLastAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub
		a, b, silent := h.Subscribe("shop", 10), h.Subscribe("shop", 10), h.Subscribe("shop", 10)
		other := h.Subscribe("blog", 10)
		for _, s := range []*hub.Subscription{a, b, other} {
			s.Promise(time.Now().Add(time.Second))
		}
		h.Publish("shop", event(1))
		h.Publish("shop", event(2))
		done := told(t, &h, 2)
		a.Ack(at(2))
		wantPending(t, done, "b has said nothing")
		b.Ack(at(1))
		wantPending(t, done, "b has said less")
		time.Sleep(300 * time.Millisecond)
		b.Ack(at(2))
		if after := <-done; after != 300*time.Millisecond {
			t.Errorf("over after %v; silent was promised nothing, and need not be waited for", after)
		}
		for _, s := range []*hub.Subscription{a, b, silent, other} {
			s.Close()
		}
	})
}

func TestWaitToldEndsWithThePromise(t *testing.T) {
	for name, leave := range map[string]bool{"of a reader that stays": false, "of a reader that has gone": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h hub.Hub
				s := h.Subscribe("shop", 10)
				defer s.Close()
				s.Promise(time.Now().Add(700 * time.Millisecond))
				s.Promise(time.Now().Add(200 * time.Millisecond)) // a shorter one takes nothing back
				h.Publish("shop", event(1))
				done := told(t, &h, 1)
				if leave {
					s.Close()
					wantPending(t, done, "who has gone may live on, and serve")
				}
				if after := <-done; after != 700*time.Millisecond {
					t.Errorf("over after %v, the promise was for 700 ms", after)
				}
			})
		})
	}
}

func TestWhoHasGoneAndKnewItIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub
		s := h.Subscribe("shop", 10)
		s.Promise(time.Now().Add(time.Second))
		h.Publish("shop", event(1))
		s.Ack(at(1))
		s.Close()
		if after := <-told(t, &h, 1); after != 0 {
			t.Errorf("waited %v", after)
		}
	})
}

func TestAckOfWhatWasNotPublishedCountsForWhatWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub
		s := h.Subscribe("shop", 10)
		defer s.Close()
		h.Publish("shop", event(1))
		s.Ack(at(99))
		s.Promise(time.Now().Add(time.Second))
		h.Publish("shop", event(2))
		if after := <-told(t, &h, 2); after != time.Second {
			t.Errorf("waited %v: it cannot have applied what did not exist", after)
		}
	})
}

func TestWhoAcknowledgesNothingIsPromisedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub
		s := h.Subscribe("shop", 10)
		defer s.Close()
		soon := func() time.Time { return time.Now().Add(time.Second) }
		h.Publish("shop", event(1))
		time.Sleep(900 * time.Millisecond)
		if !s.Promise(soon()) {
			t.Error("refused within the second that an event may take")
		}
		time.Sleep(101 * time.Millisecond)
		if s.Promise(soon()) {
			t.Error("promised although an event was not acknowledged for more than a second")
		}
		h.Publish("shop", event(2))
		s.Ack(at(1))
		if !s.Promise(soon()) {
			t.Error("refused although the second event is new")
		}
		s.Ack(at(2))
		time.Sleep(time.Hour)
		if !s.Promise(soon()) {
			t.Error("refused although everything was acknowledged")
		}
	})
}

func TestWaitToldIsBoundedByItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub
		s := h.Subscribe("shop", 10)
		defer s.Close()
		s.Promise(time.Now().Add(time.Hour))
		h.Publish("shop", event(1))
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		if err := h.WaitTold(ctx, "shop", at(1)); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
}
