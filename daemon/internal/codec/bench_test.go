package codec_test

import (
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/isrd/isrd/daemon/internal/codec"
)

// Run with:
//
//	go test -run '^$' -bench . -benchmem ./daemon/internal/codec
//
// The results are in the package comment. "saved-%" is how much smaller the frame is than the page.

var benchConfigs = []struct {
	name string
	cfg  codec.Config
}{
	{"none", codec.Config{Codec: codec.None}},
	{"gzip-1", codec.Config{Codec: codec.Gzip}},
	{"gzip-6", codec.Config{Codec: codec.Gzip, GzipLevel: 6}},
	{"zstd", codec.Config{Codec: codec.Zstd}},
}

var benchSizes = []int{28 << 10, 120 << 10, 600 << 10}

// benchCase is one page with one codec.
type benchCase struct {
	name                string
	coder               *codec.Coder
	header, body, frame []byte
}

func benchCases(b *testing.B) []benchCase {
	b.Helper()
	var cases []benchCase
	header := page(1, 0)[:300]
	for _, bc := range benchConfigs {
		for _, size := range benchSizes {
			c := newCoder(b, bc.cfg)
			body := page(7, size)[:size]
			name := fmt.Sprintf("%s/%dKB", bc.name, size>>10)
			cases = append(cases, benchCase{name, c, header, body, appendFrame(b, c, header, body)})
		}
	}
	return cases
}

func BenchmarkAppend(b *testing.B) {
	for _, bc := range benchCases(b) {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.body)))
			dst := make([]byte, 0, 2*len(bc.body))
			for b.Loop() {
				if _, err := bc.coder.Append(dst, bc.header, bc.body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(100*(1-float64(len(bc.frame))/float64(len(bc.body))), "saved-%")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bc := range benchCases(b) {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.body)))
			for b.Loop() {
				if _, _, err := bc.coder.Decode(bc.frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeHeader(b *testing.B) {
	for _, bc := range benchCases(b) {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.frame)))
			for b.Loop() {
				if _, err := bc.coder.DecodeHeader(bc.frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParallel writes and reads on all CPUs at once, as a daemon under load does.
func BenchmarkParallel(b *testing.B) {
	for _, bc := range benchCases(b) {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.body)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					frame, err := bc.coder.Append(nil, bc.header, bc.body)
					if err == nil {
						_, _, err = bc.coder.Decode(frame)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkZstdLevel is what the level of zstd was chosen by.
func BenchmarkZstdLevel(b *testing.B) {
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%dKB", level, size>>10), func(b *testing.B) {
				enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false))
				if err != nil {
					b.Fatal(err)
				}
				body := page(7, size)[:size]
				dst := enc.EncodeAll(body, nil)
				b.SetBytes(int64(size))
				for b.Loop() {
					dst = enc.EncodeAll(body, dst[:0])
				}
				b.ReportMetric(100*(1-float64(len(dst))/float64(size)), "saved-%")
			})
		}
	}
}
