package webhook

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isrd/isrd/daemon/internal/queue"
)

func TestWhatMayBeAskedFor(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}})
	for name, tc := range map[string]struct {
		body        string
		paths, tags []string
	}{
		"an object":        {`{"paths":["/a","/b","/a"],"tags":["t"]}`, []string{"/a", "/b"}, []string{"t"}},
		"one of each":      {`{"paths":"/a","tags":"t"}`, []string{"/a"}, []string{"t"}},
		"objects":          {`[{"paths":["/a"]},{"tags":["t"]},{"paths":["/b"]}]`, []string{"/a", "/b"}, []string{"t"}},
		"strings":          {`["/a","t","/b"]`, []string{"/a", "/b"}, []string{"t"}},
		"both":             {` ["/a",{"tags":["t"]}] `, []string{"/a"}, []string{"t"}},
		"tags only":        {`{"tags":["t"]}`, nil, []string{"t"}},
		"escaped":          {`["/caf%C3%A9/a%2Fb","/café"]`, []string{"/caf%C3%A9/a%2Fb", "/café"}, nil},
		"dots in a name":   {`["/a..b/...","/.well-known/x"]`, []string{"/a..b/...", "/.well-known/x"}, nil},
		"a tag with a URL": {`{"tags":["https://x/"]}`, nil, []string{"https://x/"}},
	} {
		a := e.withToken("/revalidate/shop", tc.body)
		paths, tags := e.asked()
		if a.status != http.StatusAccepted || !slices.Equal(paths, tc.paths) || !slices.Equal(tags, tc.tags) {
			t.Errorf("%s: %d %s, %q and %q", name, a.status, a.Error, paths, tags)
		}
		if len(a.JobIDs) != len(tc.paths) || len(tc.paths) > 0 && a.JobID != a.JobIDs[0] || a.RequestID == "" || a.header.Get("X-Request-Id") != a.RequestID {
			t.Errorf("%s: %+v", name, a.reply)
		}
		if (a.FleetWide != nil) != (len(tc.tags) > 0) {
			t.Errorf("%s: fleet_wide is %v", name, a.FleetWide)
		}
	}
	if n := testutil.ToFloat64(e.metrics.requests.WithLabelValues("accepted")); n != 9 {
		t.Errorf("%v are counted", n)
	}
}

func TestWhatIsRefused(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}, Apps: []string{"shop", "blog"}})
	for name, tc := range map[string]struct {
		body string
		says string
	}{
		"nothing":             {``, "empty"},
		"no JSON":             {`{"paths":["/a"]`, "the body"},
		"two values":          {`{"paths":["/a"]}{}`, "follows"},
		"a word":              {`"/a"`, "or an array"},
		"neither":             {`{}`, "neither"},
		"a typo":              {`{"path":["/a"]}`, "unknown field"},
		"a number":            {`[1]`, "the body"},
		"no UTF-8":            {"[\"/\xff\"]", "UTF-8"},
		"an absolute URL":     {`{"paths":["https://evil.example/a"]}`, "one slash"},
		"the same, bare":      {`["https://evil.example/a"]`, "is a URL"},
		"another host":        {`["//evil.example/a"]`, "one slash"},
		"a backslash":         {`["/\\evil.example"]`, "backslash"},
		"a hidden backslash":  {`["/%5Cevil.example"]`, "hides"},
		"climbing":            {`["/a/../../b"]`, "climb"},
		"climbing, escaped":   {`["/a/%2e%2E/b"]`, "climb"},
		"climbing, hidden":    {`["/a/..%2f..%2fb"]`, "climb"},
		"a query":             {`["/a?x=1"]`, "query"},
		"a fragment":          {`["/a#x"]`, "fragment"},
		"a header":            {`["/a\r\nx: y"]`, "control"},
		"a hidden header":     {`["/a%0d%0ax:y"]`, "hides"},
		"NUL":                 {`["/a\u0000"]`, "control"},
		"hidden non-UTF-8":    {`["/%ff"]`, "hides"},
		"a broken escape":     {`["/a%zz"]`, "escaped"},
		"an empty path":       {`{"paths":[""]}`, "one slash"},
		"a relative path":     {`{"paths":["a"]}`, "one slash"},
		"a long path":         {`["/` + strings.Repeat("a", 2048) + `"]`, "limit"},
		"an empty tag":        {`{"tags":[""]}`, "1 to"},
		"a tag of a key":      {`{"tags":["\u0000k"]}`, "control"},
		"too many paths":      {`["/0"` + many(20_000) + `]`, "more than 20000"},
		"one wrong of many":   {`["/a","/b","/../c"]`, "climb"},
		"depth without bound": {strings.Repeat("[", 100_000), "JSON"},
	} {
		a := e.withToken("/revalidate/shop", tc.body)
		paths, tags := e.asked()
		if a.status != http.StatusBadRequest || !strings.Contains(a.Error, tc.says) || len(paths)+len(tags) > 0 {
			t.Errorf("%s: %d %q, which does not say %q; %q", name, a.status, a.Error, tc.says, paths)
		}
		if len(a.Error) > 500 {
			t.Errorf("%s: an error of %d bytes", name, len(a.Error))
		}
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"/p/%d"`, i)
	}
	return b.String()
}

func TestTheAppIsNamed(t *testing.T) {
	two := start(t, Config{Tokens: []string{token}, Apps: []string{"shop", "@acme/web"}})
	one := start(t, Config{Tokens: []string{token}, Apps: []string{"shop"}})
	for _, tc := range []struct {
		e      *endpoint
		path   string
		status int
	}{
		{two, "/revalidate/shop", 202}, {two, "/revalidate?app=shop", 202}, {two, "/revalidate/%40acme%2Fweb", 202}, {two, "/revalidate?app=@acme/web", 202},
		{two, "/revalidate", 400}, {two, "/revalidate/shop?app=shop", 202}, {two, "/revalidate/shop?app=@acme/web", 400}, {two, "/revalidate?app=shop&app=shop", 400},
		{two, "/revalidate/other", 404}, {two, "/revalidate/@acme/web", 404}, {two, "/revalidate/a/b/c", 404}, {two, "/revalidates", 404}, {two, "/", 404},
		{two, "/revalidate/shop?wait=1h", 400}, {two, "/revalidate/shop?wait=soon", 400}, {one, "/revalidate", 202}, {one, "/revalidate/", 202},
	} {
		if a := tc.e.withToken(tc.path, `["/a"]`); a.status != tc.status || a.status >= 400 && a.Error == "" {
			t.Errorf("%s: %d %s; want %d", tc.path, a.status, a.Error, tc.status)
		}
	}
	r := two.request("/revalidate/shop", "")
	r.Method = http.MethodGet
	if a := two.do(r); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.status)
	}
	for kind, status := range map[string]int{
		"text/plain": 415, "application/x-www-form-urlencoded": 415, "": 415,
		"application/json; charset=utf-8": 202, "application/vnd.contentful.management.v1+json": 202,
	} {
		if a := two.post("/revalidate/shop", `["/a"]`, "Authorization", "Bearer "+token, "Content-Type", kind); a.status != status {
			t.Errorf("%q: %d", kind, a.status)
		}
	}
}

func TestWhoWaitsIsToldTheEnd(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}})
	done := make(chan answer, 1)
	r := e.request("/revalidate/shop?wait=20s", `["/a"]`, "Authorization", "Bearer "+token)
	go func() {
		a, _ := e.try(r)
		done <- a
	}()
	ready, stop := e.Listen("shop", queue.Ready)
	defer stop()
	var job queue.Job
	for deadline := time.After(10 * time.Second); job.ID == ""; {
		c, err := e.Claim(t.Context(), "shop", queue.ClaimOptions{By: "w", Limit: 1, Free: map[string]int{"b": 1}})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Jobs) == 1 {
			job = c.Jobs[0]
			continue
		}
		select {
		case <-ready:
		case <-deadline:
			t.Fatal("there is no job")
		}
	}
	if ok, err := e.Finish(t.Context(), "shop", job.Claim(), queue.Result{Verdict: queue.Complete, Outcome: queue.Written, HTTPStatus: 200}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	a := <-done
	want := []jobReport{{JobID: job.ID, Path: "/a", State: "done", Outcome: "written", Status: 200, Attempt: 1}}
	if diff := cmp.Diff(want, a.Jobs); a.status != http.StatusOK || diff != "" {
		t.Errorf("%d (-want +got):\n%s", a.status, diff)
	}
	if a := e.withToken("/revalidate/shop?wait=10ms", `["/b"]`); a.status != http.StatusAccepted || len(a.Jobs) != 1 || a.Jobs[0].State != "queued" {
		t.Errorf("a job that has not ended: %d %+v", a.status, a.reply)
	}
	if a := e.withToken("/revalidate/shop?wait=10s", `{"tags":["t"]}`); a.status != http.StatusOK {
		t.Errorf("tags only, which are revalidated: %d", a.status)
	}
}

// A thousand waiters that look at a thousand jobs whenever one of anybody ends would be all that the store does.
func TestWhoWaitsDoesNotLookAtEveryEnd(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}})
	done := make(chan answer, 1)
	r := e.request("/revalidate/shop?wait=500ms", `["/a"]`, "Authorization", "Bearer "+token)
	begun := time.Now()
	go func() {
		a, _ := e.try(r)
		done <- a
	}()
	for others := 0; ; others++ {
		select {
		case <-done:
			e.mu.Lock()
			defer e.mu.Unlock()
			if most := int(time.Since(begun)/lookEvery) + 2; e.looks > most {
				t.Errorf("%d looks while %d other jobs ended, want at most %d", e.looks, others, most)
			}
			return
		default:
			tickets, err := e.Enqueue(t.Context(), "shop", []queue.Request{{Path: fmt.Sprint("/other/", others), Priority: queue.Bulk}})
			if err != nil {
				t.Fatal(err)
			}
			if n, err := e.Drop(t.Context(), "shop", []string{tickets[0].ID}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
}

func TestAWaitEndsWhenTheDaemonStops(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}})
	stops := make(chan struct{})
	close(stops)
	w := httptest.NewRecorder()
	r := e.request("/revalidate/shop?wait=1m", `["/a"]`, "Authorization", "Bearer "+token)
	r.RemoteAddr = "192.0.2.1:1"
	e.Handler(stops).ServeHTTP(w, r)
	if w.Code != http.StatusAccepted {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestErrorsOfTheStoreAreTold(t *testing.T) {
	e := start(t, Config{Secrets: []string{secret}})
	header := signed(secret, time.Now(), "d1", `["/a"]`)
	for _, tc := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("x: %w", queue.ErrFull), 503, "full"}, {fmt.Errorf("redis.internal:6379: %w", queue.ErrUnavailable), 503, "does not answer"},
		{fmt.Errorf("%w: app", queue.ErrRequest), 400, "app"}, {io.ErrUnexpectedEOF, 500, "log"},
	} {
		e.fail(tc.err)
		a := e.post("/revalidate/shop", `["/a"]`, header...)
		if a.status != tc.status || !strings.Contains(a.Error, tc.says) || strings.Contains(a.Error, "redis") || a.status == 503 && a.header.Get("Retry-After") == "" {
			t.Errorf("%v: %d %s", tc.err, a.status, a.Error)
		}
	}
	// What was not taken may be sent again, by the same delivery.
	e.fail(nil)
	if a := e.post("/revalidate/shop", `["/a"]`, header...); a.status != http.StatusAccepted {
		t.Errorf("sent again: %d %s", a.status, a.Error)
	}
	if a := e.post("/revalidate/shop", `["/a"]`, header...); a.status != http.StatusConflict {
		t.Errorf("and again: %d %s", a.status, a.Error)
	}
}

func TestSourcesShowWhoTheyAreInTheirOwnWay(t *testing.T) {
	m, err := load(t, docMap(t))
	if err != nil {
		t.Fatal(err)
	}
	sanity := time.UnixMilli(1633519811129)
	e := start(t, Config{Map: m, Secrets: []string{secret}, Tokens: []string{"the-daemon's-token"}, Now: func() time.Time { return sanity.Add(time.Minute) }})
	shopify := `{"id":1,"handle":"shirt"}`
	sent := func(key string) string { return base64.StdEncoding.EncodeToString(sign(key, shopify)) }
	for _, tc := range []struct {
		name, path, body string
		header           []string
		status           int
		paths            string
	}{
		// The signature is that of the documentation of @sanity/webhook; the payload matches no rule.
		{"Sanity", "/sanity", `{"_id":"resume"}`, []string{"sanity-webhook-signature", "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0"}, 422, ""},
		{"Sanity, another body", "/sanity", `{"_id":"other"}`, []string{"sanity-webhook-signature", "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0"}, 401, ""},
		{"Sanity, another time", "/sanity", `{"_id":"resume"}`, []string{"sanity-webhook-signature", "t=1633519811130,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0"}, 401, ""},
		{"Sanity by the daemon's token", "/sanity", `{"_id":"resume"}`, []string{"Authorization", "Bearer the-daemon's-token"}, 401, ""},
		{"Contentful", "/contentful", `{"sys":{"id":"x"}}`, []string{"Authorization", "Bearer contentful-token"}, 202, ""},
		{"Contentful by a signature of the daemon's", "/contentful", `{"sys":{"id":"x"}}`, signed(secret, sanity, "", `{"sys":{"id":"x"}}`), 401, ""},
		{"Strapi", "/strapi", `{"model":"page","entry":{"path":"x"}}`, []string{"Authorization", "Bearer the-daemon's-token"}, 202, "/x"},
		{"Strapi by the token of another source", "/strapi", `{"model":"page","entry":{"path":"x"}}`, []string{"Authorization", "Bearer contentful-token"}, 401, ""},
		{"Shopify", "/shopify", shopify, []string{"X-Shopify-Hmac-Sha256", sent("shopify-old")}, 202, "/products/shirt"},
		{"Shopify, known by its header, the new secret", "", shopify, []string{"X-Shopify-Topic", "products/update", "X-Shopify-Hmac-Sha256", sent("shopify-new")}, 202, "/products/shirt"},
		{"Shopify, the wrong secret", "/shopify", shopify, []string{"X-Shopify-Hmac-Sha256", sent(secret)}, 401, ""},
		{"Shopify without a signature", "", shopify, []string{"X-Shopify-Topic", "products/update"}, 401, ""},
		{"a source that is unknown", "/drupal", `{}`, []string{"Authorization", "Bearer the-daemon's-token"}, 404, ""},
	} {
		a := e.post("/revalidate/shop"+tc.path, tc.body, tc.header...)
		paths, _ := e.asked()
		if a.status != tc.status || strings.Join(paths, " ") != tc.paths {
			t.Errorf("%s: %d %s, %q", tc.name, a.status, a.Error, paths)
		}
	}
	if err := testutil.GatherAndCompare(e.registry, bytes.NewBufferString(`
# HELP isrd_webhook_rules_total Rules of --webhook-map: applied, skipped because of their when, or incomplete because the payload has not what a template names.
# TYPE isrd_webhook_rules_total counter
isrd_webhook_rules_total{outcome="applied",source="contentful"} 1
isrd_webhook_rules_total{outcome="applied",source="shopify"} 2
isrd_webhook_rules_total{outcome="applied",source="strapi"} 1
isrd_webhook_rules_total{outcome="skipped",source="contentful"} 1
isrd_webhook_rules_total{outcome="skipped",source="sanity"} 3
isrd_webhook_rules_total{outcome="skipped",source="shopify"} 2
isrd_webhook_rules_total{outcome="skipped",source="strapi"} 1
`), "isrd_webhook_rules_total"); err != nil {
		t.Error(err)
	}
}
