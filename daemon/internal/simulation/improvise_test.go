package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/redisstore"
)

// improvisation asks a model whatever comes to its mind, in orders and with arguments that the store never has: what the
// model and the script do with them must be the same all the same.
type improvisation struct {
	*redis
	rng     *rand.Rand
	scripts map[string]redisstore.Script
	tape    *tape
	tokens  []string
	// known is what followers know of the log: epoch, seq, nonce.
	known    [][3]string
	versions []string
	replica  map[string]*stored
	count    int
	// mishaps is how many of a hundred steps are one.
	mishaps int
}

// scriptFiles are the scripts, with the prelude of each.
var scriptFiles = map[string]string{
	"read": "entry", "write": "entry", "release": "entry", "renew": "entry", "claim": "entry", "abandon": "entry",
	"append": "log", "load": "log", "ack": "log", "members": "log", "restore": "log", "prune": "log",
}

func readScripts(t *testing.T) map[string]redisstore.Script {
	t.Helper()
	scripts := make(map[string]redisstore.Script)
	for name, prelude := range scriptFiles {
		source := ""
		for _, file := range []string{prelude, name} {
			b, err := os.ReadFile("../redisstore/scripts/" + file + ".lua")
			if err != nil {
				t.Fatal(err)
			}
			source += string(b)
		}
		scripts[name] = redisstore.Script{Name: name, Source: source}
	}
	return scripts
}

// improvise makes up a tape. It must run in a bubble, where time stands still.
func improvise(seed uint64, scripts map[string]redisstore.Script, steps int) *tape {
	i := &improvisation{
		redis: newRedis(time.Now()), rng: rand.New(rand.NewPCG(seed, 0x7a9e)), scripts: scripts, tape: new(tape),
		tokens: []string{"0", "17"}, known: [][3]string{{"0", "0", ""}}, versions: []string{zeroVersion}, mishaps: []int{1, 3, 10}[seed%3],
	}
	for range steps {
		i.offset += time.Duration(i.rng.ExpFloat64() * float64(20*time.Millisecond))
		i.step()
	}
	return i.tape
}

const zeroVersion = "0000000000000000.0000000000000000.0000000000000000"

func (i *improvisation) step() {
	switch n := i.rng.IntN(100); {
	case n < i.mishaps:
		i.mishap()
	case n < 45:
		i.entry()
	default:
		i.log()
	}
}

// mishap is something that happens to a server or its keys.
func (i *improvisation) mishap() {
	switch i.rng.IntN(7) {
	case 0:
		i.offset += time.Duration(i.rng.IntN(3000)-1000) * time.Millisecond
	case 1:
		i.replica = i.redis.replica()
	case 2, 3:
		if i.replica != nil {
			i.keys, i.replica = i.replica, nil
			i.tape.replaced(i.keys)
		}
		i.run = "" // where it is not told
		if i.rng.IntN(8) > 0 {
			i.count++
			i.run = fmt.Sprintf("run%d", i.count)
		}
	case 4:
		// A server that is restarted again and again, with all that it has.
		for range i.rng.IntN(20) {
			i.count++
			i.run = fmt.Sprintf("run%d", i.count)
			i.load(logKey, streamKey, i.known[len(i.known)-1], "")
		}
	case 5:
		// Somebody else's value, and one of a later isrd.
		line := "isrd/2 " + either(i, i.versions...) + " 0000000000000007\nwhatever"
		i.keys[entryKey(either(i, ids...))] = &stored{text: either(i, "foreign", line)}
		i.tape.replaced(i.keys)
	default:
		if names := i.names(); len(names) > 0 {
			i.evict(either(i, names...))
		}
	}
}

// The keys of the log.
const logKey, streamKey = "isrd:1:{shop}:log", "isrd:1:{shop}:events"

// ids are those of the other keys.
var ids = []string{"aa", "bb"}

func entryKey(id string) string { return "isrd:1:e:{" + id + "}" }

// ask runs one script.
func (i *improvisation) ask(name string, keys []string, args ...any) []any {
	s := &script{redis: i.redis, now: i.micros(), names: keys, args: texts(args)}
	s.check(name)
	i.tape.before(s, i.scripts[name])
	reply, err := s.perform(name)
	if err != nil {
		panic(err)
	}
	i.tape.after(reply)
	return reply
}

func either[T any](i *improvisation, list ...T) T { return list[i.rng.IntN(len(list))] }

// remember keeps the newest few, and some of the older.
func remember[T any](i *improvisation, list []T, v T) []T {
	if len(list) > 8 {
		list[i.rng.IntN(len(list))] = v
		return list
	}
	return append(list, v)
}

func (i *improvisation) entry() {
	id := either(i, ids...)
	e, l, n := entryKey(id), "isrd:1:l:{"+id+"}", "isrd:1:n:{"+id+"}"
	token, holder := either(i, i.tokens...), either(i, "x", "y")
	if held, _, ok := strings.Cut(i.textAt(l), " "); ok && i.rng.IntN(2) == 0 {
		token = held
	}
	ttl := either(i, 5, 60, 400)
	var reply []any
	switch i.rng.IntN(8) {
	case 7:
		i.barren(id, holder)
	case 0, 1:
		reply = i.ask("read", []string{e, l, n}, either(i, i.versions...), either(i, "0", "1", "1"), either(i, "0", "0", "0", "1"), holder, ttl, 1<<20)
		i.tokens = remember(i, i.tokens, decimal(reply[2].(int64))) //nolint:errcheck,forcetypeassert // it is a number
		return
	case 2:
		v := fmt.Sprintf("%016x.%016x.%016x", 3+i.rng.IntN(2), i.rng.IntN(5), number(token))
		i.versions = remember(i, i.versions, v)
		i.ask("write", []string{e, l, n}, v, either(i, 30, 900), token, either(i, "0", "0", "1"), "ch", id, either(i, "body", "", "\x00\xff\n"),
			either(i, "0", "0", "1700000000000", "4102444800000"))
	case 3:
		i.ask("release", []string{l, n}, token, either(i, 0, 0, 50), "ch", id, either(i, "0", "1"), 3, 300)
	case 4:
		i.ask("renew", []string{l}, token, ttl)
	case 5:
		reply = i.ask("claim", []string{e, l}, token, holder, ttl)
		if got := reply[0].(int64); got != 0 { //nolint:errcheck,forcetypeassert // it is a number
			i.tokens = remember(i, i.tokens, decimal(got))
		}
	case 6:
		i.ask("abandon", []string{l}, holder, "ch", id)
	}
}

// barren renders a key some times, and writes nothing; what comes then finds it uncacheable.
func (i *improvisation) barren(id, holder string) {
	e, l, n := entryKey(id), "isrd:1:l:{"+id+"}", "isrd:1:n:{"+id+"}"
	for range 2 + i.rng.IntN(3) {
		reply := i.ask("read", []string{e, l, n}, strings.ReplaceAll(zeroVersion, "0", "f"), "1", either(i, "0", "1"), holder, 200, 1<<20)
		i.ask("release", []string{l, n}, reply[2], either(i, 0, 0, 0, 40), "ch", id, "1", 3, 300)
	}
}

func (i *improvisation) log() {
	hash, stream := logKey, streamKey
	known, name, tag := either(i, i.known...), either(i, "", "d1", "d2", "d3"), either(i, "t0", "t1", "t 2")
	if i.rng.IntN(2) == 0 {
		known = i.known[len(i.known)-1]
	}
	switch i.rng.IntN(12) {
	case 0, 1, 2, 3:
		i.count++
		nonce := fmt.Sprintf("n%d", i.count-i.rng.IntN(30)/29)
		reply := i.ask("append", []string{hash, stream}, "ch", either(i, known[0], known[1]), nonce, 4096, 1000, "marks\n\x00",
			tag, either(i, "", "", "never", "30", "700"), either(i, "t0", "t3"), either(i, "", "never", "100"))
		i.known = append(i.known[max(0, len(i.known)-6):], [3]string{decimal(reply[0].(int64)), decimal(reply[1].(int64)), nonce}) //nolint:errcheck,forcetypeassert // they are numbers
	case 4, 5, 6, 7:
		i.load(hash, stream, known, name)
	case 8:
		i.ask("ack", []string{hash}, "ch", either(i, "d1", "d2", "d3"), known[1])
	case 9:
		i.ask("members", []string{hash}, 1000)
	case 10:
		i.restore(hash, stream, tag)
	case 11:
		i.ask("prune", []string{hash}, either(i, i.newest(), known[0]), either(i, known[1], "5"), tag, "t3", "t9")
	}
}

// textAt is what a key has, over or not.
func (i *improvisation) textAt(key string) string {
	if v := i.keys[key]; v != nil {
		return v.text
	}
	return ""
}

// restore gives back what was lost, or what was not.
func (i *improvisation) restore(hash, stream, tag string) {
	if i.rng.IntN(2) == 0 {
		i.evict(hash)
		i.load(hash, stream, either(i, i.known...), "")
	}
	lost := either(i, i.known...)
	i.ask("restore", []string{hash, stream}, "ch", either(i, i.newest(), lost[0]), lost[0], either(i, lost[1], "8"), either(i, "0", lost[1]),
		either(i, "", "5 6;", "9 9;8 8;"), either(i, "0", "1700000000000"), tag, either(i, "7 7 0 0 3", lost[1]+" 0 "+lost[1]+" 1900000000000 9"),
		"t0", either(i, "1 5 9 1900000000000 1600000000000", "3 0 2 1700000000000 4102444800000"), "t9", "1 0 0 0 1")
}

// newest is the epoch that the log is in.
func (i *improvisation) newest() string {
	if v := i.keys[logKey]; v != nil {
		return v.hash["epoch"]
	}
	return "0"
}

// load asks as a follower, and knows then what it was told.
func (i *improvisation) load(hash, stream string, known [3]string, name string) {
	if i.rng.IntN(10) == 0 {
		known[2] = "another"
	}
	i.ask("load", []string{hash, stream}, known[0], known[1], known[2], either(i, 4096, 4096, 2), either(i, "0", "0", "0", "1"), "ch",
		name, either(i, "0", known[1]), 1000, either(i, 1<<40, 1<<40, 15))
	v := i.keys[hash]
	i.known = append(i.known[max(0, len(i.known)-6):], [3]string{v.hash["epoch"], v.hash["seq"], v.hash["nonce"]})
}
