package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// told is a message on an app's channel. What a later isrd adds is nil here and ignored.
type told struct {
	event    *event
	written  *written
	released cache.ID
	load     bool

	acknowledged *acknowledged
}

type written struct {
	id      cache.ID
	version cache.Version
}

// event is an event with the nonce of the one before, by which two histories with the same numbers are told apart.
type event struct {
	tag.Event
	previous string
}

var errEvent = errors.New("message on a log's channel")

// parseTold reads what append.lua, write.lua, release.lua and load.lua tell.
func parseTold(text string) (told, error) {
	kind, rest, _ := strings.Cut(text, " ")
	switch kind {
	case "e":
		e, err := parseEvent(text)
		return told{event: &e}, err
	case "w":
		id, v, _ := strings.Cut(rest, " ")
		version, err := cache.ParseVersion(v)
		if err != nil {
			return told{}, fmt.Errorf("%w: %w", errEvent, err)
		}
		return told{written: &written{id: cache.ID(id), version: version}}, nil
	case "r":
		return told{released: cache.ID(rest)}, nil
	case "a":
		a, err := parseAcknowledged(rest)
		return told{acknowledged: &a}, err
	case "l":
		return told{load: true}, nil
	default:
		return told{}, nil
	}
}

// parseEvent reads 'e <epoch> <seq> <nonce> <previous, or -> <at>\n<marks>'.
func parseEvent(text string) (event, error) {
	var e event
	line, marks, _ := strings.Cut(text, "\n")
	words := strings.Split(line, " ")
	if len(words) < 6 { // a later isrd may add some
		return e, fmt.Errorf("%w: event of %d words", errEvent, len(words))
	}
	var errs [3]error
	e.Position.Epoch, errs[0] = strconv.ParseUint(words[1], 10, 64)
	e.Position.Seq, errs[1] = strconv.ParseUint(words[2], 10, 64)
	e.Position.Nonce = words[3]
	if words[4] != "-" {
		e.previous = words[4]
	}
	e.At, errs[2] = strconv.ParseInt(words[5], 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return e, fmt.Errorf("%w: %w", errEvent, err)
	}
	rs, err := parseRevalidations(marks)
	e.Marks = marksAt(rs, e.At)
	return e, err
}

func marksAt(rs []tag.Revalidation, at int64) []tag.Mark {
	marks := make([]tag.Mark, len(rs))
	for i, r := range rs {
		marks[i] = r.MarkAt(at)
	}
	return marks
}

// Kinds of a mark in an event.
const (
	markHard = iota
	markSoft // and expired some milliseconds later, which follow
	markSoftForever
)

// appendRevalidations writes an event's marks for the followers. Times are relative: only Redis knows when it is.
func appendRevalidations(b []byte, rs []tag.Revalidation) []byte {
	b = binary.AppendUvarint(b, uint64(len(rs)))
	for _, r := range rs {
		b = appendText(b, r.Tag)
		switch {
		case !r.Soft:
			b = append(b, markHard)
		case r.Expire == tag.ForEver:
			b = append(b, markSoftForever)
		default:
			b = append(b, markSoft)
			b = binary.AppendUvarint(b, uint64(max(r.Expire, 0).Milliseconds()))
		}
	}
	return b
}

func parseRevalidations(text string) ([]tag.Revalidation, error) {
	r := reader{rest: []byte(text)}
	rs := make([]tag.Revalidation, r.length())
	for i := range rs {
		rs[i].Tag = r.text()
		switch kind := r.byte(); kind {
		case markHard:
		case markSoftForever:
			rs[i].Soft, rs[i].Expire = true, tag.ForEver
		case markSoft:
			rs[i].Soft, rs[i].Expire = true, time.Duration(r.uvarint())*time.Millisecond
		default:
			return nil, fmt.Errorf("%w: mark of kind %d", errEvent, kind)
		}
	}
	if r.short {
		return nil, fmt.Errorf("%w: marks end early", errEvent)
	}
	return rs, nil
}

// expiry is how append.lua is told of a mark.
func expiry(r tag.Revalidation) string {
	switch {
	case !r.Soft:
		return ""
	case r.Expire == tag.ForEver:
		return "never"
	default:
		return strconv.FormatInt(max(r.Expire, 0).Milliseconds(), 10)
	}
}

// parseSnapshot reads the hash of a log.
func parseSnapshot(list []any) (tag.Snapshot, error) {
	s := tag.Snapshot{Records: make(map[string]tag.Record, len(list)/2)}
	for f := (fields{list: list}); len(f.list) > 0; {
		name, value := f.text(), f.text()
		var err error
		switch {
		case f.bad:
			err = errors.New("unexpected reply")
		case name == "epoch":
			s.Position.Epoch, err = strconv.ParseUint(value, 10, 64)
		case name == "seq":
			s.Position.Seq, err = strconv.ParseUint(value, 10, 64)
		case name == "nonce":
			s.Position.Nonce = value
		case name == "floor":
			s.Floor, err = strconv.ParseUint(value, 10, 64)
		case name == "floorat":
			s.FloorAt, err = strconv.ParseInt(value, 10, 64)
		case name == "past":
			s.Past, err = parsePast(value)
		case strings.HasPrefix(name, "t:"):
			s.Records[name[2:]], err = parseTagRecord(value)
		}
		if err != nil {
			return s, fmt.Errorf("field %.100q of log: %w", name, err)
		}
	}
	return s, nil
}

// parsePast reads '<epoch> <seq>;' for each epoch before.
func parsePast(text string) (map[uint64]uint64, error) {
	past := make(map[uint64]uint64)
	for one := range strings.SplitSeq(text, ";") {
		if one == "" {
			continue
		}
		var epoch, seq uint64
		if _, err := fmt.Sscanf(one, "%d %d", &epoch, &seq); err != nil {
			return nil, fmt.Errorf("epoch before %.100q: %w", one, err)
		}
		past[epoch] = seq
	}
	return past, nil
}

// formatPast writes what parsePast reads, the newest first.
func formatPast(past map[uint64]uint64) string {
	var b strings.Builder
	for _, epoch := range slices.Backward(slices.Sorted(maps.Keys(past))) {
		fmt.Fprintf(&b, "%d %d;", epoch, past[epoch])
	}
	return b.String()
}

// parseTagRecord reads what append.lua folds: '<expired> <stale> <pending> <expire at> <at>'.
func parseTagRecord(text string) (tag.Record, error) {
	var r tag.Record
	if _, err := fmt.Sscanf(text, "%d %d %d %d %d", &r.Expired, &r.Stale, &r.Pending, &r.ExpireAt, &r.At); err != nil {
		return r, fmt.Errorf("record %.100q: %w", text, err)
	}
	return r, nil
}

// formatTagRecord writes what parseTagRecord reads.
func formatTagRecord(r tag.Record) string {
	return fmt.Sprintf("%d %d %d %d %d", r.Expired, r.Stale, r.Pending, r.ExpireAt, r.At)
}
