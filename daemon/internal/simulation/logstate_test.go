package simulation_test

import (
	"fmt"
	"strconv"
	"strings"
)

// What the scripts of logs have in common: daemon/internal/redisstore/scripts/log.lua.

// logState is what a log's hash says of the log.
type logState struct {
	epoch, seq, at, begun                     int64
	nonce, members, server, past, lost, moved string
}

// maxPast is how many epochs before are kept.
const maxPast = 16

// logAt gives the state of a log. False: there is none.
func (s *script) logAt(key string) (logState, bool) {
	v := s.get(key, s.ms())
	if v == nil {
		return logState{}, false
	}
	h := v.hash
	_, named := h["nonce"]
	return logState{
		epoch: number(h["epoch"]), seq: number(h["seq"]), at: number(h["at"]), begun: number(h["begun"]), nonce: h["nonce"],
		members: h["members"], server: h["server"], past: h["past"], lost: h["lost"],
		moved: h["moved"],
	}, named && h["epoch"] != "" && h["seq"] != ""
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// begin starts an epoch that is larger than all that is known. The table stays.
func (s *script) begin(hash string, known int64, lost, moved, past string) logState {
	epoch := max(s.now, known+1)
	log := logState{epoch: epoch, seq: epoch, begun: s.ms(), server: s.run, past: past, lost: lost, moved: moved}
	s.hset(hash, "epoch", decimal(epoch), "seq", decimal(epoch), "nonce", "", "at", "0", "begun", decimal(log.begun),
		"server", log.server, "past", past, "members", "", "lost", lost, "moved", moved)
	if _, ok := s.hget(hash, "floor"); !ok {
		s.hset(hash, "floor", "0")
	}
	if _, ok := s.hget(hash, "floorat"); !ok {
		s.hset(hash, "floorat", "0")
	}
	return log
}

// anew starts an epoch of which nothing before is known.
func (s *script) anew(hash, stream string, known int64, lost string) logState {
	s.del(hash, stream)
	return s.begin(hash, known, lost, "0", "")
}

// goOn starts an epoch in which all before is known as the table has it.
func (s *script) goOn(hash, stream string, log logState, known int64, moved string) logState {
	past := []string{decimal(log.epoch) + " " + decimal(log.seq)}
	for one := range strings.SplitSeq(log.past, ";") {
		if one != "" && len(past) < maxPast {
			past = append(past, one)
		}
	}
	s.del(stream)
	return s.begin(hash, max(known, log.epoch, log.seq), "0", moved, strings.Join(past, ";")+";")
}

// over is when what began at that time and lasts for so long is over: the time is cut off to a millisecond.
func over(began, bound int64) int64 { return began + 1 + bound }

// quiet is for how long there may be daemons that vouch since an epoch before.
func (s *script) quiet(log logState, bound int64) int64 {
	if s.plant == noQuietTime {
		return 0
	}
	return max(0, min(bound, over(log.begun, bound)-s.ms()))
}

// doubted is 1 if the log may lack events that were acknowledged.
func (s *script) doubted(log logState, bound int64) int64 {
	if log.moved == "1" && s.plant != noDoubt && s.quiet(log, bound) > 0 {
		return 1
	}
	return 0
}

// living gives the lines of the members whose time is not over, but for that of name, and that one's seq and time.
func (s *script) living(members, name string) (lines, told, ends string) {
	for one := range strings.Lines(members) {
		words := strings.Fields(one)
		switch {
		case number(words[1]) <= s.ms():
		case words[0] == name:
			told, ends = words[2], words[1]
		default:
			lines += one
		}
	}
	return lines, told, ends
}

// shown are the members as a reply has them.
func (s *script) shown(members string) string {
	if s.plant == nobodyIsAMember {
		return ""
	}
	lines, _, _ := s.living(members, "")
	return lines
}

// record is a tag's: expired, stale, pending, expire at, at.
type record [5]int64

func parseRecord(text string) record {
	var r record
	for i, word := range strings.Fields(text) {
		r[i] = number(word)
	}
	return r
}

func (r record) String() string { return fmt.Sprintf("%d %d %d %d %d", r[0], r[1], r[2], r[3], r[4]) }

// fold adds a mark to a record.
func (s *script) fold(r record, expiry string, seq int64) record {
	r[4] = max(r[4], s.ms())
	if expiry == "" {
		return record{seq, r[1], 0, 0, r[4]}
	}
	if r[3] <= s.ms() {
		r[0] = max(r[0], r[2])
	}
	if r[2] <= r[0] {
		r[2], r[3] = 0, 0
	}
	if expiry != "never" {
		mine := s.ms() + number(expiry)
		if r[2] == 0 || mine < r[3] {
			r[3] = mine
		}
		r[2] = seq
	}
	r[1] = seq
	return r
}

// merge is what two records say together.
func merge(r, o record) record {
	if o[2] != 0 {
		if r[2] == 0 || o[3] < r[3] {
			r[3] = o[3]
		}
		r[2] = max(r[2], o[2])
	}
	r[0], r[1], r[4] = max(r[0], o[0]), max(r[1], o[1]), max(r[4], o[4])
	return r
}
