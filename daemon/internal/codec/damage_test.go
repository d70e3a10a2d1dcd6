package codec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/isrd/isrd/daemon/internal/codec"
)

func TestTruncated(t *testing.T) {
	for name, cfg := range allConfigs {
		t.Run(name, func(t *testing.T) {
			c := newCoder(t, cfg)
			frame := appendFrame(t, c, []byte("header"), page(7, 2000))
			for n := range frame {
				if _, _, err := c.Decode(frame[:n]); !errors.Is(err, codec.ErrTruncated) {
					t.Fatalf("Decode of %d of %d bytes: %v", n, len(frame), err)
				}
				if _, err := c.DecodeHeader(frame[:n]); !errors.Is(err, codec.ErrTruncated) {
					t.Fatalf("DecodeHeader of %d of %d bytes: %v", n, len(frame), err)
				}
			}
			_, _, err := c.Decode(append(bytes.Clone(frame), 0))
			wantError(t, err, codec.ErrCorrupt)
		})
	}
}

func TestEveryBitFlip(t *testing.T) {
	for name, cfg := range allConfigs {
		t.Run(name, func(t *testing.T) {
			c := newCoder(t, cfg)
			frame := appendFrame(t, c, []byte("header"), page(8, 2000))
			for bit := range len(frame) * 8 {
				frame[bit/8] ^= 1 << (bit % 8)
				header, body, err := c.Decode(frame)
				// Damage in a length may look like a lost end.
				if !errors.Is(err, codec.ErrCorrupt) && !errors.Is(err, codec.ErrTruncated) || header != nil || body != nil {
					t.Fatalf("bit %d of byte %d flipped: header %q, body of %d bytes, error %v", bit%8, bit/8, header, len(body), err)
				}
				if _, err := c.DecodeHeader(frame); err == nil {
					t.Fatalf("bit %d of byte %d flipped: DecodeHeader saw nothing", bit%8, bit/8)
				}
				frame[bit/8] ^= 1 << (bit % 8)
			}
		})
	}
}

// refused is a frame whose checksum is right, so that what it says is judged.
type refused struct {
	name   string
	frame  []byte
	want   error // nil: a *FormatError
	header bool  // DecodeHeader works
}

const refusedLimit = 1 << 20

var hello = []byte("hello")

// checkRefused expects the header hello in frames whose header can be read.
func checkRefused(t *testing.T, tests []refused) {
	t.Helper()
	c := newCoder(t, codec.Config{MaxDecodedBytes: refusedLimit})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header, body, err := c.Decode(tt.frame)
			wantError(t, err, tt.want)
			if header != nil || body != nil {
				t.Errorf("got a header of %d bytes and a body of %d bytes beside the error", len(header), len(body))
			}
			header, err = c.DecodeHeader(tt.frame)
			if got := err == nil; got != tt.header || got && !bytes.Equal(header, hello) {
				t.Errorf("DecodeHeader = %q, %v, want it to work: %t", header, err, tt.header)
			}
		})
	}
}

func TestFutureFrames(t *testing.T) {
	checkRefused(t, []refused{
		{"format 0", frameOf(0, 1, hello, 5, hello), nil, false},
		{"format 2", frameOf(2, 1, hello, 5, hello), nil, false},
		{"format 255, another layout", seal([]byte{255, 1, 2, 3, 4, 5, 6}), nil, false},
		{"reserved codec", frameOf(1, 4, hello, 5, hello), nil, true},
		{"future codec", frameOf(1, 5, hello, 5, hello), nil, true},
		{"future codec, large", frameOf(1, 255, hello, 1<<60, hello), nil, true},
	})
}

func TestLengthsThatDoNotFit(t *testing.T) {
	lengths := func(lengths ...uint64) []byte {
		b := []byte{1, 1}
		for _, n := range lengths {
			b = binary.AppendUvarint(b, n)
		}
		return seal(append(b, hello...))
	}
	checkRefused(t, []refused{
		{"header longer than the frame", lengths(6, 0, 0), codec.ErrCorrupt, false},
		{"header of 2^63", lengths(1<<63, 0, 0), codec.ErrCorrupt, false},
		{"body longer than the frame", lengths(0, 6, 6), codec.ErrCorrupt, false},
		{"body shorter than the frame", lengths(0, 4, 4), codec.ErrCorrupt, false},
		{"header and body wrap around", lengths(6, 5, 1<<64-1), codec.ErrCorrupt, false},
		{"length above 64 bits", seal(append([]byte{1, 1}, bytes.Repeat([]byte{255}, 20)...)), codec.ErrCorrupt, false},
		{"lengths missing", seal([]byte{1, 1, 0, 0, 255}), codec.ErrCorrupt, false},
		{"shorter than any frame", seal([]byte{1, 1}), codec.ErrTruncated, false},
	})
}

func TestBodiesThatDoNotFit(t *testing.T) {
	gzipped, zstded := gzipOf(t, hello), zstdOf(t, hello)
	withDict := zstdOf(t, page(9, 8<<10), zstd.WithEncoderDictRaw(77, page(10, 8<<10)))
	checkRefused(t, []refused{
		{"no codec", frameOf(1, 0, hello, 5, hello), codec.ErrCorrupt, true},
		{"none, declared longer", frameOf(1, 1, hello, 6, hello), codec.ErrCorrupt, true},
		{"none, declared shorter", frameOf(1, 1, hello, 4, hello), codec.ErrCorrupt, true},
		{"gzip, declared longer", frameOf(1, 2, hello, 6, gzipped), codec.ErrCorrupt, true},
		{"gzip, declared shorter", frameOf(1, 2, hello, 4, gzipped), codec.ErrCorrupt, true},
		{"gzip, is none", frameOf(1, 2, hello, 5, hello), codec.ErrCorrupt, true},
		{"gzip, empty", frameOf(1, 2, hello, 5, nil), codec.ErrCorrupt, true},
		{"gzip, garbage behind", frameOf(1, 2, hello, 5, slices.Concat(gzipped, hello)), codec.ErrCorrupt, true},
		{"zstd, declared longer", frameOf(1, 3, hello, 6, zstded), codec.ErrCorrupt, true},
		{"zstd, declared shorter", frameOf(1, 3, hello, 4, zstded), codec.ErrCorrupt, true},
		{"zstd, is none", frameOf(1, 3, hello, 5, hello), codec.ErrCorrupt, true},
		{"zstd, empty", frameOf(1, 3, hello, 5, nil), codec.ErrCorrupt, true},
		{"zstd, garbage behind", frameOf(1, 3, hello, 5, slices.Concat(zstded, hello)), codec.ErrCorrupt, true},
		{"zstd, wants a dictionary", frameOf(1, 3, hello, 8<<10, withDict), codec.ErrCorrupt, true},
	})
}

func TestBombs(t *testing.T) {
	const size = 8 * refusedLimit
	zeros := make([]byte, size)
	gzipped, zstded, streamed := gzipOf(t, zeros), zstdOf(t, zeros), zstdStreamOf(t, zeros)
	checkRefused(t, []refused{
		{"none", frameOf(1, 1, hello, refusedLimit+1, zeros[:refusedLimit+1]), codec.ErrTooLarge, true},
		{"gzip that says so", frameOf(1, 2, hello, size, gzipped), codec.ErrTooLarge, true},
		{"gzip that hides it", frameOf(1, 2, hello, 100, gzipped), codec.ErrCorrupt, true},
		{"zstd that says so", frameOf(1, 3, hello, size, zstded), codec.ErrTooLarge, true},
		{"zstd that hides it", frameOf(1, 3, hello, 100, zstded), codec.ErrCorrupt, true},
		{"zstd that hides it in both headers", frameOf(1, 3, hello, 100, streamed), codec.ErrCorrupt, true},
		{"2^64-1 bytes", frameOf(1, 3, hello, 1<<64-1, hello), codec.ErrTooLarge, true},
	})
}

// What is refused or hidden costs no memory: a daemon must survive a Redis that somebody else writes to.
func TestBombsAllocateNothing(t *testing.T) {
	zeros := make([]byte, 32<<20)
	gzipped, zstded, streamed := gzipOf(t, zeros), zstdOf(t, zeros), zstdStreamOf(t, zeros)
	c := newCoder(t, codec.Config{})
	for name, frame := range map[string][]byte{
		"says so":                frameOf(1, 3, nil, 500<<20, hello),
		"gzip that hides it":     frameOf(1, 2, nil, 100, gzipped),
		"zstd that hides it":     frameOf(1, 3, nil, 100, zstded),
		"streamed and hides it":  frameOf(1, 3, nil, 100, streamed),
		"streamed, says a third": frameOf(1, 3, nil, 300<<10, streamed),
	} {
		t.Run(name, func(t *testing.T) {
			const runs, most = 10, 1 << 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				if _, _, err := c.Decode(frame); err == nil {
					t.Fatal("no error")
				}
			}
			runtime.ReadMemStats(&after)
			if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > most {
				t.Errorf("a refused frame allocates %d bytes, want at most %d", got, most)
			}
		})
	}
}

// frameOf lays out a frame with a valid checksum, whatever it says.
func frameOf(format, method byte, header []byte, size uint64, stored []byte) []byte {
	b := []byte{format, method}
	b = binary.AppendUvarint(b, uint64(len(header)))
	b = binary.AppendUvarint(b, size)
	b = binary.AppendUvarint(b, uint64(len(stored)))
	b = append(append(b, header...), stored...)
	return seal(b)
}

func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func zstdOf(t *testing.T, b []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(b, nil)
}

// zstdStreamOf compresses without saying how long the result will be.
func zstdStreamOf(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	enc, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, half := range [][]byte{b[:len(b)/2], b[len(b)/2:]} {
		if _, err := enc.Write(half); err != nil {
			t.Fatal(err)
		}
		if err := enc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipOf(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
