package server_test

import (
	"errors"
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

// TestLeaseOfWhoIsDoneIsNotRenewed: whoever has written, or given up, needs it no longer, whether or not the store could
// be told, and whether or not it came through the session.
func TestLeaseOfWhoIsDoneIsNotRenewed(t *testing.T) {
	rewrite := func(k *isrdv1.Key, miss *isrdv1.GetResponse) *isrdv1.SetRequest {
		return &isrdv1.SetRequest{Key: k, RewriteOf: miss.GetBase(), RetryAfterMs: 1, LeaseToken: miss.GetLease().GetToken()}
	}
	tests := map[string]struct {
		key  string
		ends func(d *daemon, s *session, miss *isrdv1.GetResponse) error
	}{
		"a release that fails": {"/away", func(_ *daemon, s *session, miss *isrdv1.GetResponse) error {
			id := s.id()
			s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{
				Key: route("/away"), LeaseToken: miss.GetLease().GetToken(),
			}}})
			return refused(s.answer(id))
		}},
		"a set that fails": {"/away", func(_ *daemon, s *session, miss *isrdv1.GetResponse) error {
			id := s.id()
			s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Set{Set: rewrite(route("/away"), miss)}})
			return refused(s.answer(id))
		}},
		"a set beside the session that fails": {"/away", func(d *daemon, _ *session, miss *isrdv1.GetResponse) error {
			_, err := d.client.Set(d.t.Context(), rewrite(besides(route("/away")), miss))
			return err
		}},
		"a set beside the session": {"/large", func(d *daemon, _ *session, miss *isrdv1.GetResponse) error {
			_, err := d.client.Set(d.t.Context(), &isrdv1.SetRequest{
				Key: besides(route("/large")), Entry: page("x"), Base: miss.GetBase(), LeaseToken: miss.GetLease().GetToken(),
			})
			return err
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, server.Config{LeaseMax: time.Minute})
			s := d.open("shop")
			s.get(&isrdv1.GetRequest{Key: route("/held")})
			miss := s.get(&isrdv1.GetRequest{Key: route(tc.key)})
			if err := tc.ends(d, s, miss); (err != nil) != (tc.key == "/away") {
				t.Fatal(err)
			}
			for one := d.renewals.next(t); one.key != "/held"; one = d.renewals.next(t) { // the newest lease is renewed first
				t.Errorf("the lease of %s was to be renewed: %v", one.key, one.renewed)
			}
		})
	}
}

// refused gives a refusal as an error.
func refused(f *isrdv1.SessionResponse) error {
	if r := f.GetRefusal(); r != nil {
		return errors.New(r.GetMessage())
	}
	return nil
}

func TestEndOfASessionFreesItsLeases(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1")})
	b.recv() // waiting
	begin := time.Now()
	a.cancel()
	got := b.answer(id).GetGet()
	if got.GetLease().GetToken() == 0 {
		t.Errorf("got %v, want the lease of the session that ended", got)
	}
	if waited := time.Since(begin); waited > 5*time.Second {
		t.Errorf("granted after %v; that is the TTL, not the end of the session", waited)
	}
}

func TestCancelledGetLeavesNoLease(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	miss := a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1")})
	b.recv() // waiting
	b.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Cancel{Cancel: &isrdv1.Cancel{}}})
	if got := b.answer(id).GetRefusal(); codes.Code(got.GetCode()) != codes.Canceled {
		t.Errorf("the cancelled get was answered by %v", got)
	}
	id = a.id()
	a.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{Key: route("/p/1"), LeaseToken: miss.GetLease().GetToken()}}})
	if !a.answer(id).GetRelease().GetReleased() {
		t.Error("the holder could not release its lease")
	}
	if got := a.get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetLease().GetToken() == 0 {
		t.Errorf("after the release: %v", got)
	}
}

func TestLeasesAreRenewedWhileTheSessionLives(t *testing.T) {
	d := start(t, server.Config{LeaseMax: time.Minute})
	s := d.open("shop")
	s.get(&isrdv1.GetRequest{Key: route("/p")})
	d.renewals.await(t, leaseTTL)
}

func TestLeasesAreNotRenewedBeyondTheirLimit(t *testing.T) {
	d := start(t, server.Config{LeaseMax: time.Millisecond})
	a, b := d.open("shop"), d.open("shop")
	a.get(&isrdv1.GetRequest{Key: route("/p")})
	begin := time.Now()
	if got := b.get(&isrdv1.GetRequest{Key: route("/p")}); got.GetLease().GetToken() == 0 || time.Since(begin) < leaseTTL/2 {
		t.Errorf("after %v: %v", time.Since(begin), got)
	}
}
