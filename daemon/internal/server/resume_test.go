package server_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/server"
)

// resume dials as a client whose stream broke, and takes the welcome.
func (d *daemon) resume(r *isrdv1.Resume) (*session, *isrdv1.Welcome) {
	d.t.Helper()
	h := hello("shop")
	h.Resume = r
	s := d.dial(h)
	w := s.recv().GetWelcome()
	if w == nil {
		d.t.Fatal("the first frame is no welcome")
	}
	return s, w
}

// ping gives what the client's memory is vouched for.
func (s *session) ping() *isrdv1.Pong {
	s.t.Helper()
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Ping{Ping: &isrdv1.Ping{}}})
	return s.answer(id).GetPong()
}

func TestResumedSessionGetsWhatItMissed(t *testing.T) {
	d := start(t, server.Config{})
	_, first := d.resume(nil)
	other := d.open("shop")
	var last *isrdv1.Position
	for _, tag := range []string{"a", "b", "c"} {
		last = other.revalidate(tag).GetPosition()
	}
	s, w := d.resume(&isrdv1.Resume{SessionId: first.GetSessionId(), Position: first.GetPosition()})
	if !w.GetResumed() || !proto.Equal(w.GetPosition(), last) {
		t.Fatalf("welcome %v, want it resumed, at %v", w, last)
	}
	events := s.recv().GetEvents().GetEvents()
	if len(events) != 3 || events[0].GetMarks()[0].GetTag() != "a" || !proto.Equal(events[2].GetPosition(), last) {
		t.Errorf("missed %v", events)
	}
	if next := other.revalidate("d"); s.recv().GetEvents().GetEvents()[0].GetPosition().GetSeq() != next.GetPosition().GetSeq() {
		t.Error("the next event does not follow")
	}
}

func TestWhatCannotBeResumedIsNot(t *testing.T) {
	d := start(t, server.Config{})
	_, first := d.resume(nil)
	if first.GetResumed() {
		t.Error("a new session is resumed")
	}
	for name, p := range map[string]*isrdv1.Position{
		"nothing known":  nil,
		"another epoch":  {Epoch: first.GetPosition().GetEpoch() - 1, Seq: first.GetPosition().GetSeq()},
		"another nonce":  {Epoch: first.GetPosition().GetEpoch(), Seq: first.GetPosition().GetSeq(), Nonce: "x"},
		"of the future":  {Epoch: first.GetPosition().GetEpoch(), Seq: first.GetPosition().GetSeq() + 1},
		"from elsewhere": {Epoch: 1, Seq: 1},
	} {
		if _, w := d.resume(&isrdv1.Resume{Position: p}); w.GetResumed() {
			t.Errorf("%s: resumed", name)
		}
	}
}

func TestMemoryOfClientsIsVouchedFor(t *testing.T) {
	d := start(t, server.Config{})
	var w *isrdv1.Welcome
	inTime(t, "vouched for at least 500 ms", func() bool { // a part is over if the machine stood still
		var s *session
		s, w = d.resume(nil)
		least := uint32(1000)
		for what, ms := range map[string]uint32{"welcome": w.GetValidityMs(), "pong": s.ping().GetValidityMs()} {
			if ms > 1000 {
				t.Errorf("%s: vouched for %d ms, want up to 1000", what, ms)
			}
			least = min(least, ms)
		}
		return least >= 500
	})
	if interval := w.GetPingIntervalMs(); interval < 100 || interval > 300 {
		t.Errorf("pings every %d ms: the second must be renewed while it lasts", interval)
	}
}

// inTime fails if something does not come in time three times in a row: once, the machine may have stood still.
func inTime(t *testing.T, what string, try func() bool) {
	t.Helper()
	for range 3 {
		if try() {
			return
		}
	}
	t.Errorf("not once in three times: %s", what)
}

// promised pings until the client is promised a good part of the bound, and returns until when at least.
func (s *session) promised() time.Time {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		asked := time.Now()
		if ms := s.ping().GetValidityMs(); ms >= 500 {
			return asked.Add(time.Duration(ms) * time.Millisecond)
		}
	}
	s.t.Fatal("the client is promised nothing, or little")
	return time.Time{}
}

// A client that holds old content by a promise is waited for, and one that acknowledges is not.
func TestRevalidationWaitsForClients(t *testing.T) {
	d := start(t, server.Config{})
	good, deaf, other := d.open("shop"), d.open("shop"), d.open("shop")
	atOnce := func(tag string) bool {
		begin := time.Now()
		other.revalidate(tag)
		took := time.Since(begin)
		t.Logf("%s took %v", tag, took)
		return took <= 500*time.Millisecond
	}
	inTime(t, "nobody is waited for with clients that acknowledge", func() bool {
		good.promised()
		deaf.promised()
		return atOnce("a")
	})
	deaf.deaf.Store(true)
	until := deaf.promised()
	other.revalidate("b")
	if left := time.Until(until); left > 0 || left < -2*time.Second {
		t.Errorf("returned %v before what a client was promised was over", left)
	}
	// From then on it is promised nothing, so that it holds up nobody.
	for deadline := time.Now().Add(patience); deaf.ping().GetValidityMs() != 0; {
		if time.Now().After(deadline) {
			t.Fatal("a client that acknowledges nothing is vouched for again and again")
		}
	}
	other.revalidate("c") // what it was promised last may not be over
	inTime(t, "nobody waits again for a client that acknowledges nothing", func() bool {
		good.promised()
		deaf.ping()
		return atOnce("d")
	})
	good.promised()
}

func TestLeasesAreClaimedByTheNextSession(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	mine, theirs, lost := route("/mine"), route("/theirs"), route("/lost")
	token := a.get(&isrdv1.GetRequest{Key: mine}).GetLease().GetToken()
	taken := b.get(&isrdv1.GetRequest{Key: theirs}).GetLease().GetToken()
	s, w := d.resume(&isrdv1.Resume{Leases: []*isrdv1.LeaseClaim{
		{Key: mine, LeaseToken: token}, {Key: theirs, LeaseToken: taken - 1}, {Key: lost}, {Key: &isrdv1.Key{App: "blog", Name: "/x", Space: isrdv1.Space_SPACE_ROUTE}, LeaseToken: 1},
	}})
	if len(w.GetLeases()) != 1 || w.GetLeases()[0].GetKey().GetName() != "/mine" || w.GetLeases()[0].GetLeaseToken() != token || w.GetLeases()[0].GetGrantedToken() <= token {
		t.Fatalf("claimed %v, want /mine with a new token", w.GetLeases())
	}
	// What is left of the session before cannot end the lease; the end of the new one does.
	a.cancel()
	id := b.sendGet(&isrdv1.GetRequest{Key: mine})
	if f := b.recv(); f.GetWaiting() == nil {
		t.Fatalf("while it is claimed: %v", f)
	}
	s.cancel()
	if got := b.answer(id).GetGet(); got.GetLease().GetToken() == 0 {
		t.Errorf("after the session that claimed it: %v", got)
	}
}

func TestStoppingDaemonKeepsLeasesForAWhile(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	s.get(&isrdv1.GetRequest{Key: route("/p")})
	before := d.releases.Load()
	d.stop()
	s.ended()
	d.renewals.await(t, 5*time.Second)
	if n := d.releases.Load() - before; n != 0 {
		t.Errorf("%d leases were released although their holder lives", n)
	}
}

func TestCompletedRendersWithoutAWriteMakeAKeyUncacheable(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	k := route("/dynamic")
	for range 3 {
		miss := s.get(&isrdv1.GetRequest{Key: k})
		id := s.id()
		s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{
			Key: k, LeaseToken: miss.GetLease().GetToken(), Completed: true,
		}}})
		if !s.answer(id).GetRelease().GetReleased() {
			t.Fatal("not released")
		}
	}
	if got := s.get(&isrdv1.GetRequest{Key: k}); got.GetReason() != isrdv1.Reason_REASON_UNCACHEABLE || got.GetLease() != nil || got.GetBase() == nil {
		t.Errorf("got %v", got)
	}
}
