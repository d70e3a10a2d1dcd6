package simulation_test

import (
	"fmt"
	"strconv"
	"strings"
)

// The scripts of entries and leases, as daemon/internal/redisstore/scripts has them. The replay compares them.

const (
	released    = "\x00released"
	uncacheable = "\x00uncacheable"
	lineSize    = 75
)

// head gives the version of an entry.
func (s *script) head(key string) (format, version string, foreign bool) {
	text, ok := s.text(key)
	if !ok || text == "" {
		return "", "", false
	}
	if len(text) < lineSize || !strings.HasPrefix(text, "isrd/") {
		return "", "", true
	}
	return text[5:6], text[7:57], false
}

func tokenOf(version string) int64 {
	if version == "" {
		return 0
	}
	n, err := strconv.ParseInt(version[34:], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

func (s *script) leaseOf(key string) (token, left int64, holder string) {
	text, ok := s.text(key)
	if !ok {
		return 0, 0, ""
	}
	digits, holder, ok := strings.Cut(text, " ")
	left = s.pttl(key)
	if !ok || left <= 0 {
		return 0, 0, ""
	}
	return number(digits), left, holder
}

func (s *script) isLease(held int64, holder, token string) bool {
	if s.plant == releaseWithoutToken && held != 0 {
		token = strconv.FormatInt(held, 10)
	}
	return held != 0 && strconv.FormatInt(held, 10) == token && holder != released && holder != uncacheable
}

func (s *script) grant(key string, token int64, holder string, ttl int64) {
	s.set(key, strconv.FormatInt(token, 10)+" "+holder, ttl)
}

func (s *script) nextToken(previous int64) int64 { return max(previous+1, s.now) }

// read is read.lua.
func (s *script) read() []any {
	format, version, foreign := s.head(s.key(1))
	held, left, holder := s.leaseOf(s.key(2))
	kept := int64(0)
	switch holder {
	case released:
		kept = 1
	case uncacheable:
		kept = 2
	}
	token := s.nextToken(max(held, tokenOf(version)))
	unreadable := ""
	wanted := s.arg(2) == "1"
	switch {
	case foreign:
		unreadable = "foreign"
	case s.plant == grantWithoutJudged && wanted && left == 0:
	case version != "" && version > s.arg(1):
		if format == "1" {
			text, _ := s.text(s.key(1))
			return s.with(text, "", token, int64(0), left, kept, int64(0))
		}
		unreadable = "format"
	}
	granted := int64(0)
	if wanted && (left == 0 || s.arg(3) == "1") {
		granted, left, kept = 1, s.number(5), 0
		s.grant(s.key(2), token, s.arg(4), left)
		if s.arg(3) == "1" {
			s.del(s.key(3))
		}
	}
	return s.with(nil, unreadable, token, granted, left, kept, int64(0))
}

// write is write.lua.
func (s *script) write() []any {
	_, version, _ := s.head(s.key(1))
	stored := version == "" || s.arg(4) != "1" && s.arg(1) > version
	if s.plant == writeWithoutVersion {
		stored = true
	}
	token, _, holder := s.leaseOf(s.key(2))
	if stored {
		made := s.ms()
		if s.number(8) > 0 {
			made = min(s.number(8), made)
		}
		s.set(s.key(1), fmt.Sprintf("isrd/1 %s %016d\n%s", s.arg(1), made, s.arg(7)), s.number(2))
		s.del(s.key(3))
	}
	ended := s.isLease(token, holder, s.arg(3))
	if ended || stored && holder == uncacheable {
		s.del(s.key(2))
	}
	switch {
	case stored:
		s.publish(s.arg(5), "w "+s.arg(6)+" "+s.arg(1))
	case ended:
		s.publish(s.arg(5), "r "+s.arg(6))
	}
	return s.with(bit(stored))
}

// release is release.lua.
func (s *script) release() []any {
	token, _, holder := s.leaseOf(s.key(1))
	if !s.isLease(token, holder, s.arg(1)) {
		return s.with(int64(0))
	}
	instead, till := released, s.number(2)
	if s.arg(5) == "1" {
		if s.incr(s.key(2)) >= s.number(6) {
			s.del(s.key(2))
			if till == 0 {
				instead, till = uncacheable, s.number(7)
			}
		} else {
			s.pexpire(s.key(2), s.number(7))
		}
	}
	if till == 0 {
		s.del(s.key(1))
	} else {
		s.grant(s.key(1), token, instead, till)
	}
	s.publish(s.arg(3), "r "+s.arg(4))
	return s.with(int64(1))
}

// renew is renew.lua.
func (s *script) renew() []any {
	token, _, holder := s.leaseOf(s.key(1))
	if !s.isLease(token, holder, s.arg(1)) {
		return s.with(int64(0))
	}
	s.pexpire(s.key(1), s.number(2))
	return s.with(int64(1))
}

// claim is claim.lua.
func (s *script) claim() []any {
	_, version, _ := s.head(s.key(1))
	written := tokenOf(version)
	held, left, holder := s.leaseOf(s.key(2))
	old := s.number(1)
	if !s.isLease(held, holder, s.arg(1)) && (left > 0 || written >= old) {
		return s.with(int64(0))
	}
	token := s.nextToken(max(old, held, written))
	s.grant(s.key(2), token, s.arg(2), s.number(3))
	return s.with(token)
}

// abandon is abandon.lua.
func (s *script) abandon() []any {
	token, _, holder := s.leaseOf(s.key(1))
	if token == 0 || holder != s.arg(1) {
		return s.with(int64(0))
	}
	s.del(s.key(1))
	s.publish(s.arg(2), "r "+s.arg(3))
	return s.with(int64(1))
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
