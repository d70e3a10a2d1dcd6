package redisstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// coder packs without compressing: header, then body.
type coder struct{}

func (coder) Append(dst, header []byte, parts ...[]byte) ([]byte, error) {
	dst = appendText(dst, string(header))
	return append(dst, bytes.Join(parts, nil)...), nil
}

func (coder) Decode(frame []byte) (header, body []byte, err error) {
	r := reader{rest: frame}
	header = []byte(r.text())
	if r.short {
		return nil, nil, errors.New("short")
	}
	return header, slices.Clone(r.rest), nil
}

func recordEntry() *cache.Entry {
	return &cache.Entry{
		Key:      cache.Key{App: "shop", Build: "b", Space: cache.Route, Name: "/p"},
		Lifetime: cache.Lifetime{Revalidate: 1500 * time.Millisecond, Expire: cache.Unlimited},
		Tags:     []string{"a", "", "\xff"},
		Meta:     []byte{0, 1, 2},
		Parts:    [][]byte{[]byte("one"), {}, []byte("three")},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*cache.Entry){
		"full":       func(*cache.Entry) {},
		"no parts":   func(e *cache.Entry) { e.Parts = nil },
		"no tags":    func(e *cache.Entry) { e.Tags = nil },
		"no meta":    func(e *cache.Entry) { e.Meta = nil },
		"unlimited":  func(e *cache.Entry) { e.Lifetime = cache.Lifetime{Revalidate: -1, Expire: -1} },
		"no life":    func(e *cache.Entry) { e.Lifetime = cache.Lifetime{} },
		"long names": func(e *cache.Entry) { e.Key.Name = strings.Repeat("x", 64<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			e := recordEntry()
			change(e)
			header := record(e)
			for _, later := range []string{"", "fields of a later version"} {
				got, err := parseRecord(append(slices.Clone(header), later...), bytes.Join(e.Parts, nil))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(e, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("with %q behind (-want +got):\n%s", later, diff)
				}
			}
		})
	}
}

func TestRecordRefusesDamage(t *testing.T) {
	e := recordEntry()
	header, body := record(e), bytes.Join(e.Parts, nil)
	for n := range header {
		if _, err := parseRecord(header[:n], body); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a record", n, len(header))
		}
	}
	for name, tc := range map[string]struct{ header, body []byte }{
		"later version":     {append([]byte{2}, header[1:]...), body},
		"body too short":    {header, body[:len(body)-1]},
		"body too long":     {header, append(slices.Clone(body), 'x')},
		"endless tags":      {binary.AppendUvarint(slices.Clone(header[:12]), 1<<60), body},
		"nothing":           {nil, nil},
		"a length too long": {bytes.Repeat([]byte{0xff}, 20), body},
	} {
		if _, err := parseRecord(tc.header, tc.body); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A part must not grow into its neighbour when somebody appends to it.
func TestPartsDoNotOverlap(t *testing.T) {
	e := recordEntry()
	got, err := parseRecord(record(e), bytes.Join(e.Parts, nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = append(got.Parts[0], "XXXX"...)
	if string(got.Parts[2]) != "three" {
		t.Errorf("the third part became %q", got.Parts[2])
	}
}

func FuzzParseRecord(f *testing.F) {
	e := recordEntry()
	f.Add(record(e), bytes.Join(e.Parts, nil))
	f.Fuzz(func(t *testing.T, header, body []byte) {
		got, err := parseRecord(header, body)
		if err != nil {
			return
		}
		if !bytes.Equal(bytes.Join(got.Parts, nil), body) {
			t.Error("the parts are not the body")
		}
		again, err := parseRecord(record(got), body)
		if err != nil || !cmp.Equal(got, again, cmpopts.EquateEmpty()) {
			t.Errorf("not the same the second time: %v\n%s", err, cmp.Diff(got, again, cmpopts.EquateEmpty()))
		}
	})
}

func FuzzDecode(f *testing.F) {
	e := recordEntry()
	value, err := encode(coder{}, e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte("isrd/1 "+cache.Version{Epoch: 1, Seq: 2, Token: 3}.String()+" 0001700000000000\n"), value...))
	f.Fuzz(func(t *testing.T, value []byte) {
		got, _, err := decode(coder{}, e.Key, value)
		if err == nil && got.Key.ID() != e.Key.ID() {
			t.Error("another key's value")
		}
		if err != nil && !errors.Is(err, cache.ErrUnreadable) {
			t.Errorf("error %v", err)
		}
	})
}

func TestRevalidationsRoundTrip(t *testing.T) {
	want := []tag.Revalidation{
		{Tag: "hard"}, {Tag: "", Soft: true}, {Tag: "\xff\x00", Soft: true, Expire: 1500 * time.Millisecond},
		{Tag: "ever", Soft: true, Expire: tag.ForEver},
	}
	text := string(appendRevalidations(nil, want))
	got, err := parseRevalidations(text + "of a later version")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for n := range text {
		if _, err := parseRevalidations(text[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for all marks", n, len(text))
		}
	}
}

func FuzzParseTold(f *testing.F) {
	marks := string(appendRevalidations(nil, []tag.Revalidation{{Tag: "t", Soft: true, Expire: time.Second}}))
	f.Add("e 1 2 n - 5\n" + marks)
	f.Add("w 00 " + cache.Version{}.String())
	f.Add("r 00")
	f.Add("l")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTold(text)
		if err == nil && got.event != nil && got.event.Position.Nonce == "" && !strings.HasPrefix(text, "e") {
			t.Errorf("%q became %+v", text, got.event)
		}
	})
}
