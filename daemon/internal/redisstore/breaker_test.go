package redisstore

import (
	"errors"
	"slices"
	"testing"
)

func TestBreaker(t *testing.T) {
	var told []bool
	b := breaker{onChange: func(open bool) { told = append(told, open) }}
	fail := func(times int) {
		for range times {
			b.failed()
		}
	}
	fail(10)
	if err := b.allow(); err != nil {
		t.Errorf("open with nobody to close it again: %v", err)
	}
	b.arm(true)
	fail(tripAfter - 1)
	b.answered()
	fail(tripAfter - 1)
	if err := b.allow(); err != nil {
		t.Errorf("open although an answer came between: %v", err)
	}
	fail(1)
	if err := b.allow(); !errors.Is(err, errOpen) {
		t.Errorf("after %d failures in succession: %v", tripAfter, err)
	}
	b.answered()
	fail(tripAfter)
	b.arm(false) // the daemon stops while redis is away
	if err := b.allow(); err != nil {
		t.Errorf("open with nobody to close it again: %v", err)
	}
	if want := []bool{true, false, true}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v: stopping is no answer", told, want)
	}
}
