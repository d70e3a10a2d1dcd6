package redisstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

const redisKey = "isrd:1:e:{"

func TestUnreadableValues(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL()})
	for _, tc := range []struct {
		name   string
		kind   string
		damage func(name string, whole string)
		// keeps says that a value older than what is there does not replace it: its first line says what it is.
		keeps bool
	}{
		{"a later format", "format", func(name, whole string) {
			server.CLI("SET", name, strings.Replace(whole, "isrd/1", "isrd/2", 1))
		}, true},
		{"a later frame", "frame", func(name, _ string) {
			server.CLI("SETRANGE", name, "75", "\x7f")
		}, true},
		{"a damaged body", "frame", func(name, _ string) {
			server.CLI("SETRANGE", name, "90", "damage")
		}, true},
		{"a body cut off", "frame", func(name, whole string) { server.CLI("SET", name, whole[:76]) }, true},
		{"a first line cut off", "foreign", func(name, whole string) { server.CLI("SET", name, whole[:40]) }, false},
		{"another program's string", "foreign", func(name, _ string) {
			server.CLI("SET", name, "{\"json\": true}")
		}, false},
		{"another program's list", "foreign", func(name, _ string) {
			server.CLI("DEL", name)
			server.CLI("RPUSH", name, "x")
		}, false},
		{"another key's value", "key", func(name, _ string) {
			other := key
			other.Name = "/other"
			if _, err := d.Write(t.Context(), entryOf(other, 5), cache.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			server.CLI("COPY", redisKey+string(other.ID())+"}", "x")
			server.CLI("EVAL", "redis.call('SET', KEYS[1], redis.call('GET', KEYS[2]))", "2", name, redisKey+string(other.ID())+"}")
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server.CLI("FLUSHALL")
			k := key
			k.Name = "/" + tc.name
			name := redisKey + string(k.ID()) + "}"
			if stored, err := d.Write(t.Context(), entryOf(k, 5), cache.WriteOptions{}); err != nil || !stored {
				t.Fatal(stored, err)
			}
			tc.damage(name, "isrd/1 0000000000000001.0000000000000000.0000000000000005 0001700000000000\n\x01\x01")
			before := counted(t, d, tc.kind)
			kind := server.CLI("TYPE", name)

			// It counts as absent: with an error that says so, and the lease all the same.
			r, err := d.Read(t.Context(), k, cache.ReadOptions{Lease: true, Holder: "h", TTL: time.Minute})
			if !errors.Is(err, cache.ErrUnreadable) || errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("read: %v", err)
			}
			if r.Entry != nil || !r.Granted || r.Token <= 5 {
				t.Errorf("reading: %+v", r)
			}
			if n := counted(t, d, tc.kind) - before; n != 1 {
				t.Errorf("%v counted as %s", n, tc.kind)
			}
			if n := strings.Count(d.logs.String(), "kind="+tc.kind); n != 1 {
				t.Errorf("kind %s was logged %d times", tc.kind, n)
			}
			// It is still there, for the daemons that can read it.
			if got := server.CLI("TYPE", name); got != kind {
				t.Errorf("after the read the value is a %q, it was a %q", got, kind)
			}
			// An older write replaces it only if it is no value at all; a newer one always does.
			if stored, err := d.Write(t.Context(), entryOf(k, 4), cache.WriteOptions{}); err != nil || stored == tc.keeps {
				t.Errorf("an older write was stored: %v, %v", stored, err)
			}
			if stored, err := d.Write(t.Context(), entryOf(k, 6), cache.WriteOptions{Lease: r.Token}); err != nil || !stored {
				t.Errorf("a newer write was stored: %v, %v", stored, err)
			}
			if r, err := d.Read(t.Context(), k, cache.ReadOptions{}); err != nil || r.Entry == nil || r.Held {
				t.Errorf("afterwards: %+v, %v", r, err)
			}
		})
	}
}

func counted(t *testing.T, d *daemon, kind string) float64 {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "isrd_redisstore_unreadable_values_total" && m.GetLabel()[0].GetValue() == kind {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// The first line is for people, and for daemons of every version.
func TestFirstLine(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL()})
	e := entryOf(key, 0)
	e.Version = cache.Version{Epoch: 0x1234567890abc, Seq: 15, Token: 0xabcdef}
	if _, err := d.Write(t.Context(), e, cache.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	line := server.CLI("GETRANGE", redisKey+string(key.ID())+"}", "0", "73")
	if want := "isrd/1 0001234567890abc.000000000000000f.0000000000abcdef 0001"; !strings.HasPrefix(line, want) {
		t.Errorf("got  %q\nwant %q…", line, want)
	}
	if ttl := server.CLI("TTL", redisKey+string(key.ID())+"}"); ttl != "3600" && ttl != "3599" {
		t.Errorf("kept for %s s, its lifetime is an hour", ttl)
	}
	if _, err := d.Write(t.Context(), &cache.Entry{Key: key, Version: cache.Version{Token: 1 << 53}}, cache.WriteOptions{}); err == nil {
		t.Error("a version that scripts cannot count with was taken")
	}
	if n := testutil.CollectAndCount(d.registry, "isrd_redisstore_unreadable_values_total"); n != 0 {
		t.Errorf("%d kinds of unreadable values", n)
	}
}
