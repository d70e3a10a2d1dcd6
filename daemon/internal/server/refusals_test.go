package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/server"
)

func TestWhoIsRefused(t *testing.T) {
	d := start(t, server.Config{Apps: []string{"shop"}, Token: "s3cret"})
	with := func(change func(*isrdv1.Hello)) *isrdv1.Hello {
		h := hello("shop")
		h.Token = "s3cret"
		change(h)
		return h
	}
	tests := []struct {
		name  string
		hello *isrdv1.Hello
		code  codes.Code
		says  string
	}{
		{"wrong token", with(func(h *isrdv1.Hello) { h.Token = "guess" }), codes.Unauthenticated, "ISRD_TOKEN"},
		{"no token", with(func(h *isrdv1.Hello) { h.Token = "" }), codes.Unauthenticated, "ISRD_TOKEN"},
		{"another app", with(func(h *isrdv1.Hello) { h.App = "blog" }), codes.PermissionDenied, "--app"},
		{"no app", with(func(h *isrdv1.Hello) { h.App = "" }), codes.InvalidArgument, "ISRD_APP"},
		{"a protocol of the future", with(func(h *isrdv1.Hello) { h.ProtocolMin = 2 }), codes.FailedPrecondition, "upgrade"},
		{"no hello", nil, codes.FailedPrecondition, "hello"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := d.dial(test.hello)
			got := s.ended()
			if got.Code() != test.code || !strings.Contains(got.Message(), test.says) {
				t.Errorf("got %v: %s", got.Code(), got.Message())
			}
		})
	}
	if _, err := d.client.Get(t.Context(), &isrdv1.GetRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a unary call without a token: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer s3cret")
	if _, err := d.client.Get(ctx, &isrdv1.GetRequest{Key: &isrdv1.Key{App: "blog", Space: isrdv1.Space_SPACE_FETCH, Name: "x"}}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a unary call for another app: %v", err)
	}
}

func TestBadRequestIsRefusedAndTheSessionLives(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	bad := []*isrdv1.SessionRequest{
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{}}},
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: &isrdv1.Key{Name: "/x"}}}},
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: &isrdv1.Key{App: "blog", Space: 1, Name: "/x"}}}},
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: &isrdv1.Key{Space: -300, Name: "/x"}}}},
		{Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{Key: route("/x")}}},
		{Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{Key: route("/x"), Entry: &isrdv1.Entry{Kind: 1, Parts: []*isrdv1.Part{{SameAs: 1}}}}}},
		{Frame: &isrdv1.SessionRequest_Revalidate{Revalidate: &isrdv1.RevalidateRequest{Revalidations: []*isrdv1.Revalidation{{}}}}},
		{Frame: &isrdv1.SessionRequest_Revalidate{Revalidate: &isrdv1.RevalidateRequest{App: "blog"}}},
	}
	for _, f := range bad {
		f.Id = s.id()
		s.send(f)
		if got := s.answer(f.GetId()).GetRefusal(); got.GetMessage() == "" {
			t.Errorf("%v was not refused", f)
		}
	}
	s.send(&isrdv1.SessionRequest{Id: s.id()}) // a frame that this daemon does not know
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Ping{Ping: &isrdv1.Ping{}}})
	if s.answer(id).GetPong() == nil {
		t.Error("the session is dead")
	}
}

func TestPanicIsRefusedAndTheDaemonLives(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{Key: route("/panic"), LeaseToken: 1}}})
	if got := s.answer(id).GetRefusal(); codes.Code(got.GetCode()) != codes.Internal || strings.Contains(got.GetMessage(), "a bug") {
		t.Errorf("on the session: %v", got)
	}
	k := &isrdv1.Key{App: "shop", Space: isrdv1.Space_SPACE_ROUTE, Name: "/panic"}
	if _, err := d.client.Release(t.Context(), &isrdv1.ReleaseRequest{Key: k, LeaseToken: 1}); status.Code(err) != codes.Internal {
		t.Errorf("unary: %v", err)
	}
	if got := s.get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("afterwards: %v", got)
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
