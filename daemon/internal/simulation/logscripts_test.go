package simulation_test

import (
	"cmp"
	"strings"
)

// The scripts of logs, as daemon/internal/redisstore/scripts has them. The replay compares them.

// add is append.lua.
func (s *script) add() []any {
	hash, stream, channel := s.key(1), s.key(2), s.arg(1)
	log, ok := s.logAt(hash)
	switch {
	case !ok:
		log = s.anew(hash, stream, s.number(2), "1")
		s.publish(channel, "l")
	case s.run != "" && log.server != s.run:
		log = s.goOn(hash, stream, log, s.number(2), "1")
		s.publish(channel, "l")
	}
	reply := func(previous string, when int64) []any {
		return s.with(log.epoch, log.seq, previous, when, s.shown(log.members), s.quiet(log, s.number(5)))
	}
	if log.nonce == s.arg(3) {
		return reply("", log.at)
	}
	log.seq++
	for i := 7; i <= len(s.args); i += 2 {
		field := "t:" + s.arg(i)
		text, _ := s.hget(hash, field)
		s.hset(hash, field, s.fold(parseRecord(text), s.arg(i+1), log.seq).String())
	}
	s.hset(hash, "seq", decimal(log.seq), "nonce", s.arg(3), "at", decimal(s.ms()))
	event := strings.Join([]string{"e", decimal(log.epoch), decimal(log.seq), s.arg(3), cmp.Or(log.nonce, "-"), decimal(s.ms())}, " ") +
		"\n" + s.arg(6)
	s.xadd(stream, int(s.number(4)), item{id: decimal(log.epoch) + "-" + decimal(log.seq), field: "e", value: event})
	s.publish(channel, event)
	return reply(log.nonce, s.ms())
}

// loading is load.lua under way.
type loading struct {
	*script
	epoch, seq int64
	nonce      string
	log        logState
}

// load is load.lua.
func (s *script) load() []any {
	p := loading{script: s, epoch: s.number(1), seq: s.number(2), nonce: s.arg(3)}
	kind, why, list := p.look()
	if s.plant == gapIgnored && kind == "events" {
		kind, why, list = "same", "", nil
	}
	if name := s.arg(7); name != "" {
		others, told, _ := s.living(p.log.members, name)
		s.hset(s.key(1), "members", others+name+" "+decimal(over(s.ms(), s.number(9)))+" "+decimal(max(number(told), s.number(8)))+"\n")
	}
	all := s.hgetall(s.key(1))
	size := int64(len(all) / 2)
	if kind == "whole" {
		list = all
		if size > s.number(10) {
			kind, list = "large", nil
		}
	}
	seconds, micros := s.time()
	return append([]any{kind, why, seconds, micros, size, s.quiet(p.log, s.number(9)), s.doubted(p.log, s.number(9))}, list...)
}

// look says what the follower is to get, and why.
func (p *loading) look() (kind, why string, list []any) {
	hash, stream, channel, highest := p.key(1), p.key(2), p.arg(6), max(p.epoch, p.seq)
	log, ok := p.logAt(hash)
	p.log = log
	switch {
	case !ok:
		p.log = p.anew(hash, stream, highest, "1")
		p.publish(channel, "l")
		if p.epoch == 0 {
			return "whole", "the log begins", nil
		}
		return "whole", "the log was lost", nil
	case p.run != "" && log.server != p.run:
		p.log = p.goOn(hash, stream, log, highest, "1")
		p.publish(channel, "l")
		return "whole", "redis began anew", nil
	case p.epoch == 0:
		return "whole", "following begins", nil
	case log.epoch > p.epoch:
		return "whole", "the log began anew", nil
	case log.epoch < p.epoch:
		return p.contradicted("the log fell back behind a later one")
	case log.seq < p.seq || log.seq == p.seq && log.nonce != p.nonce:
		return p.contradicted("the log lost events")
	case p.arg(5) == "1":
		return "whole", "events are unreadable", nil
	case log.seq == p.seq:
		return "same", "", nil
	}
	return p.missed()
}

func (p *loading) contradicted(why string) (kind, because string, list []any) {
	p.log = p.anew(p.key(1), p.key(2), max(p.epoch, p.seq, p.log.epoch, p.log.seq), "0")
	p.publish(p.arg(6), "l")
	return "whole", why, nil
}

func (p *loading) missed() (kind, why string, list []any) {
	from := p.seq
	if p.seq == p.epoch {
		from++
	}
	for i, found := range p.xrange(p.key(2), p.epoch, from, int(p.number(4))) {
		if found.id != decimal(p.epoch)+"-"+decimal(from+int64(i)) {
			return "whole", "events are missing", nil
		}
		list = append(list, found.value)
	}
	if from == p.seq && len(list) > 0 {
		if words := strings.Fields(list[0].(string)); words[3] != p.nonce { //nolint:errcheck,forcetypeassert // put there above
			return p.contradicted("the log has another past")
		}
		list = list[1:]
	}
	if int64(len(list)) != p.log.seq-p.seq {
		return "whole", "events are missing", nil
	}
	return "events", "events were missed", list
}

// ack is ack.lua.
func (s *script) ack() []any {
	log, ok := s.logAt(s.key(1))
	if !ok {
		return s.with(int64(0))
	}
	others, told, till := s.living(log.members, s.arg(2))
	if told == "" {
		return s.with(int64(0))
	}
	others += s.arg(2) + " " + till + " " + decimal(max(number(told), s.number(3))) + "\n"
	s.hset(s.key(1), "members", others)
	s.publish(s.arg(1), "a "+s.arg(2)+" "+s.arg(3))
	return s.with(int64(1))
}

// members is members.lua.
func (s *script) members() []any {
	log, ok := s.logAt(s.key(1))
	if !ok {
		return s.with("", s.number(1))
	}
	return s.with(s.shown(log.members), s.quiet(log, s.number(1)))
}

// prune is prune.lua.
func (s *script) prune() []any {
	log, ok := s.logAt(s.key(1))
	if !ok || decimal(log.epoch) != s.arg(1) {
		return s.with(int64(0))
	}
	text, _ := s.hget(s.key(1), "floor")
	floor := max(number(text), s.number(2))
	text, _ = s.hget(s.key(1), "floorat")
	floorAt := number(text)
	forgotten := int64(0)
	for _, tag := range s.args[2:] {
		text, ok := s.hget(s.key(1), "t:"+tag)
		if r := parseRecord(text); ok && max(r[0], r[1], r[2]) <= floor {
			floorAt = max(floorAt, r[4])
			s.hdel(s.key(1), "t:"+tag)
			forgotten++
		}
	}
	s.hset(s.key(1), "floor", decimal(floor), "floorat", decimal(floorAt))
	return s.with(forgotten)
}

// restore is restore.lua.
func (s *script) restore() []any {
	hash := s.key(1)
	log, ok := s.logAt(hash)
	if !ok || decimal(log.epoch) != s.arg(2) || log.lost != "1" || log.epoch <= s.number(4) {
		return s.with(int64(0))
	}
	for i := 8; i <= len(s.args); i += 2 {
		field := "t:" + s.arg(i)
		is, _ := s.hget(hash, field)
		s.hset(hash, field, merge(parseRecord(is), parseRecord(s.arg(i+1))).String())
	}
	floor, _ := s.hget(hash, "floor")
	floorAt, _ := s.hget(hash, "floorat")
	s.hset(hash, "floor", decimal(max(number(floor), s.number(5))), "floorat", decimal(max(number(floorAt), s.number(7))))
	log.past = s.arg(3) + " " + s.arg(4) + ";" + s.arg(6)
	s.goOn(hash, s.key(2), log, 0, "0")
	s.publish(s.arg(1), "l")
	return s.with(int64(1))
}
