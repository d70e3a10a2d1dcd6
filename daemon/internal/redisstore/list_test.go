package redisstore_test

import (
	"errors"
	"testing"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// A prefix is no pattern, and what another has written under such a key is passed over.
func TestList(t *testing.T) {
	server := redistest.Start(t)
	start(t, redisstore.Config{URL: server.URL(), Prefix: "px"})
	s := start(t, redisstore.Config{URL: server.URL(), Prefix: `p[x]?`})
	server.CLI("SET", `p[x]?:1:e:{00}`, "no value of isrd")
	server.CLI("RPUSH", `p[x]?:1:e:{01}`, "no string")
	cachetest.Lister(t, s)
}

func TestListOnCluster(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	cachetest.Lister(t, start(t, redisstore.Config{URL: redistest.StartCluster(t).URL()}))
}

func TestListOnSentinel(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	cachetest.Lister(t, start(t, redisstore.Config{URL: redistest.StartSentinel(t).URL()}))
}

// It asks for what it needs and for nothing that would hold up the others.
func TestListReadsBeginnings(t *testing.T) {
	server := redistest.Start(t)
	s := start(t, redisstore.Config{URL: server.URL()})
	cachetest.Lister(t, s)
	before := server.Commands()
	if err := s.List(t.Context(), cache.ListOptions{App: "a", Space: cache.Route}, func(cache.Listed) bool { return true }); err != nil {
		t.Fatal(err)
	}
	after := server.Commands()
	if n := after["getrange"] - before["getrange"]; n < 700 {
		t.Errorf("%d GETRANGE", n)
	}
	for _, command := range []string{"keys", "get", "mget"} {
		if after[command] != before[command] {
			t.Errorf("it has sent %s", command)
		}
	}
}

func TestListWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	s := start(t, redisstore.Config{URL: server.URL()})
	server.Stop()
	err := s.List(t.Context(), cache.ListOptions{App: "a", Space: cache.Route}, func(cache.Listed) bool { return true })
	if !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("error %v, want one that wraps ErrUnavailable", err)
	}
}
