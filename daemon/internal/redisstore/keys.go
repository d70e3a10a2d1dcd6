package redisstore

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// keys names everything in Redis. The 1 is the layout's version.
type keys struct{ prefix string }

func newKeys(prefix string) (keys, error) {
	if strings.ContainsAny(prefix, "{}* \t\r\n") {
		return keys{}, fmt.Errorf("prefix %q: want no blanks, stars or braces, such as isrd", prefix)
	}
	return keys{prefix: prefix + ":1:"}, nil
}

// entry, lease and idle of one key share a slot. idle counts its renders that ended without a write.
func (k keys) entry(id cache.ID) string { return k.prefix + "e:{" + string(id) + "}" }
func (k keys) lease(id cache.ID) string { return k.prefix + "l:{" + string(id) + "}" }
func (k keys) idle(id cache.ID) string  { return k.prefix + "n:{" + string(id) + "}" }

// entries is a pattern that every entry's name matches, and nothing else of isrd.
func (k keys) entries() string { return globs.Replace(k.prefix) + "e:{*}" }

// idOf takes the id out of an entry's name.
func (k keys) idOf(entry string) cache.ID {
	return cache.ID(strings.TrimSuffix(strings.TrimPrefix(entry, k.prefix+"e:{"), "}"))
}

// globs escapes what a pattern of Redis reads as more than itself; a prefix has no stars.
var globs = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `?`, `\?`)

// log and events of one app share a slot.
func (k keys) log(app string) string    { return k.app(app) + "log" }
func (k keys) events(app string) string { return k.app(app) + "events" }

// channel is where the app's events and hints are told.
func (k keys) channel(app string) string { return k.app(app) + "told" }

// queue are the keys of an app's queue, in the order of queue/prelude.lua; ready begins the names of its streams, and
// queueChannel is where its changes are told.
func (k keys) queue(app string) []string {
	var names []string
	for _, n := range []string{"jobs", "paths", "timers", "dead", "state", "builds"} {
		names = append(names, k.app(app)+"queue:"+n)
	}
	return names
}
func (k keys) ready(app string) string        { return k.app(app) + "queue:ready:" }
func (k keys) queueChannel(app string) string { return k.app(app) + "queue" }

// app escapes what would end the hash tag early, and what is awkward at a prompt.
func (k keys) app(app string) string { return k.prefix + "{" + url.PathEscape(app) + "}:" }
