package tag_test

import (
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

func TestMarkAt(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   tag.Revalidation
		want tag.Mark
	}{
		{"at once", tag.Revalidation{Tag: "t"}, tag.Mark{Tag: "t"}},
		{"at once, whatever Expire says", tag.Revalidation{Tag: "t", Expire: time.Hour}, tag.Mark{Tag: "t"}},
		{"later", tag.Revalidation{Tag: "t", Soft: true, Expire: time.Minute}, tag.Mark{Tag: "t", Soft: true, ExpireAt: start + 60_000}},
		{"stale now, expired now", tag.Revalidation{Tag: "t", Soft: true}, tag.Mark{Tag: "t", Soft: true, ExpireAt: start}},
		{"never", tag.Revalidation{Tag: "t", Soft: true, Expire: tag.ForEver}, tag.Mark{Tag: "t", Soft: true, ExpireAt: tag.Never}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.in.MarkAt(start); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestPositionBefore(t *testing.T) {
	for _, tc := range []struct {
		p, q tag.Position
		want bool
	}{
		{tag.Position{Epoch: 1, Seq: 2}, tag.Position{Epoch: 1, Seq: 3}, true},
		{tag.Position{Epoch: 1, Seq: 3}, tag.Position{Epoch: 1, Seq: 3, Nonce: "x"}, false},
		{tag.Position{Epoch: 1, Seq: 9}, tag.Position{Epoch: 2, Seq: 1}, true},
		{tag.Position{Epoch: 2, Seq: 1}, tag.Position{Epoch: 1, Seq: 9}, false},
	} {
		if got := tc.p.Before(tc.q); got != tc.want {
			t.Errorf("%v before %v: got %v", tc.p, tc.q, got)
		}
	}
}
