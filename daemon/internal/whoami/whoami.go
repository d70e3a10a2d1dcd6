// Package whoami finds out which replica this process is: its number, its name, its role, and by what it knows. A number
// is worth something only where the platform gives it, keeps it over a restart, and gives 0 to one replica; elsewhere
// there is none, and a leader must be elected.
//
// The table testdata/whoami/cases.json says what is found where. The Next.js client is held to the same table.
package whoami

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// Platform is where a process runs, as far as it matters here.
type Platform string

// The platforms.
const (
	// Told: the operator has said which replica this is.
	Told Platform = "told"
	// StatefulSet: a pod of a Kubernetes StatefulSet.
	StatefulSet Platform = "kubernetes-statefulset"
	// Kubernetes: any other pod.
	Kubernetes Platform = "kubernetes"
	// CloudFoundry: an instance of an app.
	CloudFoundry Platform = "cloud-foundry"
	// PM2: a process of PM2.
	PM2 Platform = "pm2"
	// ECS: a task of Amazon ECS.
	ECS Platform = "ecs"
	// Compose: a container of Docker Compose.
	Compose Platform = "compose"
	// Container: another container of Docker.
	Container Platform = "container"
	// Host: a machine of which nothing is known but its name.
	Host Platform = "host"
)

// None is the ordinal of a replica that has no number.
const None = -1

// Identity is what was found.
type Identity struct {
	// Platform that the process runs on.
	Platform Platform `json:"platform"`
	// Instance names this replica, for people.
	Instance string `json:"instance"`
	// Ordinal is its number among the replicas, from 0; None: there is none.
	Ordinal int `json:"ordinal"`
	// Role that it was given; empty: none.
	Role string `json:"role"`
	// Why says by what the platform and the ordinal are known, and what speaks against relying on it.
	Why []string `json:"why"`
	// Task is what ECS says of it.
	Task *Task `json:"task,omitempty"`
}

// Surroundings are what is looked at. The zero value of a field is an empty one: nothing is looked at by itself.
type Surroundings struct {
	// Env gives an environment variable; empty: not set.
	Env func(name string) string
	// Host is the host name.
	Host string
	// Docker says that this is a container of Docker.
	Docker bool
	// Names gives the names that the network has for this container; nil: nobody can be asked.
	Names func(ctx context.Context) ([]string, error)
	// HTTP asks for the metadata of an ECS task; nil: nobody can be asked.
	HTTP *http.Client
}

// answerLimit bounds a question to the platform.
const answerLimit = time.Second

// maxOrdinal keeps random endings apart from numbers: those of pods have five characters, which may all be digits.
const maxOrdinal = 9999

// numbered is a name that ends in a number, as those of a StatefulSet's pods do. A pod's host name has no dot.
var numbered = regexp.MustCompile(`^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)-(0|[1-9]\d{0,3})$`)

// rule looks for one platform. False: it is not that one.
type rule func(ctx context.Context, s Surroundings, id *Identity) bool

// Look tries the rules in order; the first that knows the platform decides. It takes no longer than about a second for
// each question to a platform, and fails never: what could not be asked is said in Why.
func Look(ctx context.Context, s Surroundings) Identity {
	if s.Env == nil {
		s.Env = func(string) string { return "" }
	}
	id := Identity{Ordinal: None, Role: s.Env("ISRD_ROLE")}
	for _, r := range []rule{told, kubernetes, cloudFoundry, pm2, ecs, docker, host} {
		if r(ctx, s, &id) {
			break
		}
	}
	id.Instance = cmp.Or(s.Env("ISRD_INSTANCE"), id.Instance, s.Host)
	return id
}

func (id *Identity) because(format string, args ...any) {
	id.Why = append(id.Why, fmt.Sprintf(format, args...))
}

// number reads an ordinal from the environment. What is set and no number is said.
func (id *Identity) number(s Surroundings, name string) bool {
	text := s.Env(name)
	if text == "" {
		return false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxOrdinal || strconv.Itoa(n) != text {
		id.because("%s is %q, which is no number from 0 to %d: it is not counted", name, text, maxOrdinal)
		return false
	}
	id.Ordinal = n
	id.because("%s is %d", name, n)
	return true
}

func told(_ context.Context, s Surroundings, id *Identity) bool {
	id.Platform = Told
	if id.number(s, "ISRD_ORDINAL") {
		return true
	}
	name := s.Env("ISRD_INSTANCE")
	if _, err := strconv.Atoi(name); err == nil && id.number(s, "ISRD_INSTANCE") {
		return true
	}
	if m := numbered.FindStringSubmatch(name); m != nil {
		id.Ordinal, _ = strconv.Atoi(m[2]) // four digits
		id.because("ISRD_INSTANCE is %s, which ends in a number", name)
		return true
	}
	return false
}

func kubernetes(_ context.Context, s Surroundings, id *Identity) bool {
	if s.Env("KUBERNETES_SERVICE_HOST") == "" {
		return false
	}
	id.Platform = Kubernetes
	m := numbered.FindStringSubmatch(s.Host)
	if m == nil {
		id.because("KUBERNETES_SERVICE_HOST is set, and the host name %s does not end in a number, as that of a StatefulSet's pod does: "+
			"pods of a Deployment and a DaemonSet have none", s.Host)
		return true
	}
	id.Platform = StatefulSet
	id.Ordinal, _ = strconv.Atoi(m[2]) // four digits
	id.because("KUBERNETES_SERVICE_HOST is set, and the host name %s is that of a pod of the StatefulSet %s", s.Host, m[1])
	return true
}

func cloudFoundry(_ context.Context, s Surroundings, id *Identity) bool {
	if !id.number(s, "CF_INSTANCE_INDEX") {
		return false
	}
	id.Platform = CloudFoundry
	return true
}

func pm2(_ context.Context, s Surroundings, id *Identity) bool {
	if !id.number(s, "NODE_APP_INSTANCE") {
		return false
	}
	id.Platform = PM2
	id.because("PM2 counts on one machine: with several machines each of them has a 0")
	return true
}

func host(_ context.Context, _ Surroundings, id *Identity) bool {
	id.Platform = Host
	id.because("nothing tells which replica this is: set ISRD_ORDINAL, or let a leader be elected")
	return true
}
