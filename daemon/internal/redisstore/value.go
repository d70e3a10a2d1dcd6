package redisstore

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// lineSize is the length of a value's first line; see entry.lua.
const lineSize = len("isrd/1 ") + 50 + 1 + 16 + 1

// Why a value cannot be read, as in the metrics.
const (
	unreadableForeign = "foreign" // no value of isrd
	unreadableFormat  = "format"  // of a later isrd, by its first line
	unreadableFrame   = "frame"   // truncated, damaged, or of a later isrd
	unreadableRecord  = "record"  // of a later isrd, or damaged
	unreadableKey     = "key"     // belongs to another key
)

// unreadableError is an error with its kind.
type unreadableError struct {
	kind string
	err  error
}

func (e *unreadableError) Error() string { return e.err.Error() }

func (e *unreadableError) Unwrap() []error { return []error{cache.ErrUnreadable, e.err} }

func unreadable(kind string, err error) error { return &unreadableError{kind: kind, err: err} }

// encode gives what write.lua puts after the first line.
func encode(c Coder, e *cache.Entry) ([]byte, error) {
	value, err := c.Append(nil, record(e), e.Parts...)
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return value, nil
}

// decode reads a whole value of the given key. version is set also with an error, if the first line has it.
func decode(c Coder, key cache.Key, value []byte) (e *cache.Entry, version cache.Version, err error) {
	version, created, err := parseLine(value)
	if err != nil {
		return nil, version, unreadable(unreadableForeign, err)
	}
	header, body, err := c.Decode(value[lineSize:])
	if err != nil {
		return nil, version, unreadable(unreadableFrame, err)
	}
	e, err = parseRecord(header, body)
	if err != nil {
		return nil, version, unreadable(unreadableRecord, err)
	}
	if e.Key.ID() != key.ID() {
		return nil, version, unreadable(unreadableKey, fmt.Errorf("value belongs to %q of app %q", e.Key.Name, e.Key.App))
	}
	e.Version, e.Created = version, created
	return e, version, nil
}

func parseLine(value []byte) (v cache.Version, created int64, err error) {
	if len(value) < lineSize {
		return v, 0, errors.New("value is shorter than its first line")
	}
	line := string(value[:lineSize])
	if v, err = cache.ParseVersion(line[7:57]); err != nil {
		return v, 0, fmt.Errorf("first line: %w", err)
	}
	if created, err = strconv.ParseInt(line[58:74], 10, 64); err != nil {
		return v, 0, fmt.Errorf("first line: created: %w", err)
	}
	return v, created, nil
}
