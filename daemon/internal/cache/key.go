package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Space is the key space of a lookup; the numbers are those of the wire and of stored keys.
type Space uint8

// The key spaces.
const (
	// Route holds pages and route handlers, scoped by app and build.
	Route Space = 1
	// Fetch holds fetch() and unstable_cache results, scoped by app.
	Fetch Space = 2
	// Image holds optimised images, scoped by app.
	Image Space = 3
	// UseCache holds 'use cache' results, scoped by app; the name carries the build.
	UseCache Space = 4
)

var spaceNames = map[Space]string{Route: "route", Fetch: "fetch", Image: "image", UseCache: "use-cache"}

// String gives the name used in metrics.
func (s Space) String() string {
	if n, ok := spaceNames[s]; ok {
		return n
	}
	return "unknown"
}

// Key names one entry.
type Key struct {
	// App owns the entry.
	App string
	// Build scopes a Route key; it is ignored in the other spaces.
	Build string
	// Space is the key space.
	Space Space
	// Name is Next.js's cache key, opaque.
	Name string
}

// ErrKey is wrapped by the errors of Validate.
var ErrKey = errors.New("invalid key")

// maxName bounds Next.js's key: 'use cache' keys carry serialised arguments, nothing else comes near it. The other two
// are names that people give.
const (
	maxName  = 64 << 10
	maxApp   = 128
	maxBuild = 256
)

// Validate says what is wrong with a key that came from outside.
func (k Key) Validate() error {
	switch {
	case k.App == "":
		return fmt.Errorf("%w: app is empty; set ISRD_APP or the name in package.json", ErrKey)
	case len(k.App) > maxApp:
		return fmt.Errorf("%w: app has %d bytes, the limit is %d", ErrKey, len(k.App), maxApp)
	case len(k.Build) > maxBuild:
		return fmt.Errorf("%w: build has %d bytes, the limit is %d", ErrKey, len(k.Build), maxBuild)
	case spaceNames[k.Space] == "":
		return fmt.Errorf("%w: space %d is unknown; use SPACE_ROUTE, SPACE_FETCH, SPACE_IMAGE or SPACE_USE_CACHE", ErrKey, k.Space)
	case k.Name == "":
		return fmt.Errorf("%w: name is empty; it is Next.js's cache key, such as /index", ErrKey)
	case len(k.Name) > maxName:
		return fmt.Errorf("%w: name has %d bytes, the limit is %d", ErrKey, len(k.Name), maxName)
	}
	return nil
}

// ID identifies a key everywhere: in memory, in the store, in hints between daemons. 32 hex digits.
type ID string

// ID derives the key's identity: the first 128 bits of a SHA-256 over its length-prefixed fields.
func (k Key) ID() ID {
	build := k.Build
	if k.Space != Route {
		build = ""
	}
	b := make([]byte, 0, 128)
	b = append(b, byte(k.Space))
	for _, s := range [...]string{k.App, build, k.Name} {
		b = append(b, byte(len(s)>>24), byte(len(s)>>16), byte(len(s)>>8), byte(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	return ID(hex.EncodeToString(sum[:16]))
}

// Tag is the tag that stands for the key itself, by which an entry without tags is invalidated. No tag of Next.js
// begins with a NUL.
func (id ID) Tag() string { return keyTag + string(id) }

const keyTag = "\x00key:"

// KeyOfTag gives the bytes of the ID that a tag of ID.Tag stands for.
func KeyOfTag(t string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(t, keyTag)
	if !ok {
		return nil, false
	}
	id, err := hex.DecodeString(digits)
	return id, err == nil
}
