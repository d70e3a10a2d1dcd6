package warm

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server, with what it was asked for.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func serve(t *testing.T, handler func(w http.ResponseWriter, r *http.Request)) (*site, *url.URL) {
	t.Helper()
	s := new(site)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Host+r.URL.EscapedPath())
		s.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := ParseTarget(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return s, u
}

func TestAnswersAreCounted(t *testing.T) {
	s, target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch name := strings.Trim(r.URL.Path, "/"); name {
		case "hit", "miss", "stale", "prerender":
			w.Header().Set("X-Nextjs-Cache", strings.ToUpper(name))
		case "moved":
			http.Redirect(w, r, "/target-of-the-redirect", http.StatusTemporaryRedirect)
		case "none":
			w.WriteHeader(http.StatusNotFound)
		case "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "cut":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		}
	})
	var results atomic.Int32
	counts, err := Run(t.Context(), Config{Target: target, Rate: 1000, Done: func(Result) { results.Add(1) }},
		[]string{"/hit", "/miss", "/stale", "/prerender", "/plain", "/moved", "/none", "/broken", "/cut", "/hit"})
	want := Counts{Hit: 2, Miss: 1, Stale: 1, Other: 2, Redirected: 1, Refused: 1, Failed: 2}
	if diff := cmp.Diff(want, counts); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if counts.Total() != 10 || results.Load() != 10 || len(s.asked) != 10 {
		t.Errorf("%v, %d results, %d requests", counts, results.Load(), len(s.asked))
	}
	if strings.Contains(strings.Join(s.asked, " "), "target-of") {
		t.Error("a redirect was followed")
	}
}

func TestRateAndConcurrencyAreKept(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	_, target := serve(t, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		arrived <- struct{}{}
		<-release
		mu.Lock()
		now--
		mu.Unlock()
	})
	go func() {
		for range 3 {
			<-arrived
		}
		close(release)
	}()
	begun := time.Now()
	paths := make([]string, 21)
	for i := range paths {
		paths[i] = fmt.Sprintf("/%d", i)
	}
	if _, err := Run(t.Context(), Config{Target: target, Rate: 100, Concurrency: 3}, paths); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 190*time.Millisecond || most != 3 {
		t.Errorf("%v for 21 requests at 100 a second, %d at a time", took, most)
	}
}

func TestWarmingStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, target := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	counts, err := Run(ctx, Config{Target: target, Rate: 1000}, make([]string, 100))
	if err == nil || counts.Total() > 10 {
		t.Errorf("%v, %v", counts, err)
	}
}

func pack(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func urlset(locations ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="i">` +
		"<url><image:image><image:loc>https://shop.example/no-page.png</image:loc></image:image><loc>\n" + strings.Join(locations, "</loc><priority>1</priority></url><url><loc>") + "</loc></url></urlset>"
}

func TestSitemaps(t *testing.T) {
	public, err := ParseTarget("https://shop.example")
	if err != nil {
		t.Fatal(err)
	}
	var s *site
	s, target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/index.xml":
			fmt.Fprintf(w, `<sitemapindex><sitemap><loc>https://shop.example/a.xml.gz</loc></sitemap><sitemap><loc>%s/b.xml</loc></sitemap>
				<sitemap><loc>https://evil.example/c.xml</loc></sitemap><sitemap><loc>/etc/passwd</loc></sitemap><sitemap><loc>%s/index.xml</loc></sitemap></sitemapindex>`, s.URL, s.URL)
		case "/a.xml.gz":
			_, _ = w.Write(pack(t, urlset("https://shop.example/", "https://shop.example/a?x=1&amp;y=2", "https://evil.example/x", "https://shop.example/caf%C3%A9")))
		case "/b.xml":
			fmt.Fprint(w, urlset("https://shop.example/a", s.URL+"/b", "https://shop.example:8443/x", "https://user:pw@shop.example/x", "/relative", "https://shop.example/a/../../x"))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	l := NewList(target, public)
	if err := l.AddSitemap(t.Context(), s.URL+"/index.xml"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/", "/a", "/caf%C3%A9", "/b"}, l.Paths()); diff != "" || l.Elsewhere != 6 || l.Odd != 1 {
		t.Errorf("%d elsewhere, %d odd (-want +got):\n%s", l.Elsewhere, l.Odd, diff)
	}
	l.most = 1 << 20
	file := filepath.Join(t.TempDir(), "sitemap.xml")
	for name, tc := range map[string]struct{ content, says string }{
		"an entity":  {`<!DOCTYPE urlset [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>`, "no XML"},
		"cut off":    {`<urlset><url><loc>https://shop.example/a`, "no XML"},
		"HTML":       {`<html><body></body></html>`, "neither a urlset"},
		"nothing":    {``, "no XML"},
		"a bomb":     {string(pack(t, "<urlset>"+strings.Repeat(" ", 1<<20)+"</urlset>")), "more than"},
		"a bad pack": {"\x1f\x8bxx", "unpack"},
	} {
		if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.AddSitemap(t.Context(), file); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.AddSitemap(t.Context(), s.URL+"/none.xml"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestRoutesOfABuild(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".next"), 0o700); err != nil {
		t.Fatal(err)
	}
	manifest := `{"version":4,"routes":{"/":{"initialRevalidateSeconds":60},"/a b":{},"/blog/caf%C3%A9":{},"/_not-found":{},"/100%":{}},"dynamicRoutes":{"/blog/[slug]":{}}}`
	if err := os.WriteFile(filepath.Join(dir, ".next", "prerender-manifest.json"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string][]string{
		"http://127.0.0.1:3000":       {"/", "/100%25", "/a%20b", "/blog/caf%C3%A9"},
		"http://127.0.0.1:3000/shop/": {"/shop", "/shop/100%25", "/shop/a%20b", "/shop/blog/caf%C3%A9"},
	} {
		u, err := ParseTarget(target)
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range []string{dir, filepath.Join(dir, ".next")} {
			l := NewList(u, nil)
			if err := l.AddBuild(folder); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, l.Paths()); diff != "" || l.Odd != 1 {
				t.Errorf("%s: %d odd (-want +got):\n%s", target, l.Odd, diff)
			}
		}
	}
	u, _ := ParseTarget("http://127.0.0.1:3000")
	l := NewList(u, nil)
	for _, name := range []string{"/route-cache/APP_PAGE/hash/$/index", "/index", "/index/index", "/über", "/a/../b"} {
		l.AddRoute(name)
	}
	if diff := cmp.Diff([]string{"/", "/index", "/%C3%BCber"}, l.Paths()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for _, text := range []string{"", "localhost:3000", "ftp://x", "http://u:p@x", "http://x?y", "http://x#y", "http://"} {
		if _, err := ParseTarget(text); err == nil {
			t.Errorf("%q is no target", text)
		}
	}
}
