package simulation_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// trace is what happened, as a sum, and as text if it is to be read.
type trace struct {
	sum   uint64
	lines []string
	buf   []byte
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// add notes one thing that happened.
func (t *trace) add(at time.Duration, kind string, details ...any) {
	t.buf = strconv.AppendInt(t.buf[:0], int64(at/time.Microsecond), 10)
	t.buf = append(append(t.buf, ' '), kind...)
	for _, d := range details {
		t.detail(d)
	}
	sum := max(t.sum, 1) ^ fnvOffset
	for _, c := range t.buf {
		sum = (sum ^ uint64(c)) * fnvPrime
	}
	t.sum = sum
	t.lines = append(t.lines, string(t.buf))
}

// longest is how much of a text is shown.
const longest = 60

func (t *trace) detail(d any) {
	t.buf = append(t.buf, ' ')
	switch d := d.(type) {
	case string:
		if len(d) > longest {
			t.buf = append(append(append(t.buf, d[:longest/2]...), '~'), d[len(d)-longest/2:]...)
		} else {
			t.buf = append(t.buf, d...)
		}
	case []string:
		for _, one := range d {
			t.detail(one)
		}
	case []any:
		for _, one := range d {
			t.detail(one)
		}
	case int:
		t.buf = strconv.AppendInt(t.buf, int64(d), 10)
	case int64:
		t.buf = strconv.AppendInt(t.buf, d, 10)
	case uint64:
		t.buf = strconv.AppendUint(t.buf, d, 10)
	case bool:
		t.buf = strconv.AppendBool(t.buf, d)
	case time.Duration:
		t.buf = strconv.AppendInt(t.buf, int64(d/time.Microsecond), 10)
	case nil:
		t.buf = append(t.buf, '-')
	default:
		t.buf = fmt.Append(t.buf, d)
	}
}

var readable = strings.NewReplacer("\x00", "␀", "\n", "⏎")

// tail is the last lines; 0: all.
func (t *trace) tail(n int) string {
	if n == 0 {
		n = len(t.lines)
	}
	var b strings.Builder
	for _, l := range t.lines[max(len(t.lines)-n, 0):] {
		b.WriteString(readable.Replace(strings.ToValidUTF8(l, "·")) + "\n")
	}
	return b.String()
}
