package codec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isrd/isrd/daemon/internal/codec"
)

func newCoder(tb testing.TB, cfg codec.Config) *codec.Coder {
	tb.Helper()
	c, err := codec.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func appendFrame(tb testing.TB, c *codec.Coder, header []byte, parts ...[]byte) []byte {
	tb.Helper()
	frame, err := c.Append(nil, header, parts...)
	if err != nil {
		tb.Fatal(err)
	}
	return frame
}

func TestParse(t *testing.T) {
	for name, want := range map[string]codec.Codec{"none": codec.None, "gzip": codec.Gzip, "zstd": codec.Zstd} {
		got, err := codec.Parse(name)
		if err != nil || got != want || got.String() != name {
			t.Errorf("Parse(%q) = %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "default", "GZIP", "zstd-dict", "brotli"} {
		if got, err := codec.Parse(name); err == nil || got != codec.Default {
			t.Errorf("Parse(%q) = %v, %v, want an error", name, got, err)
		}
	}
}

// The numbers are stored: this test is to fail when one is changed.
func TestCodecNumbers(t *testing.T) {
	for i, want := range []string{"default", "none", "gzip", "zstd", "zstd-dict", "codec 5"} {
		if got := codec.Codec(i).String(); got != want {
			t.Errorf("codec number %d is %q, want %q", i, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name string
		cfg  codec.Config
		want []string // parts of the message
	}{
		{"reserved codec", codec.Config{Codec: codec.ZstdDict}, []string{"zstd-dict cannot be written"}},
		{"unknown codec", codec.Config{Codec: 200}, []string{"codec 200 cannot be written"}},
		{"level too low", codec.Config{GzipLevel: -1}, []string{"gzip level -1"}},
		{"level too high", codec.Config{GzipLevel: 10}, []string{"gzip level 10"}},
		{"negative limit", codec.Config{MaxDecodedBytes: -1}, []string{"-1 bytes"}},
		{"limit above what Redis takes", codec.Config{MaxDecodedBytes: 512<<20 + 1}, []string{"536870913 bytes"}},
		{"all at once", codec.Config{Codec: 9, GzipLevel: 99, MaxDecodedBytes: -7}, []string{"codec 9", "level 99", "-7 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := codec.New(tt.cfg)
			if err == nil || c != nil {
				t.Fatalf("New(%+v) = %v, %v, want an error", tt.cfg, c, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestGzipLevels(t *testing.T) {
	body := page(2, 120<<10)
	sizes := map[int]int{}
	for level := range 10 {
		c := newCoder(t, codec.Config{Codec: codec.Gzip, GzipLevel: level})
		frame := appendFrame(t, c, nil, body)
		checkDecode(t, c, frame, nil, body)
		sizes[level] = len(frame)
	}
	if sizes[0] != sizes[1] {
		t.Errorf("level 0 gives %d bytes and level 1 %d, want the same", sizes[0], sizes[1])
	}
	if sizes[9] >= sizes[1] {
		t.Errorf("level 9 gives %d bytes and level 1 %d, want fewer", sizes[9], sizes[1])
	}
}

func TestFormatErrorSaysWhatToDo(t *testing.T) {
	tests := []struct {
		err  codec.FormatError
		want string
	}{
		{codec.FormatError{Format: 2}, "format 2 was written by a newer isrd; upgrade this daemon or let it expire"},
		{codec.FormatError{Format: 1, Codec: codec.ZstdDict}, "zstd-dict was written by a newer isrd; upgrade this daemon or let it expire"},
		{codec.FormatError{Format: 1, Codec: 9}, "codec 9 was written by a newer isrd; upgrade this daemon or let it expire"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// wantError checks that err is of exactly one kind: target, or with a nil target a *FormatError.
func wantError(t *testing.T, err, target error) {
	t.Helper()
	var got []error
	for _, kind := range []error{codec.ErrTruncated, codec.ErrCorrupt, codec.ErrTooLarge} {
		if errors.Is(err, kind) {
			got = append(got, kind)
		}
	}
	var format *codec.FormatError
	if errors.As(err, &format) {
		got = append(got, nil)
	}
	if diff := cmp.Diff([]error{target}, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("error %v is of the wrong kind (nil: a FormatError): %s", err, diff)
	}
}
