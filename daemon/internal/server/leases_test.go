package server_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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

func TestSocketOfABusyDaemonIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	open := func(kind int) int {
		fd, err := unix.Socket(unix.AF_UNIX, kind, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Close(fd); err != nil {
				t.Error(err)
			}
		})
		return fd
	}
	listener := open(unix.SOCK_STREAM)
	if err := unix.Bind(listener, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 0); err != nil {
		t.Fatal(err)
	}
	full := false
	for range 16 { // until nobody more can get in
		if err := unix.Connect(open(unix.SOCK_STREAM|unix.SOCK_NONBLOCK), &unix.SockaddrUnix{Name: path}); err != nil {
			full = true
			break
		}
	}
	if !full {
		t.Fatal("the backlog does not fill")
	}
	if l, err := server.Listen(t.Context(), "unix", path, 0o600); err == nil {
		t.Errorf("it was taken away: %v", l.Close())
	} else if !strings.Contains(err.Error(), "may belong to another daemon") {
		t.Error(err)
	}
}

func TestWhatACallMayNameIsBounded(t *testing.T) {
	d := start(t, server.Config{})
	many := make([]string, 2000)
	long := strings.Repeat("a", 8<<10)
	get := func(k *isrdv1.Key, soft ...string) error {
		_, err := d.client.Get(t.Context(), &isrdv1.GetRequest{Key: k, SoftTags: soft, NoLease: true})
		return err
	}
	app, build := besides(route("/p")), besides(route("/p"))
	app.App, build.Build.DeploymentId = long, long
	marks := make([]*isrdv1.Revalidation, 5000)
	for i := range marks {
		marks[i] = &isrdv1.Revalidation{Tag: "t"}
	}
	_, tooMany := d.client.Revalidate(t.Context(), &isrdv1.RevalidateRequest{App: "shop", Revalidations: marks})
	_, noBase := d.client.Set(t.Context(), &isrdv1.SetRequest{Key: besides(route("/p")), Entry: page("x")})
	for what, err := range map[string]error{
		"2000 soft tags": get(besides(route("/p")), many...), "a long soft tag": get(besides(route("/p")), long),
		"a long app": get(app), "a long build": get(build), "5000 marks": tooMany, "a set without a base": noBase,
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
}
