package simulation_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// redis is the model of a server: a keyspace in which everything has a time to live, and who listens to it. Its scripts
// see one slot at a time, as those of a cluster do.
type redis struct {
	keys   map[string]*stored
	lost   map[string]bool // keys that went for another reason than their time or a script, since last asked
	offset time.Duration   // of its clock
	run    string          // names the life of the process
	began  time.Time       // of the simulation
	slots  []string        // what is wrong with the keys of a script
}

// stored is one value: text, a hash or a stream. It is replaced, never changed, so that a replica can share it.
type stored struct {
	text    string
	hash    map[string]string
	stream  []item
	expires int64 // ms by the server's clock; 0: never
}

// item is one entry of a stream.
type item struct{ id, field, value string }

// epochOfTime is when the simulated Redis thinks that the simulation began: any time will do, but for the digits.
var epochOfTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newRedis(began time.Time) *redis {
	return &redis{keys: make(map[string]*stored), lost: make(map[string]bool), run: "run0", began: began}
}

// micros is the server's clock, in microseconds since 1970.
func (r *redis) micros() int64 {
	return epochOfTime.Add(time.Since(r.began) + r.offset).UnixMicro()
}

// get gives what lives at a key.
func (r *redis) get(key string, now int64) *stored {
	v := r.keys[key]
	if v != nil && v.expires != 0 && now > v.expires {
		delete(r.keys, key)
		return nil
	}
	return v
}

// evict loses a key, as a server that is short of memory does.
func (r *redis) evict(key string) {
	delete(r.keys, key)
	r.lost[key] = true
}

// names are the keys, in order.
func (r *redis) names() []string { return slices.Sorted(maps.Keys(r.keys)) }

// replica copies what a server has: values are never changed, so that only the names are.
func (r *redis) replica() map[string]*stored { return maps.Clone(r.keys) }

// script is one script under way: a server's keyspace at one time, and what is told when it is over.
type script struct {
	*redis
	now   int64 // µs
	names []string
	args  []string
	plant plant
	told  []message
}

// message was published.
type message struct{ channel, text string }

func (s *script) ms() int64 { return s.now / 1000 }

// time is what TIME says.
func (s *script) time() (seconds, micros string) {
	return strconv.FormatInt(s.now/1_000_000, 10), strconv.FormatInt(s.now%1_000_000, 10)
}

// with adds the time to a reply.
func (s *script) with(list ...any) []any {
	seconds, micros := s.time()
	return append(list, seconds, micros)
}

func (s *script) arg(n int) string { return s.args[n-1] }
func (s *script) key(n int) string { return s.names[n-1] }

// number is an argument that is one.
func (s *script) number(n int) int64 { return number(s.arg(n)) }

// number is as Lua's tonumber, where there is a whole one; 0 otherwise.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (s *script) text(key string) (string, bool) {
	v := s.get(key, s.ms())
	if v == nil {
		return "", false
	}
	return v.text, true
}

// set is SET with PX.
func (s *script) set(key, text string, ttl int64) {
	s.keys[key] = &stored{text: text, expires: s.ms() + ttl}
}

func (s *script) del(keys ...string) {
	for _, k := range keys {
		delete(s.keys, k)
	}
}

// pttl is what is left of a key's time.
func (s *script) pttl(key string) int64 {
	v := s.get(key, s.ms())
	switch {
	case v == nil:
		return -2
	case v.expires == 0:
		return -1
	default:
		return v.expires - s.ms()
	}
}

func (s *script) pexpire(key string, ttl int64) {
	if v := s.get(key, s.ms()); v != nil {
		c := *v
		c.expires = s.ms() + ttl
		s.keys[key] = &c
	}
}

func (s *script) incr(key string) int64 {
	v := s.get(key, s.ms())
	c := stored{}
	if v != nil {
		c = *v
	}
	n := number(c.text) + 1
	c.text = strconv.FormatInt(n, 10)
	s.keys[key] = &c
	return n
}

func (s *script) hget(key, field string) (string, bool) {
	v := s.get(key, s.ms())
	if v == nil {
		return "", false
	}
	text, ok := v.hash[field]
	return text, ok
}

// hset sets fields, in pairs.
func (s *script) hset(key string, pairs ...string) {
	c := stored{hash: make(map[string]string)}
	if v := s.get(key, s.ms()); v != nil {
		c.expires, c.hash = v.expires, maps.Clone(v.hash)
	}
	for i := 0; i < len(pairs); i += 2 {
		c.hash[pairs[i]] = pairs[i+1]
	}
	s.keys[key] = &c
}

func (s *script) hdel(key string, fields ...string) {
	v := s.get(key, s.ms())
	if v == nil {
		return
	}
	c := *v
	c.hash = maps.Clone(v.hash)
	for _, f := range fields {
		delete(c.hash, f)
	}
	s.keys[key] = &c
	if len(c.hash) == 0 {
		delete(s.keys, key)
	}
}

// hgetall gives names and values, in the order of the names.
func (s *script) hgetall(key string) []any {
	v := s.get(key, s.ms())
	if v == nil {
		return nil
	}
	list := make([]any, 0, 2*len(v.hash))
	for _, name := range slices.Sorted(maps.Keys(v.hash)) {
		list = append(list, name, v.hash[name])
	}
	return list
}

// xadd appends to a stream; the bound is exact here.
func (s *script) xadd(key string, most int, i item) {
	c := stored{}
	if v := s.get(key, s.ms()); v != nil {
		c = *v
	}
	c.stream = append(slices.Clone(c.stream), i)
	if extra := len(c.stream) - most; extra > 0 {
		c.stream = c.stream[extra:]
	}
	s.keys[key] = &c
}

// xrange gives the items from an id on.
func (s *script) xrange(key string, epoch, seq int64, most int) []item {
	v := s.get(key, s.ms())
	if v == nil {
		return nil
	}
	var found []item
	for _, i := range v.stream {
		e, q := idOf(i.id)
		if (e > epoch || e == epoch && q >= seq) && len(found) < most {
			found = append(found, i)
		}
	}
	return found
}

func idOf(id string) (epoch, seq int64) {
	a, b, _ := strings.Cut(id, "-")
	return number(a), number(b)
}

func (s *script) publish(channel, text string) {
	s.told = append(s.told, message{channel: channel, text: text})
}

// check says what no script may do: touch keys of two slots.
func (s *script) check(name string) {
	tag := ""
	for _, k := range s.names {
		_, rest, ok := strings.Cut(k, "{")
		t, _, closed := strings.Cut(rest, "}")
		switch {
		case !ok || !closed || t == "":
			s.slots = append(s.slots, fmt.Sprintf("%s: key %q has no hash tag", name, k))
		case tag != "" && tag != t:
			s.slots = append(s.slots, fmt.Sprintf("%s: keys %q are of two slots", name, s.names))
		}
		tag = t
	}
}

// texts turns arguments into what Redis sees of them.
func texts(args []any) []string {
	list := make([]string, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			list[i] = a
		case []byte:
			list[i] = string(a)
		case int:
			list[i] = strconv.Itoa(a)
		default:
			list[i] = fmt.Sprint(a)
		}
	}
	return list
}
