package redisstore

import (
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// What members say arrives on another connection than the reply to an append, and may be faster.
func TestAcknowledgementBeforeTheAppendReturns(t *testing.T) {
	reply := func() members {
		return members{of: map[string]member{"other": {until: time.Now().Add(time.Minute), told: 4}}}
	}
	for _, tc := range []struct {
		name  string
		said  acknowledged
		waits bool
		sure  bool
	}{
		{"of this event", acknowledged{"other", 5}, false, true},
		{"of a later one", acknowledged{"other", 6}, false, true},
		{"of one that is not known here", acknowledged{"other", 8}, false, false},
		{"of the one before", acknowledged{"other", 4}, true, false},
		{"by somebody else", acknowledged{"stranger", 9}, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAwaits()
			a.heard(tc.said)
			a.add(tag.Position{Epoch: 1, Seq: 5}, reply())
			left, silent, _, ok := a.left("me", 5, 7)
			if !ok || (left > 0) != tc.waits || silent == tc.sure {
				t.Errorf("left %v, silent %v, known %v; waits: %v, sure: %v", left, silent, ok, tc.waits, tc.sure)
			}
		})
	}
}
