package simulation_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // it is how Redis names scripts
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// ahead is added to the times that keys have left, so that none runs out while it is replayed: what is gone in the model is
// deleted instead.
const ahead = 100_000 // ms

// preamble is put before a script: it takes the time and the server's run id from the last argument, keeps what is
// published, and lets keys live longer.
var preamble = `local __redis, __at, __told = redis, cjson.decode(table.remove(ARGV)), {}
local redis = {}
function redis.call(command, ...)
  local a = { ... }
  if command == 'TIME' then
    return { __at[1], __at[2] }
  elseif command == 'PUBLISH' then
    __told[#__told + 1] = a[1]
    __told[#__told + 1] = a[2]
    return 0
  elseif command == 'SET' and a[3] == 'PX' then
    a[4] = a[4] + ` + strconv.Itoa(ahead) + `
  elseif command == 'PEXPIRE' then
    a[2] = a[2] + ` + strconv.Itoa(ahead) + `
  end
  return __redis.call(command, unpack(a))
end
function redis.pcall(command, ...)
  if command == 'INFO' then
    return 'run_id:' .. __at[3] .. '\r\n'
  end
  return __redis.pcall(command, ...)
end
`

// rewritten is a script that does so, and returns what it publishes beside what it returns.
func rewritten(source string) string {
	return preamble + "local function __main()\n" + source + "\nend\nlocal __reply = __main()\nreturn { __reply, __told }\n"
}

// player replays tapes on a real server.
type player struct {
	t      *testing.T
	client goredis.UniversalClient
	hashes map[string]string // by source
	checks []func() error
	pipe   goredis.Pipeliner
	calls  int
}

func newPlayer(t *testing.T, client goredis.UniversalClient) *player {
	t.Helper()
	t.Cleanup(func() { _ = client.Close() })
	return &player{t: t, client: client, hashes: make(map[string]string), pipe: client.Pipeline()}
}

// each does something on every node.
func (p *player) each(do func(ctx context.Context, node *goredis.Client) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	var err error
	switch c := p.client.(type) {
	case *goredis.ClusterClient:
		err = c.ForEachMaster(ctx, do)
	case *goredis.Client:
		err = do(ctx, c)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) flushAll() {
	p.each(func(ctx context.Context, node *goredis.Client) error { return node.FlushAll(ctx).Err() })
}

// hash loads a script, once.
func (p *player) hash(sc redisstore.Script) string {
	h, ok := p.hashes[sc.Source]
	if !ok {
		source := rewritten(sc.Source)
		sum := sha1.Sum([]byte(source)) //nolint:gosec // as above
		h = hex.EncodeToString(sum[:])
		p.each(func(ctx context.Context, node *goredis.Client) error { return node.ScriptLoad(ctx, source).Err() })
		p.hashes[sc.Source] = h
	}
	return h
}

// play replays one tape and returns how many scripts it has.
func (p *player) play(t *tape) error {
	p.flushAll()
	for n, step := range t.turns {
		if step.replaced != nil {
			if err := p.finish(); err != nil {
				return err
			}
			p.flushAll()
			p.fill(step)
			continue
		}
		p.ask(n, step)
		if len(p.checks) >= 256 {
			if err := p.finish(); err != nil {
				return err
			}
		}
	}
	if err := p.finish(); err != nil {
		return err
	}
	return p.compareKeys(t)
}

// ask queues one script.
func (p *player) ask(n int, step turn) {
	ctx := p.t.Context()
	for i, k := range step.keys {
		switch left := step.left[i]; {
		case left == -2, left == 0 && strings.Contains(k, ":l:{"): // a lease is over when it has no time left
			p.pipe.Del(ctx, k)
		case left >= 0:
			p.pipe.PExpire(ctx, k, time.Duration(left+ahead)*time.Millisecond)
		}
	}
	args := []any{"evalsha", p.hash(step.script), len(step.keys)}
	for _, k := range step.keys {
		args = append(args, k)
	}
	for _, a := range step.args {
		args = append(args, a)
	}
	at := fmt.Sprintf(`["%d","%d",%q]`, step.micros/1_000_000, step.micros%1_000_000, step.run)
	cmd := p.pipe.Do(ctx, append(args, at)...)
	p.calls++
	p.checks = append(p.checks, func() error {
		result, err := cmd.Slice()
		if err == nil {
			err = compare(step, result)
		}
		if err != nil {
			return fmt.Errorf("call %d, %s %q %q: %w", n, step.script.Name, step.keys, step.args, err)
		}
		return nil
	})
}

// finish sends what is queued and compares the replies.
func (p *player) finish() error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	checks := p.checks
	p.checks = nil
	if _, err := p.pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		if errs := firstOf(checks); errs != nil {
			return errs
		}
		return fmt.Errorf("replay: %w", err)
	}
	return firstOf(checks)
}

func firstOf(checks []func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// fill gives the server the keys of a model.
func (p *player) fill(step turn) {
	ctx := p.t.Context()
	for _, k := range slices.Sorted(maps.Keys(step.replaced)) {
		v := step.replaced[k]
		switch {
		case v.hash != nil:
			p.pipe.HSet(ctx, k, v.hash)
		case v.stream != nil:
			for _, i := range v.stream {
				p.pipe.XAdd(ctx, &goredis.XAddArgs{Stream: k, ID: i.id, Values: []string{i.field, i.value}})
			}
		default:
			p.pipe.Set(ctx, k, v.text, 0)
		}
	}
}

// compare says in what a real reply and what was published differ from the model's.
func compare(step turn, result []any) error {
	reply, ok := result[0].([]any)
	if !ok {
		return fmt.Errorf("replied with %T", result[0])
	}
	want := step.reply
	if step.script.Name == "load" && len(want) > 6 && want[0] == "whole" && len(reply) == len(want) {
		want, reply = slices.Clone(want), slices.Clone(reply)
		sortPairs(want[7:])
		sortPairs(reply[7:])
	}
	if len(reply) != len(want) {
		return fmt.Errorf("replied with %q, the model with %q", reply, want)
	}
	for i := range want {
		if !same(want[i], reply[i]) {
			return fmt.Errorf("result %d is %v, the model has %v\nreal  %q\nmodel %q", i+1, reply[i], want[i], reply, want)
		}
	}
	var told []any
	for _, m := range step.told {
		told = append(told, m.channel, m.text)
	}
	if fmt.Sprintf("%q", told) != fmt.Sprintf("%q", result[1]) {
		return fmt.Errorf("told %q, the model %q", result[1], told)
	}
	return nil
}

// same allows for the time that keys have in addition while they are replayed, and that has passed.
func same(want, got any) bool {
	if want == got {
		return true
	}
	w, ok := want.(int64)
	g, is := got.(int64)
	const late = 5000 // ms
	return ok && is && w > 0 && w+ahead-late < g && g <= w+ahead
}

func sortPairs(list []any) {
	var pairs [][2]string
	for i := 0; i+1 < len(list); i += 2 {
		pairs = append(pairs, [2]string{fmt.Sprint(list[i]), fmt.Sprint(list[i+1])})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for i, p := range pairs {
		list[2*i], list[2*i+1] = p[0], p[1]
	}
}

// compareKeys says in what the server's logs differ from the model's when all is over: what no reply has shown.
func (p *player) compareKeys(t *tape) error {
	ctx := p.t.Context()
	for k, v := range t.server.keys {
		switch {
		case v.hash != nil:
			got, err := p.client.HGetAll(ctx, k).Result()
			if err != nil || !maps.Equal(got, v.hash) {
				return fmt.Errorf("%s is %q, in the model %q (%w)", k, got, v.hash, errors.Join(err))
			}
		case v.stream != nil:
			got, err := p.client.XRange(ctx, k, "-", "+").Result()
			if err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
			equal := slices.EqualFunc(got, v.stream, func(m goredis.XMessage, i item) bool { return m.ID == i.id && m.Values[i.field] == i.value })
			if !equal {
				return fmt.Errorf("%s is %v, in the model %v", k, got, v.stream)
			}
		}
	}
	return nil
}

// standalone and cluster are what tapes are replayed on.
func standalone(t *testing.T) goredis.UniversalClient {
	t.Helper()
	return goredis.NewClient(&goredis.Options{Addr: redistest.Start(t).Addr(), Protocol: 2, PoolSize: 2})
}

func cluster(t *testing.T) goredis.UniversalClient {
	t.Helper()
	c := redistest.StartCluster(t)
	var hosts []string
	for _, n := range c.Nodes {
		hosts = append(hosts, n.Addr())
	}
	return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: hosts, Protocol: 2, PoolSize: 2})
}

// servers are what tapes are replayed on.
var servers = map[string]func(*testing.T) goredis.UniversalClient{"standalone": standalone, "cluster": cluster}

// replay asks real servers what models were asked, and wants the same replies, the same messages, and the same logs in the
// end.
func replay(t *testing.T, tapes []*tape) {
	t.Helper()
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			p := newPlayer(t, start(t))
			for i, tape := range tapes {
				if err := p.play(tape); err != nil {
					t.Fatalf("tape %d: %v", i, err)
				}
			}
			t.Logf("%d scripts on %d tapes, %v", p.calls, len(tapes), time.Since(begun).Round(time.Millisecond))
		})
	}
}

// TestScriptsDoWhatTheModelsDo replays what the daemons of seeds have asked; ISRD_SIMULATE_TAPES is of how many seeds.
func TestScriptsDoWhatTheModelsDo(t *testing.T) {
	const otherwise = 20
	var tapes []*tape
	shard, shards := shardOf(t)
	for seed := shard; seed < setting(t, "ISRD_SIMULATE_TAPES", otherwise); seed += shards {
		inBubble(t, seed, func() {
			w := newWorld(seed, plan{tape: true})
			w.tape = new(tape)
			w.play()
			tapes = append(tapes, w.tape)
		})
	}
	replay(t, tapes)
}

// TestScriptsDoWhatTheModelsDoWithAnything replays what no daemon asks.
func TestScriptsDoWhatTheModelsDoWithAnything(t *testing.T) {
	scripts := readScripts(t)
	const seeds, turns = 15, 1000
	tapes := make([]*tape, seeds)
	synctest.Test(t, func(*testing.T) {
		for i := range tapes {
			tapes[i] = improvise(uint64(i), scripts, turns)
		}
	})
	replay(t, tapes)
}
