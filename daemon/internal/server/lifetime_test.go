package server_test

import (
	"testing"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/server"
)

func TestLifetimeBeganWithTheRender(t *testing.T) {
	d := start(t, server.Config{})
	a := d.open("shop")
	revalidate, expire, stale := uint32(60), uint32(0xfffffffe), uint32(300)
	for _, test := range []struct {
		name   string
		age    uint32
		status isrdv1.Status
		reason isrdv1.Reason
	}{
		{"new", 0, isrdv1.Status_STATUS_HIT, isrdv1.Reason_REASON_UNSPECIFIED},
		{"almost over", 30_000, isrdv1.Status_STATUS_HIT, isrdv1.Reason_REASON_UNSPECIFIED},
		{"over when it was written", 60_000, isrdv1.Status_STATUS_STALE, isrdv1.Reason_REASON_REVALIDATE},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := &isrdv1.Key{Space: isrdv1.Space_SPACE_USE_CACHE, Name: test.name}
			e := &isrdv1.Entry{
				Kind: isrdv1.Kind_KIND_USE_CACHE, Parts: []*isrdv1.Part{{Name: "value", Data: []byte("x")}},
				Lifetime: &isrdv1.Lifetime{RevalidateSeconds: &revalidate, ExpireSeconds: &expire, StaleSeconds: &stale},
			}
			miss := a.get(&isrdv1.GetRequest{Key: k})
			id := a.id()
			a.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{
				Key: k, Entry: e, Base: miss.GetBase(), LeaseToken: miss.GetLease().GetToken(), AgeMs: test.age,
			}}})
			if out := a.answer(id).GetSet(); out.GetOutcome() != isrdv1.Outcome_OUTCOME_ACCEPTED {
				t.Fatalf("set: %v", out)
			}
			got := a.get(&isrdv1.GetRequest{Key: k})
			if got.GetStatus() != test.status || got.GetReason() != test.reason {
				t.Errorf("got %v (%v), want %v (%v)", got.GetStatus(), got.GetReason(), test.status, test.reason)
			}
			if l := got.GetEntry().GetLifetime(); l.GetRevalidateSeconds() != revalidate || l.GetExpireSeconds() != expire || l.GetStaleSeconds() != stale {
				t.Errorf("lifetime %v is not what was written", l)
			}
		})
	}
}
