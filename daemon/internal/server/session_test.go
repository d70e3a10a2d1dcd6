package server_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/server"
)

func TestWhatOneProcessRendersAnotherIsServed(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	miss := a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	if miss.GetStatus() != isrdv1.Status_STATUS_MISS || miss.GetLease().GetToken() == 0 {
		t.Fatalf("first get: %v", miss)
	}
	if out := a.set(route("/p/1"), miss, page("<p>1</p>", "products")); out.GetOutcome() != isrdv1.Outcome_OUTCOME_ACCEPTED {
		t.Fatalf("set: %v", out)
	}
	hit := b.get(&isrdv1.GetRequest{Key: route("/p/1")})
	e := hit.GetEntry()
	if hit.GetStatus() != isrdv1.Status_STATUS_HIT || string(e.GetParts()[0].GetData()) != "<p>1</p>" || e.GetParts()[2].GetSameAs() != 2 ||
		e.GetParts()[3].GetName() != "segment:/x" || e.GetStatus() != 200 || len(e.GetHeaders()[0].GetValues()) != 2 || e.GetTags()[0] != "products" {
		t.Errorf("the other process got %v", hit)
	}
	// Another app, and another build of the same app, have their own.
	if got := d.open("blog").get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("another app got %v", got)
	}
	next := hello("shop")
	next.Build = &isrdv1.Build{BuildId: "b1", DeploymentId: "d2"}
	s := d.dial(next)
	s.recv()
	if got := s.get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("another deployment got %v", got)
	}
}

func TestParkedGetSaysSoAndIsAnsweredByTheWrite(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	miss := a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1")})
	if f := b.recv(); f.GetId() != id || f.GetWaiting().GetLimitMs() != 10_000 {
		t.Fatalf("want a waiting frame of 10 s, got %v", f)
	}
	a.set(route("/p/1"), miss, page("one"))
	if got := b.answer(id).GetGet(); got.GetStatus() != isrdv1.Status_STATUS_HIT {
		t.Errorf("after the write: %v", got)
	}
}

func TestEventsComeBeforeTheAnswersJudgedByThem(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	for range 200 {
		done := a.revalidate("products")
		if !done.GetFleetWide() {
			t.Fatalf("revalidate: %v", done)
		}
		id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1"), NoLease: true})
		var seen uint64
		for {
			f := b.recv()
			for _, e := range f.GetEvents().GetEvents() {
				if e.GetPosition().GetSeq() != seen+1 && seen != 0 {
					t.Fatalf("event %d after %d", e.GetPosition().GetSeq(), seen)
				}
				seen = e.GetPosition().GetSeq()
			}
			if f.GetId() == id {
				if asOf := f.GetGet().GetAsOf().GetSeq(); asOf < done.GetPosition().GetSeq() || seen < asOf {
					t.Fatalf("the answer is as of %d; events up to %d came before it, %d was done", asOf, seen, done.GetPosition().GetSeq())
				}
				break
			}
		}
	}
}

func TestLargeBodyTravelsAside(t *testing.T) {
	d := start(t, server.Config{AsideBytes: 1 << 10})
	a := d.open("shop")
	k := &isrdv1.Key{App: "shop", Build: &isrdv1.Build{BuildId: "b1"}, Space: isrdv1.Space_SPACE_ROUTE, Name: "/big"}
	big := strings.Repeat("x", 20<<20)
	miss := a.get(&isrdv1.GetRequest{Key: route("/big")})
	if out, err := d.client.Set(t.Context(), &isrdv1.SetRequest{Key: k, Entry: page(big), Base: miss.GetBase()}); err != nil || out.GetOutcome() != isrdv1.Outcome_OUTCOME_ACCEPTED {
		t.Fatal(out, err)
	}
	told := a.get(&isrdv1.GetRequest{Key: route("/big")})
	if told.GetAside().GetBytes() < 20<<20 || len(told.GetEntry().GetParts()[0].GetData()) != 0 {
		t.Fatalf("a body of 20 MiB came on the session")
	}
	body, err := d.client.Get(t.Context(), &isrdv1.GetRequest{Key: k, BodyOf: told.GetVersion()})
	if err != nil || !bytes.Equal(body.GetEntry().GetParts()[0].GetData(), []byte(big)) {
		t.Errorf("the body beside the session: %v", err)
	}
	gone, err := d.client.Get(t.Context(), &isrdv1.GetRequest{Key: k, BodyOf: &isrdv1.Version{Epoch: 1, Token: 1}})
	if err != nil || gone.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("the body of a version that has gone: %v, %v", gone.GetStatus(), err)
	}
}

func TestStoppingDaemonTellsItsSessionsToGoAway(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	d.stop()
	var told bool
	for f := range s.frames {
		told = told || f.GetGoAway() != nil
	}
	if !told {
		t.Errorf("the session ended without a go-away: %v", s.err)
	}
	select {
	case err := <-d.done:
		d.done <- err
	case <-time.After(patience):
		t.Error("the server did not stop")
	}
}
