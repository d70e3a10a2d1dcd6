package warm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// ParseTarget reads the address of a process: http://host:port, with the app's base path if it has one.
func ParseTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q: write http://host:port, with the base path of the app if it has one", text)
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
	return u, nil
}

// List collects paths, each once, in the order in which they come.
type List struct {
	target, origin *url.URL
	paths          []string
	seen           map[string]bool
	most           int64 // bytes of a sitemap, unpacked
	// Elsewhere counts addresses of other origins, which are left out, and Odd those that are no pages.
	Elsewhere, Odd int
}

// NewList returns a list for a target. origin is what sitemaps call it, such as https://shop.example; nil: as target.
func NewList(target, origin *url.URL) *List {
	if origin == nil {
		origin = target
	}
	return &List{target: target, origin: origin, seen: make(map[string]bool), most: maxSitemap}
}

// Paths are those that were added.
func (l *List) Paths() []string { return l.paths }

// AddURL adds an address from a sitemap, if it is of the origin or the target.
func (l *List) AddURL(text string) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.User != nil || !same(u, l.origin) && !same(u, l.target) {
		l.Elsewhere++
		return
	}
	l.add(u.EscapedPath())
}

func same(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

// AddRoute adds a path as a build or a cache key names it: without the base path, and perhaps not escaped.
func (l *List) AddRoute(name string) {
	path := queue.PathOf(name)
	if strings.HasPrefix(path, "/_") || !strings.HasPrefix(path, "/") {
		l.Odd++ // /_not-found and the like
		return
	}
	path = escape(path)
	if path == "/" && l.target.Path != "" {
		path = ""
	}
	l.add(l.target.EscapedPath() + path)
}

func (l *List) add(path string) {
	if path == "" {
		path = "/"
	}
	if queue.CheckPath(path) != nil {
		l.Odd++
		return
	}
	if !l.seen[path] {
		l.seen[path] = true
		l.paths = append(l.paths, path)
	}
}

// escape escapes what has to be in a path, and leaves alone what is.
func escape(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		switch {
		case c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]), c == '/':
			b.WriteByte(c)
		case c >= 0x80 || c == '%':
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteString(url.PathEscape(string(rune(c))))
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// maxManifest is more than a build with a hundred thousand pages has.
const maxManifest = 256 << 20

// AddBuild adds the pages that a build has prerendered. dir is its .next, or the folder that has it.
func (l *List) AddBuild(dir string) error {
	const name = "prerender-manifest.json"
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.Open(filepath.Join(dir, ".next", name))
	}
	if err != nil {
		return fmt.Errorf("open the manifest of the build: %w", err)
	}
	var manifest struct {
		Routes map[string]json.RawMessage `json:"routes"`
	}
	err = json.NewDecoder(io.LimitReader(f, maxManifest)).Decode(&manifest)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	for _, route := range slices.Sorted(maps.Keys(manifest.Routes)) {
		l.AddRoute(route)
	}
	return nil
}
