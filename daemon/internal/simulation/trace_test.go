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
	text  bool
	buf   []byte
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// add notes one thing that happened.
func (t *trace) add(at time.Duration, kind string, details ...any) {
	b := strconv.AppendInt(t.buf[:0], int64(at/time.Microsecond), 10)
	b = append(append(b, ' '), kind...)
	for _, d := range details {
		b = append(b, ' ')
		switch d := d.(type) {
		case string:
			b = append(b, d...)
		case int:
			b = strconv.AppendInt(b, int64(d), 10)
		case uint64:
			b = strconv.AppendUint(b, d, 10)
		case bool:
			b = strconv.AppendBool(b, d)
		case time.Duration:
			b = strconv.AppendInt(b, int64(d/time.Microsecond), 10)
		default:
			b = fmt.Append(b, d)
		}
	}
	t.buf = b
	sum := max(t.sum, 1) ^ fnvOffset
	for _, c := range b {
		sum = (sum ^ uint64(c)) * fnvPrime
	}
	t.sum = sum
	if t.text {
		t.lines = append(t.lines, strings.ToValidUTF8(strings.ReplaceAll(string(b), "\x00", "␀"), "·"))
	}
}

// tail is the last lines.
func (t *trace) tail(n int) string {
	return strings.Join(t.lines[max(len(t.lines)-n, 0):], "\n")
}
