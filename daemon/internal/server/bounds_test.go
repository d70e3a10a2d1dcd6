package server

import (
	"strings"
	"testing"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

func TestEventsAreSentInFramesOfBoundedSize(t *testing.T) {
	var events []*isrdv1.Event
	for seq := range uint64(30) {
		marks := []*isrdv1.TagMark{{Tag: strings.Repeat("t", 100<<10)}}
		events = append(events, &isrdv1.Event{Position: &isrdv1.Position{Seq: seq}, Marks: marks})
	}
	frames := inFrames(events)
	if len(frames) != 3 {
		t.Errorf("3 MiB of events in %d frames", len(frames))
	}
	next := uint64(0)
	for _, frame := range frames {
		for _, e := range frame {
			if e.GetPosition().GetSeq() != next {
				t.Fatalf("event %d where %d was due", e.GetPosition().GetSeq(), next)
			}
			next++
		}
	}
	if next != 30 || inFrames(nil) != nil {
		t.Errorf("%d events of 30; none give %v", next, inFrames(nil))
	}
}

func TestLeasesThatAreOverAreForgotten(t *testing.T) {
	var l leases
	add := func(name string, ttl time.Duration) {
		l.add(held{key: cache.Key{App: "shop", Space: cache.Route, Name: name}, expires: time.Now().Add(ttl)})
	}
	add("living", time.Hour)
	for i := range 10 * sweepFrom {
		add(strings.Repeat("x", i+1), -time.Second)
	}
	if len(l.keys) > sweepFrom {
		t.Errorf("%d leases are kept, 1 lives", len(l.keys))
	}
	if living := l.living(); len(living) != 1 || living[0].key.Name != "living" {
		t.Errorf("living: %v", living)
	}
}
