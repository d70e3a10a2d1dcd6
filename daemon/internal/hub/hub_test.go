package hub_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/tag"
)

func event(seq uint64) tag.Event { return tag.Event{Position: tag.Position{Epoch: 1, Seq: seq}} }

func seqs(ms []hub.Message) []uint64 {
	var out []uint64
	for _, m := range ms {
		out = append(out, m.Event.Position.Seq)
	}
	return out
}

func TestSubscribersOfOneAppGetItsEventsInOrder(t *testing.T) {
	var h hub.Hub
	shop, blog := h.Subscribe("shop", 10), h.Subscribe("blog", 10)
	defer shop.Close()
	defer blog.Close()
	for seq := range uint64(3) {
		h.Publish("shop", event(seq+1))
	}
	<-shop.Ready()
	got, open := shop.Take()
	if diff := cmp.Diff([]uint64{1, 2, 3}, seqs(got)); diff != "" || !open {
		t.Errorf("open %v, events (-want +got):\n%s", open, diff)
	}
	if got, _ := blog.Take(); len(got) != 0 {
		t.Errorf("blog got the events of shop: %v", got)
	}
}

func TestSlowReaderGetsOneResetAndGoesOn(t *testing.T) {
	var h hub.Hub
	s := h.Subscribe("shop", 2)
	defer s.Close()
	for seq := range uint64(4) {
		h.Publish("shop", event(seq+1))
	}
	got, open := s.Take()
	if !open || got[0].Reset == "" {
		t.Fatalf("a reader that missed events got %v, open %v; want a reset first", got, open)
	}
	if diff := cmp.Diff([]uint64{3, 4}, seqs(got)); diff != "" {
		t.Errorf("after the reset events must go on without a gap (-want +got):\n%s", diff)
	}
	h.Publish("shop", event(5))
	if got, _ := s.Take(); len(got) != 1 || got[0].Reset != "" || got[0].Event.Position.Seq != 5 {
		t.Errorf("after the reset got %v, want event 5", got)
	}
}

func TestResetReplacesTheBacklog(t *testing.T) {
	var h hub.Hub
	s := h.Subscribe("shop", 10)
	defer s.Close()
	h.Publish("shop", event(1))
	h.Reset("shop", tag.Position{Epoch: 2, Seq: 7}, "new epoch")
	got, _ := s.Take()
	if len(got) != 1 || got[0].Reset != "new epoch" || got[0].Event.Position.Epoch != 2 {
		t.Errorf("got %v, want only the reset", got)
	}
}

func TestCloseEndsReaders(t *testing.T) {
	var h hub.Hub
	s := h.Subscribe("shop", 1)
	h.Close()
	<-s.Ready()
	if _, open := s.Take(); open {
		t.Error("the subscription of a closed hub is open")
	}
	s.Close()
	late := h.Subscribe("shop", 1)
	<-late.Ready()
	if _, open := late.Take(); open {
		t.Error("a subscription to a closed hub is open")
	}
}
