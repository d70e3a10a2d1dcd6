package codec_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/isrd/isrd/daemon/internal/codec"
)

var allConfigs = map[string]codec.Config{
	"zero": {},
	"none": {Codec: codec.None},
	"gzip": {Codec: codec.Gzip},
	"zstd": {Codec: codec.Zstd},
}

// codecOf reads the byte of a frame that names the codec.
func codecOf(frame []byte) codec.Codec { return codec.Codec(frame[1]) }

func checkDecode(t *testing.T, c *codec.Coder, frame, header, body []byte) {
	t.Helper()
	gotHeader, gotBody, err := c.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	if gotHeader == nil || !bytes.Equal(gotHeader, header) {
		t.Errorf("header: %s", cmp.Diff(header, gotHeader))
	}
	if gotBody == nil || !bytes.Equal(gotBody, body) {
		t.Errorf("body of %d bytes is not the one of %d bytes that was written", len(gotBody), len(body))
	}
	onlyHeader, err := c.DecodeHeader(frame)
	if err != nil {
		t.Fatal(err)
	}
	if onlyHeader == nil || !bytes.Equal(onlyHeader, header) {
		t.Errorf("DecodeHeader: %s", cmp.Diff(header, onlyHeader))
	}
}

func noise(size int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, size)
	_, _ = r.Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	text := page(3, 150<<10)
	tests := []struct {
		name   string
		header []byte
		parts  [][]byte
		small  bool // compression helps
	}{
		{"nothing", nil, nil, false},
		{"empty parts", []byte("h"), [][]byte{nil, {}, nil}, false},
		{"only a header", noise(3000), nil, false},
		{"no header", nil, [][]byte{text[:5000]}, true},
		{"one byte", []byte("h"), [][]byte{{0}}, false},
		{"too short to shrink", []byte("h"), [][]byte{[]byte("hello")}, false},
		{"noise", []byte("h"), [][]byte{noise(5000), noise(10)}, false},
		{"zeros", []byte("h"), [][]byte{make([]byte, 3<<20)}, true},
		{"page", []byte("h"), [][]byte{text}, true},
		{"page in parts", text[:300], [][]byte{text[:1], nil, text[1:70_000], text[70_000:]}, true},
		{"more than the pool keeps", nil, [][]byte{noise(3 << 20), text}, true},
		{"several blocks", []byte("h"), [][]byte{text, noise(1 << 20), text, text}, true},
	}
	for name, cfg := range allConfigs {
		c := newCoder(t, cfg)
		others := map[string]*codec.Coder{}
		for other, cfg := range allConfigs {
			others[other] = newCoder(t, cfg)
		}
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				body := bytes.Join(tt.parts, nil)
				frame := appendFrame(t, c, tt.header, tt.parts...)
				want := codec.None
				if tt.small && name != "none" {
					want = max(codec.Gzip, cfg.Codec)
					if name == "zero" {
						want = codec.Zstd
					}
				}
				if got := codecOf(frame); got != want {
					t.Errorf("stored as %v, want %v", got, want)
				}
				if limit := len(tt.header) + len(body) + 32; len(frame) > limit {
					t.Errorf("frame of %d bytes, want at most %d", len(frame), limit)
				}
				for other, c := range others { // a rolling change of the codec
					t.Run("read by "+other, func(t *testing.T) { checkDecode(t, c, frame, tt.header, body) })
				}
			})
		}
	}
}

// Frames as the first release wrote them: every later one has to read them.
func TestGolden(t *testing.T) {
	body := bytes.Repeat([]byte("isrd "), 20)
	tests := map[string]string{
		"none": "01010464646865616469737264206973726420697372642069737264206973726420697372642069737264206973726420697372" +
			"642069737264206973726420697372642069737264206973726420697372642069737264206973726420697372642069737264206973726420ab6d0ab7",
		"gzip": "0102046445686561641f8b080000096e8804ff04c0310d000000c2302b88e3e1ddfc2774d24c9a49336926cda499349366d2" +
			"4c9a49336926cda499349366d24c9a4933693e00c2c2f6fb64000000604f22c2",
		"zstd": "01030464156865616428b52ffd000065000028697372642001540503298c1a1442f6",
	}
	for name, golden := range tests {
		t.Run(name, func(t *testing.T) {
			frame, err := hex.DecodeString(golden)
			if err != nil {
				t.Fatal(err)
			}
			checkDecode(t, newCoder(t, codec.Config{}), frame, []byte("head"), body)
			if got, want := codecOf(frame), allConfigs[name].Codec; got != want {
				t.Errorf("codec is %v, want %v", got, want)
			}
		})
	}
}

func TestAppendKeepsDst(t *testing.T) {
	c := newCoder(t, codec.Config{})
	body := page(4, 10<<10)
	alone := appendFrame(t, c, []byte("h"), body)
	for _, spare := range []int{0, 10, 1 << 20} {
		dst := append(make([]byte, 0, 6+spare), "before"...)
		got, err := c.Append(dst, []byte("h"), body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]byte("before"), alone...), got); diff != "" {
			t.Errorf("with %d bytes to spare: %s", spare, diff)
		}
	}
}

func TestResultsAreTheCallers(t *testing.T) {
	for name, cfg := range allConfigs {
		t.Run(name, func(t *testing.T) {
			c := newCoder(t, cfg)
			body := page(5, 10<<10)
			frame := appendFrame(t, c, []byte("head"), body)
			header, got, err := c.Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := c.DecodeHeader(frame)
			if err != nil {
				t.Fatal(err)
			}
			clear(frame)
			_ = append(header, "written behind the header"...)
			_ = append(got, "written behind the body"...)
			checkDecode(t, c, appendFrame(t, c, nil, noise(20<<10)), nil, noise(20<<10)) // reuses what is pooled
			if string(header) != "head" || string(alone) != "head" || !bytes.Equal(got, body) {
				t.Error("what was returned has changed with the frame, or with what was appended to the other")
			}
		})
	}
}

// Only without compression can this be asserted: the decompressors pool their memory, and under -race a pool drops some.
// The benchmarks show it for all.
func TestDecodeAllocatesOnce(t *testing.T) {
	c := newCoder(t, allConfigs["none"])
	frame := appendFrame(t, c, []byte("head"), page(6, 30<<10))
	got := testing.AllocsPerRun(100, func() {
		if _, _, err := c.Decode(frame); err != nil {
			t.Error(err)
		}
	})
	if got != 1 {
		t.Errorf("Decode allocates %v times, want once", got)
	}
}

// Other writers of the format need not store the size inside the zstd body too.
func TestZstdWithoutContentSize(t *testing.T) {
	body := page(11, 300<<10)
	stored := zstdStreamOf(t, body)
	checkDecode(t, newCoder(t, codec.Config{}), frameOf(1, 3, []byte("h"), uint64(len(body)), stored), []byte("h"), body)
}

func TestLimit(t *testing.T) {
	for name, cfg := range allConfigs {
		t.Run(name, func(t *testing.T) {
			const limit = 10_000
			cfg.MaxDecodedBytes = limit
			c := newCoder(t, cfg)
			body := page(12, 2*limit)
			checkDecode(t, c, appendFrame(t, c, body[:50], body[:limit]), body[:50], body[:limit])

			dst := []byte("before")
			got, err := c.Append(dst, nil, body[:limit], body[:1])
			wantError(t, err, codec.ErrTooLarge)
			if string(got) != "before" {
				t.Errorf("dst became %q", got)
			}
			cfg.MaxDecodedBytes = 2 * limit
			large := appendFrame(t, newCoder(t, cfg), nil, body[:limit+1])
			_, _, err = c.Decode(large)
			wantError(t, err, codec.ErrTooLarge)
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	for name, cfg := range allConfigs {
		t.Run(name, func(t *testing.T) {
			c := newCoder(t, cfg)
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					for i := range 20 {
						header := fmt.Append(nil, g, i)
						body := page(uint64(100*g+i), 1000*(i+1))
						frame, err := c.Append(nil, header, body[:500], body[500:])
						if err != nil {
							t.Error(err)
							return
						}
						gotHeader, gotBody, err := c.Decode(frame)
						if err != nil || !bytes.Equal(gotHeader, header) || !bytes.Equal(gotBody, body) {
							t.Errorf("goroutine %d got another's data, or %v", g, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// A bubble fails if a goroutine is left in it, or if another bubble's channel is used.
func TestNoGoroutineIsLeft(t *testing.T) {
	for range 2 {
		for _, cfg := range allConfigs {
			synctest.Test(t, func(t *testing.T) {
				c := newCoder(t, cfg)
				body := page(13, 300<<10)
				checkDecode(t, c, appendFrame(t, c, nil, body), nil, body)
			})
		}
	}
}
