package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// The header of a value's frame, in order: all that cache.Entry has beside version, creation and body. Numbers are
// varints, strings and lists have their length before them. A later version may append fields, which this one skips; one
// that changes what stands here has another number.
const recordVersion = 1

// record gives the header of e's value.
func record(e *cache.Entry) []byte {
	b := []byte{recordVersion}
	b = appendText(b, e.Key.App)
	b = appendText(b, e.Key.Build)
	b = append(b, byte(e.Key.Space))
	b = appendText(b, e.Key.Name)
	b = binary.AppendVarint(b, milliseconds(e.Lifetime.Revalidate))
	b = binary.AppendVarint(b, milliseconds(e.Lifetime.Expire))
	b = binary.AppendUvarint(b, uint64(len(e.Tags)))
	for _, t := range e.Tags {
		b = appendText(b, t)
	}
	b = appendText(b, string(e.Meta))
	b = binary.AppendUvarint(b, uint64(len(e.Parts)))
	for _, p := range e.Parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
	}
	return b
}

// milliseconds keeps "without limit" apart from every limit.
func milliseconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

func duration(ms int64) time.Duration {
	if ms < 0 {
		return cache.Unlimited
	}
	return time.Duration(ms) * time.Millisecond
}

// errRecord says that a header is not one, or is of a later version.
var errRecord = errors.New("header of stored value")

// parseRecord reads the header of a value and shares body out among the parts.
func parseRecord(header, body []byte) (*cache.Entry, error) {
	r := reader{rest: header}
	if v := r.byte(); v != recordVersion {
		return nil, fmt.Errorf("%w: version %d, this isrd reads %d", errRecord, v, recordVersion)
	}
	var e cache.Entry
	e.Key.App = r.text()
	e.Key.Build = r.text()
	e.Key.Space = cache.Space(r.byte())
	e.Key.Name = r.text()
	e.Lifetime.Revalidate = duration(r.varint())
	e.Lifetime.Expire = duration(r.varint())
	for range r.length() {
		e.Tags = append(e.Tags, r.text())
	}
	e.Meta = []byte(r.text())
	for range r.length() {
		n := r.uvarint()
		if n > uint64(len(body)) {
			return nil, fmt.Errorf("%w: a part of %d bytes in the last %d of the body", errRecord, n, len(body))
		}
		e.Parts = append(e.Parts, body[:n:n])
		body = body[n:]
	}
	if r.short || len(body) > 0 {
		return nil, fmt.Errorf("%w: %d bytes do not describe the body", errRecord, len(header))
	}
	return &e, nil
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes a message apart. Once something was not there, everything is zero and short is set.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

// length reads the length of a list, each of whose items takes at least one byte.
func (r *reader) length() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return 0
	}
	return n
}
