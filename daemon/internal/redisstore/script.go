package redisstore

import (
	"crypto/sha1" //nolint:gosec // it is how Redis names scripts
	"embed"
	"encoding/hex"
)

//go:embed scripts/*.lua scripts/queue/*.lua
var files embed.FS

// Script is one of the store's scripts. Its head says what it is given, what it returns and what it publishes.
type Script struct {
	// Name is that of its file in scripts, without .lua.
	Name string
	// Source is the Lua text, with the preludes that it needs.
	Source string

	hash string // by which Redis knows it
}

// newScript reads a script and joins it to its preludes.
func newScript(name string, preludes ...string) Script {
	var all string
	for _, n := range append(preludes, name) {
		b, err := files.ReadFile("scripts/" + n + ".lua")
		if err != nil {
			panic(err) // it is part of the binary
		}
		all += string(b)
	}
	hash := sha1.Sum([]byte(all)) //nolint:gosec // as above
	return Script{Name: name, Source: all, hash: hex.EncodeToString(hash[:])}
}

var (
	readScript    = newScript("read", "entry")
	writeScript   = newScript("write", "entry")
	releaseScript = newScript("release", "entry")
	renewScript   = newScript("renew", "entry")
	claimScript   = newScript("claim", "entry")
	abandonScript = newScript("abandon", "entry")
	appendScript  = newScript("append", "log")
	loadScript    = newScript("load", "log")
	ackScript     = newScript("ack", "log")
	membersScript = newScript("members", "log")
	restoreScript = newScript("restore", "log")
	pruneScript   = newScript("prune", "log")

	queueAddScript    = newScript("queue/add", "queue/prelude")
	queueTakeScript   = newScript("queue/take", "queue/prelude")
	queueRenewScript  = newScript("queue/renew", "queue/prelude")
	queueEndScript    = newScript("queue/end", "queue/prelude")
	queueEditScript   = newScript("queue/edit", "queue/prelude")
	queueGetScript    = newScript("queue/get", "queue/prelude")
	queueBuildsScript = newScript("queue/builds", "queue/prelude")
	queueLeadScript   = newScript("queue/lead", "queue/prelude")
)
