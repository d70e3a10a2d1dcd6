package cli_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAWebhookRegenerates goes the whole way: a signed request of a source, its rule, the queue, a process, the answer.
func TestAWebhookRegenerates(t *testing.T) {
	m := filepath.Join(t.TempDir(), "map.yaml")
	if err := os.WriteFile(m, []byte("sources: {cms: {rules: [{paths: ['/blog/{/slug}'], tags: [blog]}]}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "s3cret-of-the-cli-test"
	t.Setenv("ISRD_WEBHOOK_SECRET", secret)
	address, log := serve(t, "--app", "shop", "--webhook-listen", "127.0.0.1:0", "--webhook-map", m)
	hooks := listens(t, log, "webhook-listen")
	r := connect(t, address, 0)
	const body = `{"slug": "hello"}`
	sent := fmt.Sprint(time.Now().Unix())
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, sent+"."+body)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+hooks+"/revalidate/shop/cms?wait=10s", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "X-Isrd-Timestamp": {sent}, "X-Isrd-Signature": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	for _, want := range []string{`"path":"/blog/hello","state":"done","outcome":"written"`, `"tags":["blog"],"fleet_wide":true`} {
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(answer), want) {
			t.Errorf("%d, %v: nothing says %s in %s", response.StatusCode, err, want, answer)
		}
	}
	if n := r.renders.Load(); n != 1 {
		t.Errorf("%d renders", n)
	}
}

func TestAMapThatIsWrongStopsTheDaemon(t *testing.T) {
	code, _, stderr := run(t, "serve", "--listen", "unix://"+filepath.Join(t.TempDir(), "s"), "--webhook-listen", "127.0.0.1:0", "--webhook-map", `{"sources": {"x": {"rules": [{"paths": ["blog"]}]}}}`)
	if code == 0 || !strings.Contains(stderr, "--webhook-map") || !strings.Contains(stderr, "begins with a slash") {
		t.Errorf("%d: %s", code, stderr)
	}
	code, _, stderr = run(t, "serve", "--webhook-listen", ":0")
	if code != 2 || !strings.Contains(stderr, "--webhook-secret") {
		t.Errorf("%d: %s", code, stderr)
	}
}
