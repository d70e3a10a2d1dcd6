package server_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/server"
)

// besides gives the key as a call beside the session must write it.
func besides(k *isrdv1.Key) *isrdv1.Key {
	return &isrdv1.Key{App: "shop", Build: &isrdv1.Build{BuildId: "b1"}, Space: k.GetSpace(), Name: k.GetName()}
}

func TestCancellationThatCrossesItsAnswerTakesTheLeaseBack(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	id := a.sendGet(&isrdv1.GetRequest{Key: route("/p")})
	if a.answer(id).GetGet().GetLease().GetToken() == 0 {
		t.Fatal("no lease")
	}
	a.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Cancel{Cancel: &isrdv1.Cancel{}}})
	begin := time.Now()
	if got := b.get(&isrdv1.GetRequest{Key: route("/p")}); got.GetLease().GetToken() == 0 || time.Since(begin) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), got)
	}
}

func TestEndedSessionReleasesOnlyWhatItStillHolds(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	for i := range 50 {
		k := route(fmt.Sprint("/p/", i))
		s.set(k, s.get(&isrdv1.GetRequest{Key: k}), page("x"))
	}
	s.get(&isrdv1.GetRequest{Key: route("/held")})
	before := d.releases.Load()
	s.cancel()
	other := d.open("shop")
	if got := other.get(&isrdv1.GetRequest{Key: route("/held")}); got.GetLease().GetToken() == 0 {
		t.Errorf("the lease of the ended session: %v", got)
	}
	if n := d.releases.Load() - before; n != 1 {
		t.Errorf("%d leases were released, 1 was held", n)
	}
}

func TestStoppingDaemonAnswersWhatItWasAsked(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{Key: route("/slow"), LeaseToken: 5}}})
	<-d.entered
	d.stop()
	for told := false; !told; {
		told = s.recv().GetGoAway() != nil
	}
	close(d.goOn)
	if s.answer(id).GetRelease() == nil {
		t.Error("no answer")
	}
	if got := s.ended(); got.Code() != codes.Unavailable {
		t.Errorf("the session ended with %v", got)
	}
}

func TestLeaseGrantedToACallerWhoHasGoneIsGivenBack(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	id := a.sendGet(&isrdv1.GetRequest{Key: route("/slow-read")})
	<-d.entered
	a.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Cancel{Cancel: &isrdv1.Cancel{}}})
	ping := a.id()
	a.send(&isrdv1.SessionRequest{Id: ping, Frame: &isrdv1.SessionRequest_Ping{Ping: &isrdv1.Ping{}}})
	a.answer(ping) // frames are taken in order: the cancellation has been
	close(d.goOn)
	a.answer(id)
	begin := time.Now()
	if got := b.get(&isrdv1.GetRequest{Key: route("/slow-read")}); got.GetLease().GetToken() == 0 || time.Since(begin) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), got)
	}
}

func TestRetryDelayIsBounded(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	miss := s.get(&isrdv1.GetRequest{Key: route("/p")})
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{
		Key: route("/p"), RewriteOf: miss.GetBase(), RetryAfterMs: 1 << 31, LeaseToken: miss.GetLease().GetToken(),
	}}})
	s.answer(id)
	if left := s.get(&isrdv1.GetRequest{Key: route("/p")}).GetLeaseLeftMs(); left == 0 || left > 60_000 {
		t.Errorf("nobody may render for %d ms", left)
	}
}

// TestRefusedBuildOutputLeavesTheLease: who offers what a build has rendered, and is told that it was revalidated since,
// renders with the lease that it has; it ends with the session like any other.
func TestRefusedBuildOutputLeavesTheLease(t *testing.T) {
	d := start(t, server.Config{})
	a := d.open("shop")
	a.revalidate("products")
	miss := a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	id := a.id()
	a.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{
		Key: route("/p/1"), Entry: page("built", "products"), Base: miss.GetBase(), LeaseToken: miss.GetLease().GetToken(),
		OnlyIfAbsent: true, BuiltAtMs: 1,
	}}})
	if got := a.answer(id).GetSet().GetOutcome(); got != isrdv1.Outcome_OUTCOME_REFUSED_INVALIDATED {
		t.Fatalf("build output that was revalidated since is %v", got)
	}
	b := d.open("shop")
	id = b.sendGet(&isrdv1.GetRequest{Key: route("/p/1")})
	if b.recv().GetWaiting() == nil {
		t.Fatal("the lease is not the holder's any more")
	}
	begin := time.Now()
	a.cancel()
	if got := b.answer(id).GetGet(); got.GetLease().GetToken() == 0 || time.Since(begin) > 5*time.Second {
		t.Errorf("after %v: %v; want the lease of the session that ended", time.Since(begin), got)
	}
}
