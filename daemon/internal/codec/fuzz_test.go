package codec_test

import (
	"bytes"
	"testing"

	"github.com/isrd/isrd/daemon/internal/codec"
)

// FuzzDecode reads anything: no panic, nothing above the limit, and never data beside an error. The input is tried as it
// is and with a valid checksum behind it, or the fuzzer would hardly get past that.
func FuzzDecode(f *testing.F) {
	const limit = 1 << 20
	c := newCoder(f, codec.Config{MaxDecodedBytes: limit})
	body := page(20, 0)[:400]
	for _, cfg := range allConfigs {
		frame := appendFrame(f, newCoder(f, cfg), []byte("header"), body)
		f.Add(frame)
		f.Add(frame[:len(frame)-4])
		f.Add(frame[:len(frame)/2])
	}
	f.Add([]byte(nil))
	f.Add([]byte{1, 3, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0})
	f.Add([]byte{2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, frame := range [][]byte{input, seal(bytes.Clone(input))} {
			header, body, err := c.Decode(frame)
			if err != nil && (header != nil || body != nil) {
				t.Errorf("data beside the error %v", err)
			}
			if len(header) > len(frame) || len(body) > limit {
				t.Errorf("frame of %d bytes gives a header of %d and a body of %d bytes", len(frame), len(header), len(body))
			}
			alone, headerErr := c.DecodeHeader(frame)
			if err == nil && (headerErr != nil || !bytes.Equal(alone, header)) {
				t.Errorf("Decode found the header %q, DecodeHeader %q, %v", header, alone, headerErr)
			}
		}
	})
}

// FuzzRoundTrip writes anything with every codec and reads it back. The body is text, repeat times: long bodies come from
// short inputs, which the fuzzer handles far faster.
func FuzzRoundTrip(f *testing.F) {
	const longest = 300 << 10 // several blocks
	coders := map[string]*codec.Coder{}
	for name, cfg := range allConfigs {
		coders[name] = newCoder(f, cfg)
	}
	f.Add([]byte(nil), []byte(nil), uint16(0), 0)
	f.Add([]byte("header"), []byte("body"), uint16(1), 2)
	f.Add(make([]byte, 150), []byte{0}, uint16(65535), 40_000)
	f.Add([]byte("header"), page(21, 1500), uint16(150), 1)
	f.Add(page(22, 500), noise(300), uint16(1), 299)
	f.Fuzz(func(t *testing.T, header, text []byte, repeat uint16, cut int) {
		body := bytes.Repeat(text, min(int(repeat), longest/max(len(text), 1)))
		cut = min(max(cut, 0), len(body))
		for name, c := range coders {
			frame := appendFrame(t, c, header, body[:cut], body[cut:])
			gotHeader, gotBody, err := coders["zero"].Decode(frame)
			if err != nil || !bytes.Equal(gotHeader, header) || !bytes.Equal(gotBody, body) {
				t.Errorf("%s: header of %d and body of %d bytes came back as %d and %d, error %v",
					name, len(header), len(body), len(gotHeader), len(gotBody), err)
			}
		}
	})
}
