package whoami_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isrd/isrd/daemon/internal/whoami"
)

// testCase is a line of the table that daemon and client share.
type testCase struct {
	Name   string            `json:"name"`
	Env    map[string]string `json:"env"`
	Host   string            `json:"host"`
	Docker bool              `json:"docker"`
	Names  []string          `json:"names"`
	ECS    *struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	} `json:"ecs"`
	Want want `json:"want"`
}

type want struct {
	Platform whoami.Platform `json:"platform"`
	Ordinal  *int            `json:"ordinal"`
	Instance string          `json:"instance"`
	Role     string          `json:"role"`
	Service  string          `json:"service"`
}

// surroundings plays the platform of a case.
func (c testCase) surroundings(t *testing.T) whoami.Surroundings {
	env := map[string]string{}
	for k, v := range c.Env {
		env[k] = v
	}
	s := whoami.Surroundings{
		Env: func(name string) string { return env[name] }, Host: c.Host, Docker: c.Docker,
		Names: func(context.Context) ([]string, error) { return c.Names, nil },
	}
	if c.ECS != nil {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v4/container/task" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			w.WriteHeader(c.ECS.Status)
			_, _ = w.Write(c.ECS.Body)
		}))
		t.Cleanup(server.Close)
		env["ECS_CONTAINER_METADATA_URI_V4"], s.HTTP = server.URL+"/v4/container", server.Client()
	}
	return s
}

func TestTheTableOfPlatforms(t *testing.T) {
	text, err := os.ReadFile("testdata/whoami/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	seen := map[whoami.Platform]bool{}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			id := whoami.Look(t.Context(), c.surroundings(t))
			got := want{Platform: id.Platform, Instance: id.Instance, Role: id.Role}
			if id.Ordinal != whoami.None {
				got.Ordinal = &id.Ordinal
			}
			if id.Task != nil {
				got.Service = id.Task.Service
			}
			if diff := cmp.Diff(c.Want, got); diff != "" {
				t.Errorf("(-want +got):\n%s%q", diff, id.Why)
			}
			if len(id.Why) == 0 {
				t.Error("nothing says why")
			}
			seen[id.Platform] = true
		})
	}
	if len(seen) != 9 {
		t.Errorf("the table has cases of these platforms only: %v", seen)
	}
}

func TestAPlatformThatDoesNotAnswerIsNotWaitedFor(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	begun := time.Now()
	id := whoami.Look(t.Context(), whoami.Surroundings{
		Env: func(name string) string {
			return map[string]string{"ECS_CONTAINER_METADATA_URI_V4": server.URL}[name]
		},
		Host: "h", HTTP: server.Client(),
	})
	if took := time.Since(begun); took > 5*time.Second || id.Platform != whoami.ECS || !strings.Contains(strings.Join(id.Why, " "), "deadline") {
		t.Errorf("after %v: %+v", took, id)
	}
}

func TestVerdicts(t *testing.T) {
	for ordinal, says := range map[int]string{whoami.None: "has no number", 0: "is number 0", 3: "is number 3"} {
		if got := (whoami.Identity{Ordinal: ordinal}).Verdict("ordinal"); !strings.Contains(got, says) {
			t.Errorf("%d: %s", ordinal, got)
		}
	}
	for _, mode := range whoami.Modes {
		if got := (whoami.Identity{}).Verdict(mode); strings.Contains(got, "no such mode") {
			t.Errorf("%s: %s", mode, got)
		}
	}
}
