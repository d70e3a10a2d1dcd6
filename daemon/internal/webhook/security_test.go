package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestOnlySignaturesThatHoldAreTaken(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	e := start(t, Config{Secrets: []string{"a-secret-before-it", secret}, Tokens: []string{token}, Now: func() time.Time { return now }})
	const body, other = `["/a"]`, `["/b"]`
	good := signed(secret, now, "", body)
	with := func(header []string, name, value string) []string {
		out := slices.Clone(header)
		for i := 0; i < len(out); i += 2 {
			if out[i] == name {
				out[i+1] = value
				return out
			}
		}
		return append(out, name, value)
	}
	for name, tc := range map[string]struct {
		header []string
		status int
		says   string
	}{
		"good":                   {good, 202, ""},
		"the other secret":       {signed("a-secret-before-it", now, "", body), 202, ""},
		"one of two signatures":  {with(good, SignatureHeader, "sha256=00ff, "+good[3]), 202, ""},
		"as old as may be":       {signed(secret, now.Add(-5*time.Minute), "", body), 202, ""},
		"a token":                {[]string{"Authorization", "Bearer " + token}, 202, ""},
		"nothing":                {nil, 401, "no signature"},
		"a wrong token":          {[]string{"Authorization", "Bearer " + token + "x"}, 401, "token is wrong"},
		"a wrong token and good": {with(good, "Authorization", "Bearer x"), 401, "token is wrong"},
		"an empty token":         {[]string{"Authorization", "Bearer "}, 401, "token"},
		"a wrong secret":         {signed("another-secret-of-16", now, "", body), 401, "signature is wrong"},
		"another body":           {signed(secret, now, "", other), 401, "signature is wrong"},
		"an empty signature":     {with(good, SignatureHeader, "sha256="), 401, "no signature"},
		"half of it":             {with(good, SignatureHeader, good[3][:41]), 401, "signature is wrong"},
		"no hex":                 {with(good, SignatureHeader, "sha256=zz"), 401, "no signature"},
		"another algorithm":      {with(good, SignatureHeader, "sha1="+good[3][7:]), 401, "no signature"},
		"no time":                {good[2:], 401, "time"},
		"a time that is none":    {with(good, TimestampHeader, "now"), 401, "time"},
		"a changed time":         {with(good, TimestampHeader, "1764000001"), 401, "signature is wrong"},
		"too old":                {signed(secret, now.Add(-5*time.Minute-time.Second), "", body), 401, "counts for 5m0s"},
		"too early":              {signed(secret, now.Add(6*time.Minute), "", body), 401, "counts for 5m0s"},
		"a time beyond all":      {with(good, TimestampHeader, "9223372036854775807"), 401, "time"},
		"a delivery put before":  {with(good, DeliveryHeader, "d"), 401, "signature is wrong"},
		"an odd delivery":        {signed(secret, now, "a.b", body), 401, DeliveryHeader},
		"an endless delivery":    {signed(secret, now, strings.Repeat("a", 200), body), 401, DeliveryHeader},
	} {
		a := e.post("/revalidate/shop", body, tc.header...)
		if a.status != tc.status || !strings.Contains(a.Error, tc.says) {
			t.Errorf("%s: %d %q", name, a.status, a.Error)
		}
	}
	if n := testutil.ToFloat64(e.metrics.requests.WithLabelValues("expired")); n != 2 {
		t.Errorf("%v are counted as expired", n)
	}
}

func TestWithoutASecretOnlyThisMachineIsServed(t *testing.T) {
	e := start(t, Config{})
	for host, want := range map[string]int{"": 202, "localhost:7601": 202, "[::1]:7601": 202, "127.0.0.1": 202, "evil.example:7601": 401, "192.0.2.1": 401} {
		r := e.request("/revalidate/shop", `["/a"]`)
		r.Host = host
		if a := e.do(r); a.status != want {
			t.Errorf("%q: %d %s", host, a.status, a.Error)
		}
	}
}

func TestADeliveryIsTakenOnce(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1_764_000_000)
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	e := start(t, Config{Secrets: []string{secret}, Now: now})
	const body = `["/a"]`
	first := signed(secret, now(), "d1", body)
	if a := e.post("/revalidate/shop", body, first...); a.status != 202 {
		t.Fatal(a.status, a.Error)
	}
	clock.Add(300)
	if a := e.post("/revalidate/shop", body, first...); a.status != 409 || !strings.Contains(a.Error, "taken already") {
		t.Errorf("at the end of the window: %d %s", a.status, a.Error)
	}
	// Taking the name away, or moving it into the body, makes another text than the one that was signed.
	if a := e.post("/revalidate/shop", body, first[0], first[1], first[4], first[5]); a.status != 401 {
		t.Errorf("without its name: %d %s", a.status, a.Error)
	}
	if a := e.post("/revalidate/shop", "d1."+body, first[0], first[1], first[4], first[5]); a.status != 400 {
		t.Errorf("with its name in the body: %d %s", a.status, a.Error)
	}
	clock.Add(2)
	if a := e.post("/revalidate/shop", body, first...); a.status != 401 {
		t.Errorf("after the window: %d %s", a.status, a.Error)
	}
	if a := e.post("/revalidate/shop", body, signed(secret, now(), "d2", body)...); a.status != 202 {
		t.Errorf("the next one: %d %s", a.status, a.Error)
	}
	// Without a name it may come again: a sender that counts in seconds says the same twice.
	for range 2 {
		if a := e.post("/revalidate/shop", body, signed(secret, now(), "", body)...); a.status != 202 {
			t.Errorf("without a name: %d %s", a.status, a.Error)
		}
	}
	if n := len(e.deliveries.until); n != 1 {
		t.Errorf("%d deliveries are kept", n)
	}
	// Of many at the same time one is taken.
	var taken atomic.Int32
	var wg sync.WaitGroup
	header := signed(secret, now(), "d3", body)
	for range 16 {
		r := e.request("/revalidate/shop", body, header...)
		wg.Go(func() {
			if a, err := e.try(r); err == nil && a.status == 202 {
				taken.Add(1)
			}
		})
	}
	if wg.Wait(); taken.Load() != 1 {
		t.Errorf("taken %d times", taken.Load())
	}
}

func TestTheMemoryOfDeliveriesIsBounded(t *testing.T) {
	d, now := newDeliveries(), time.Unix(1_764_000_000, 0)
	mac := func(i int) (m [32]byte) {
		m[0], m[1], m[2] = byte(i), byte(i>>8), byte(i>>16)
		return m
	}
	for i := range maxDeliveries {
		if err := d.claim(mac(i), now, now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.claim(mac(maxDeliveries), now, now.Add(time.Minute)); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("one more: %v", err)
	}
	if err := d.claim(mac(maxDeliveries), now.Add(2*time.Minute), now.Add(3*time.Minute)); err != nil || len(d.until) != 1 {
		t.Errorf("after they are over: %v, %d", err, len(d.until))
	}
}

// HTTP does not look at the case of letters in either.
func TestHeadersAndSchemesMayHaveAnyCase(t *testing.T) {
	m, err := load(t, "sources: {x: {auth: {scheme: bearer, header: authorization}}}")
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, Config{Tokens: []string{"the-daemon's-token"}, Map: m})
	for _, path := range []string{"/revalidate/shop", "/revalidate/shop/x"} {
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", ""} {
			if a := e.post(path, `["/a"]`, "authorization", scheme+"the-daemon's-token"); a.status != 202 {
				t.Errorf("%s, %q: %d %s", path, scheme, a.status, a.Error)
			}
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}, MaxBytes: 1 << 20})
	large := `["/` + strings.Repeat("a", 1<<20) + `"]`
	if a := e.withToken("/revalidate/shop", large); a.status != 413 {
		t.Errorf("a huge body: %d %s", a.status, a.Error)
	}
	r := e.request("/revalidate/shop", "", "Authorization", "Bearer "+token)
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(large))), -1
	if a := e.do(r); a.status != 413 {
		t.Errorf("a huge body of unknown length: %d %s", a.status, a.Error)
	}
	e.limits.mu.Lock()
	left := e.limits.left
	e.limits.left = 0
	e.limits.mu.Unlock()
	if left != budget<<20 {
		t.Errorf("%d bytes of the budget are left", left)
	}
	if a := e.withToken("/revalidate/shop", `["/a"`+many(10_000)+`]`); a.status != 503 || !strings.Contains(a.Error, "same time") {
		t.Errorf("with no room for bodies: %d %s", a.status, a.Error)
	}
}

// Who announces large bodies and does not send them holds nobody up that has a common one.
func TestBodiesThatDoNotArriveHoldNobodyUp(t *testing.T) {
	e := start(t, Config{Secrets: []string{secret}, MaxBytes: 1 << 20})
	address := run(t, e.Hook)
	var d net.Dialer
	for range budget {
		conn, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "POST /revalidate/shop HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s: %d\r\n%s: sha256=00\r\n\r\n[",
			1<<20, TimestampHeader, time.Now().Unix(), SignatureHeader)
		if err != nil {
			t.Fatal(err)
		}
	}
	left := func() int64 {
		e.limits.mu.Lock()
		defer e.limits.mu.Unlock()
		return e.limits.left
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); left() > 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are left", left())
		}
	}
	if a := e.post("/revalidate/shop", `["/a"]`, signed(secret, time.Now(), "", `["/a"]`)...); a.status != 202 {
		t.Errorf("a good one: %d %s", a.status, a.Error)
	}
}

func TestWhoSendsTooManyBadOnesIsHeldShort(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	e := start(t, Config{Secrets: []string{secret}, Now: func() time.Time { return now }})
	seen := map[int]int{}
	for range badBurst + 10 {
		seen[e.post("/revalidate/shop", `["/a"]`).status]++
	}
	if seen[401] != badBurst || seen[429] != 10 {
		t.Errorf("statuses %v", seen)
	}
	// Behind the same address somebody with the secret is served, with bodies of a common size.
	small, large := `["/a"]`, `["/a"`+many(10_000)+`]`
	if a := e.post("/revalidate/shop", small, signed(secret, now, "", small)...); a.status != 202 {
		t.Errorf("a good one: %d %s", a.status, a.Error)
	}
	if a := e.post("/revalidate/shop", large, signed(secret, now, "", large)...); a.status != 429 {
		t.Errorf("a large one: %d %s", a.status, a.Error)
	}
	l := newLimits(1)
	for i := range 2 * maxSources {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		if !l.bad(p, now.Add(time.Duration(i)*time.Second)) {
			t.Fatal("a source that is new is held short")
		}
	}
	if l.sources.Len() > maxSources {
		t.Errorf("%d sources are counted", l.sources.Len())
	}
	if a, b := sourceOf("[2001:db8:1:2::1]:80"), sourceOf("[2001:db8:1:2:3::9]:81"); a != b || a == sourceOf("[2001:db8:1:3::1]:80") {
		t.Errorf("networks of IPv6: %v, %v", a, b)
	}
}

func TestTooManyGoodOnesAreHeldShort(t *testing.T) {
	now := time.Unix(1_764_000_000, 0)
	e := start(t, Config{Tokens: []string{token}, Rate: 2, Now: func() time.Time { return now }})
	for i, want := range []int{202, 202, 202, 202, 429} {
		if a := e.withToken("/revalidate/shop", `["/a"]`); a.status != want || want == 429 && a.header.Get("Retry-After") == "" {
			t.Errorf("number %d: %d", i, a.status)
		}
	}
}

// run serves a Hook by itself, until the test ends.
func run(t *testing.T, h *Hook) (address string) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestASlowHeaderIsCut(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}, HeaderTimeout: 100 * time.Millisecond})
	address := run(t, e.Hook)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /revalidate/shop HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after %v the connection is open: %v", time.Since(begun), err)
	}
}

// Too much of a header is not waited for either.
func TestALargeHeaderIsRefused(t *testing.T) {
	e := start(t, Config{Tokens: []string{token}})
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", run(t, e.Hook))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /revalidate/shop HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("a", 4*maxHeader))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v", line, err)
	}
}

// flood is how many bad requests a second stand beside the good ones. There are at least floodBad and floodGood of them.
const (
	flood     = 1000
	floodBad  = 2000
	floodGood = 200
)

func TestBadRequestsDoNotDelayGoodOnes(t *testing.T) {
	e := start(t, Config{Secrets: []string{secret}, Rate: 1000})
	e.url = "http://" + run(t, e.Hook)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	e.client = &http.Client{Transport: transport}
	alone := e.measure("alone", func(n int) bool { return n >= floodGood/4 })

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var bad atomic.Int64
	var wg sync.WaitGroup
	turns := make(chan struct{})
	begun := time.Now()
	wg.Go(func() {
		defer close(turns)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for sent := 0; ; <-ticker.C { // a tick may be late: what it was to send is sent then
			for ; sent < int(flood*time.Since(begun).Seconds()); sent++ {
				select {
				case <-ctx.Done():
					return
				case turns <- struct{}{}:
				}
			}
			if ctx.Err() != nil {
				return
			}
		}
	})
	body := `["/` + strings.Repeat("x", 1500) + `"]`
	wrong := signed("another-secret-of-16", time.Now(), "", body)
	for range 16 {
		wg.Go(func() {
			for range turns {
				a, err := e.try(e.request("/revalidate/shop", body, wrong...))
				if err == nil && (a.status == 401 || a.status == 429) {
					bad.Add(1)
				}
			}
		})
	}
	beside := e.measure("beside", func(n int) bool {
		return n >= floodGood && bad.Load() >= floodBad || n > 0 && time.Since(begun) > 10*time.Second
	})
	took := time.Since(begun)
	cancel()
	wg.Wait()
	t.Logf("p95 of good ones: %v alone, %v beside %d bad ones a second", alone, beside, int64(float64(bad.Load())/took.Seconds()))
	if got := bad.Load(); got < floodBad {
		t.Errorf("only %d bad requests were answered in %v", got, took)
	}
	if beside > 500*time.Millisecond {
		t.Errorf("p95 of good requests is %v", beside)
	}
}

// measure sends good requests, one after the other and 100 a second, until there are enough, and gives the time that 95 of
// 100 stay below: the slowest few say more of the machine than of the daemon.
func (e *endpoint) measure(name string, enough func(n int) bool) time.Duration {
	e.t.Helper()
	var took []time.Duration
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for ; !enough(len(took)); <-ticker.C {
		body := fmt.Sprintf(`["/p/%d"]`, len(took))
		begun := time.Now()
		if a := e.post("/revalidate/shop", body, signed(secret, begun, fmt.Sprint(name, "-", len(took)), body)...); a.status != 202 {
			e.t.Fatalf("a good request: %d %s", a.status, a.Error)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)*95/100]
}
