package simulation_test

import (
	"maps"
	"slices"

	"github.com/isrd/isrd/daemon/internal/redisstore"
)

// tape is what Redis was asked and what the model answered: enough to ask a real one the same. The methods of nil do
// nothing.
type tape struct {
	turns  []turn
	server *redis  // as it is when all is over
	at     *script // the one under way
}

// turn is one script, or something that happened to the keys.
type turn struct {
	script     redisstore.Script
	keys, args []string
	micros     int64  // the time that the script saw
	run        string // and the server's run id
	left       []int64
	reply      []any
	told       []message
	// replaced, in place of all this, are the keys that the server has from now on.
	replaced map[string]*stored
}

// before takes note of what a script is given: of each of its keys the time that it has left, too, as PTTL says it. So
// it is known which of them are gone, by whatever it was.
func (t *tape) before(s *script, sc redisstore.Script) {
	if t == nil || sc.Source == "" {
		return
	}
	next := turn{script: sc, keys: s.names, args: s.args, micros: s.now, run: s.run}
	for _, k := range s.names {
		next.left = append(next.left, s.pttl(k))
	}
	t.server, t.at = s.redis, s
	t.turns = append(t.turns, next)
}

// after takes note of what it did.
func (t *tape) after(reply []any) {
	if t == nil || t.at == nil {
		return
	}
	last := &t.turns[len(t.turns)-1]
	last.reply, last.told = slices.Clone(reply), slices.Clone(t.at.told)
	t.at = nil
}

// replaced says that the server has other keys now: it is another, or has lost them.
func (t *tape) replaced(keys map[string]*stored) {
	if t != nil {
		t.turns = append(t.turns, turn{replaced: maps.Clone(keys)})
	}
}

// snapshot says that a replica begins to lag. What it has is said when it is the server.
func (*tape) snapshot() {}
