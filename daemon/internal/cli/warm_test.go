package cli_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

func TestWarmRequestsWhatTheOldBuildHad(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Nextjs-Cache", "MISS")
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer site.Close()
	address, _ := serve(t, "--refresh-hot", "1")
	r := connect(t, address, 0)
	read := map[string]int{"/index": 64, "/often": 320}
	for name := range read {
		key := &isrdv1.Key{Space: isrdv1.Space_SPACE_ROUTE, Name: name}
		got := r.ask(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: key}}}).GetGet()
		r.ask(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{
			Key: key, Base: got.GetBase(), LeaseToken: got.GetLease().GetToken(),
			Entry: &isrdv1.Entry{Kind: isrdv1.Kind_KIND_APP_PAGE, Parts: []*isrdv1.Part{{Name: "html", Data: []byte("x")}}},
		}}})
	}
	for name, times := range read {
		for range times {
			r.ask(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{
				Key: &isrdv1.Key{Space: isrdv1.Space_SPACE_ROUTE, Name: name}, NoLease: true,
			}}})
		}
	}
	code, stdout, stderr := run(t, "warm", "--target", site.URL, "--address", address, "--app", "shop", "--from-build", "b1", "--rate", "1000")
	if code != 0 || !strings.Contains(stdout, "2 requested: HIT 0, MISS 2") {
		t.Errorf("from the keys of a build: %d, %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, "warm", "--target", site.URL, "--address", address, "--app", "shop", "--top", "1", "--dry-run")
	if code != 0 || stdout != "/often\n" {
		t.Errorf("the page that is read most: %d, %s%s", code, stdout, stderr)
	}
	file := filepath.Join(t.TempDir(), "sitemap.xml")
	content := "<urlset><url><loc>https://shop.example/broken</loc></url><url><loc>https://other.example/</loc></url></urlset>"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = run(t, "warm", "--target", site.URL, "--origin", "https://shop.example", "--sitemap", file)
	if code != 1 || !strings.Contains(stdout, "failed 1") || !strings.Contains(stderr, "failed: /broken: status 500") || !strings.Contains(stderr, "1 addresses of other origins") {
		t.Errorf("a page that fails: %d, %s%s", code, stdout, stderr)
	}
	for _, args := range [][]string{{}, {"--target", site.URL}, {"--target", "x", "--top", "1"}, {"--target", site.URL, "--top", "1", "--rate", "0"}} {
		if code, _, stderr := run(t, append([]string{"warm"}, args...)...); code != 2 || stderr == "" {
			t.Errorf("%q: %d, %s", args, code, stderr)
		}
	}
}
