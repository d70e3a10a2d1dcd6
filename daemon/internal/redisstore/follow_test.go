package redisstore

import (
	"testing"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// listener counts what it is told.
type listener struct{ events, loads, hints int }

func (l *listener) Event(tag.Event)                 { l.events++ }
func (l *listener) Load(tag.Snapshot, string)       { l.loads++ }
func (l *listener) Snapshot() tag.Snapshot          { return tag.Snapshot{} }
func (l *listener) Written(cache.ID, cache.Version) { l.hints++ }
func (l *listener) Released(cache.ID)               { l.hints++ }

func at(epoch, seq uint64, nonce, previous string) event {
	return event{Event: tag.Event{Position: tag.Position{Epoch: epoch, Seq: seq, Nonce: nonce}}, previous: previous}
}

func TestFollowTellsOnlyWhatFollows(t *testing.T) {
	for _, tc := range []struct {
		name  string
		event event
		told  bool
		fine  bool // nothing is missing before it
	}{
		{"the next event", at(7, 6, "n6", "n5"), true, true},
		{"the last event again", at(7, 5, "n5", "n4"), false, true},
		{"an event of long ago", at(7, 2, "n2", "n1"), false, true},
		{"another event with the last one's number", at(7, 5, "x5", "n4"), false, false},
		{"the next number after another past", at(7, 6, "x6", "x5"), false, false},
		{"an event too far", at(7, 7, "n7", "n6"), false, false},
		{"another epoch", at(8, 6, "n6", "n5"), false, false},
		{"an older epoch", at(6, 6, "n6", "n5"), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := new(listener)
			f := newFollow("shop", l)
			if f.event(tc.event) || l.events != 0 {
				t.Error("told before the first load")
			}
			f.hint(told{released: "0f"})
			f.load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 5, Nonce: "n5"}}, "begin")
			if fine := f.event(tc.event); fine != tc.fine || (l.events == 1) != tc.told {
				t.Errorf("fine %v, told %d; want %v, %v", fine, l.events, tc.fine, tc.told)
			}
			if l.hints != 0 {
				t.Error("a hint before the first load")
			}
		})
	}
}

// A load can be overtaken by events that came while it was on its way.
func TestFollowDoesNotGoBack(t *testing.T) {
	l := new(listener)
	f := newFollow("shop", l)
	f.load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 5, Nonce: "n5"}}, "begin")
	f.event(at(7, 6, "n6", "n5"))
	f.load(tag.Snapshot{Position: tag.Position{Epoch: 7, Seq: 5, Nonce: "n5"}}, "late")
	if p, _, _ := f.state(); p.Seq != 6 || l.loads != 1 {
		t.Errorf("back to %v", p)
	}
	f.load(tag.Snapshot{Position: tag.Position{Epoch: 8, Seq: 1, Nonce: "m1"}}, "anew")
	if p, _, _ := f.state(); p.Epoch != 8 || l.loads != 2 {
		t.Errorf("still at %v after the log began anew", p)
	}
}
