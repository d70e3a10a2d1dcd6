package codec

import (
	"bytes"
	"testing"
)

func TestHead(t *testing.T) {
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	header := bytes.Repeat([]byte("header"), 100)
	frame, err := c.Append(nil, header, bytes.Repeat([]byte("body"), 1000))
	if err != nil {
		t.Fatal(err)
	}
	for n := range frame {
		got, ok := c.Head(frame[:n])
		if ok && (!bytes.HasPrefix(header, got) || len(got) > n) {
			t.Fatalf("of %d bytes: %q", n, got)
		}
		if n > len(header)+maxPrefix && (!ok || !bytes.Equal(got, header)) {
			t.Fatalf("of %d bytes: %q, %v; want the whole header", n, got, ok)
		}
	}
	if _, ok := c.Head([]byte{format1 + 1, 0, 1, 1, 1, 1}); ok {
		t.Error("a later format was read")
	}
}
