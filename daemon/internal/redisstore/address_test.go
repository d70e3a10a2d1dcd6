package redisstore

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseURL(t *testing.T) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	for text, want := range map[string]address{
		"redis://localhost":       {network: "tcp", hosts: []string{"localhost:6379"}},
		"redis://localhost:7000/": {network: "tcp", hosts: []string{"localhost:7000"}},
		"redis://[::1]:7000/3":    {network: "tcp", hosts: []string{"[::1]:7000"}, db: 3},
		"redis://[::1]":           {network: "tcp", hosts: []string{"[::1]:6379"}},
		"redis://ann:p%40s%2Fs%23@h:1/2": {
			network: "tcp", hosts: []string{"h:1"}, username: "ann", password: "p@s/s#", db: 2,
		},
		"redis://:secret@h":                {network: "tcp", hosts: []string{"h:6379"}, password: "secret"},
		"redis://:a@b@h":                   {network: "tcp", hosts: []string{"h:6379"}, password: "a@b"},
		"rediss://h":                       {network: "tcp", hosts: []string{"h:6379"}, tls: secure},
		"rediss://h?skip_verify=true":      {network: "tcp", hosts: []string{"h:6379"}, tls: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}},
		"unix:///run/redis.sock":           {network: "unix", hosts: []string{"/run/redis.sock"}},
		"unix://:pw@/run/redis.sock?db=4":  {network: "unix", hosts: []string{"/run/redis.sock"}, password: "pw", db: 4},
		"redis+cluster://a,b:7001,[::1]:2": {mode: cluster, network: "tcp", hosts: []string{"a:6379", "b:7001", "[::1]:2"}},
		"rediss+cluster://ann:pw@a/0":      {mode: cluster, network: "tcp", hosts: []string{"a:6379"}, username: "ann", password: "pw", tls: secure},
		"redis+sentinel://a,b:26380/mymaster/2?sentinel_username=u&sentinel_password=sp": {
			mode: sentinel, network: "tcp", hosts: []string{"a:26379", "b:26380"}, master: "mymaster", db: 2,
			sentinelUsername: "u", sentinelPassword: "sp",
		},
		"rediss+sentinel://:pw@a/m": {mode: sentinel, network: "tcp", hosts: []string{"a:26379"}, master: "m", password: "pw", tls: secure},
	} {
		got, err := parseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(address{}), cmpopts.IgnoreUnexported(tls.Config{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseURLErrors(t *testing.T) {
	const password = "hunter2"
	for _, tc := range []struct{ url, says string }{
		{"", "want redis://"},
		{"localhost:6379", "want redis://"},
		{"http://h", `scheme "http"`},
		{"redis-cluster://h", "redis+cluster://"},
		{"redis://:" + password + "@", "host is missing"},
		{"redis://:hun%ZZter2@h", "percent-encode"},
		{"redis://:" + password + "/x@h:6379", "percent-encode"},
		{"redis://:" + password + "#x@h:6379", "percent-encode"},
		{"redis://:" + password + "@h:port", `"h:port"`},
		{"redis://:" + password + "@h:0", "1 to 65535"},
		{"redis://:" + password + "@h:70000", "1 to 65535"},
		{"redis://::1:6379", "[address]:port"},
		{"redis://:" + password + "@h/first", `database "first"`},
		{"redis://:" + password + "@a,b", "redis+cluster://"},
		{"redis://:" + password + "@h?timeout=" + password, `"timeout"`},
		{"redis://h?skip_verify=true", `"skip_verify"`},
		{"rediss://:" + password + "@h?skip_verify=perhaps", "true or false"},
		{"redis+cluster://:" + password + "@h/1", "only database 0"},
		{"redis+sentinel://:" + password + "@h", "mymaster"},
		{"redis+sentinel://h/m?sentinel_pasword=" + password, `"sentinel_pasword"`},
		{"unix://run/redis.sock", "three slashes"},
		{"unix://", "three slashes"},
		{"unix:///run/redis.sock?db=x", `database "x"`},
	} {
		_, err := parseURL(tc.url)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: got %v, want it to say %s", tc.url, err, tc.says)
			continue
		}
		if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "hun%") {
			t.Errorf("the error gives the password away: %v", err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("redis://ann:pw@h:1,[::1]/m/2?db=1#x")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseURL(text)
		if err == nil && len(a.hosts) == 0 {
			t.Errorf("%q: no host and no error", text)
		}
	})
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for name, cfg := range map[string]Config{
		"Coder":   {},
		"prefix":  {Coder: coder{}, Prefix: "a{b}"},
		"http://": {Coder: coder{}, URL: "ftp://h"},
	} {
		_, err := New(cfg)
		if name == "http://" {
			name = `"ftp"`
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want it to say %s", err, name)
		}
	}
	for _, url := range []string{"", "redis+sentinel://h/m", "redis+cluster://h", "unix:///x"} {
		s, err := New(Config{Coder: coder{}, URL: url})
		if err != nil {
			t.Errorf("%q: %v", url, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestKeys(t *testing.T) {
	k, err := newKeys("isrd")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		k.entry("0f"):          "isrd:1:e:{0f}",
		k.lease("0f"):          "isrd:1:l:{0f}",
		k.log("shop"):          "isrd:1:{shop}:log",
		k.events("@acme/shop"): "isrd:1:{@acme%2Fshop}:events",
		k.channel("a}b{c %"):   "isrd:1:{a%7Db%7Bc%20%25}:told",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
