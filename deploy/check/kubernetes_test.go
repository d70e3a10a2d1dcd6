package check_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/isrd/isrd/deploy/check"
)

// manifests decodes all files of deploy/kubernetes together: what a folder applies.
func manifests(t *testing.T) check.Manifests {
	t.Helper()
	paths, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	var all check.Manifests
	for _, path := range paths {
		found, err := check.DecodeManifests(read(t, path))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all.Objects = append(all.Objects, found.Objects...)
		all.Workloads = append(all.Workloads, found.Workloads...)
	}
	return all
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestManifests(t *testing.T) {
	all := manifests(t)
	for _, problem := range all.Problems() {
		t.Error(problem)
	}
	var kinds []string
	for _, w := range all.Workloads {
		kinds = append(kinds, w.Kind)
	}
	if !slices.Contains(kinds, "daemonset") || !slices.Contains(kinds, "deployment") {
		t.Errorf("workloads: %v; want the daemon's DaemonSet and an app's Deployment", kinds)
	}
}

// TestManifestsMeetAtTheSocket checks what no type can: that the app's pods are given the folder that the daemon's pods
// listen in, and are in the group that may use it.
func TestManifestsMeetAtTheSocket(t *testing.T) {
	all := manifests(t)
	daemon, app := pod(t, all, "daemonset"), pod(t, all, "deployment")

	if got, want := hostFolder(app), hostFolder(daemon); got != want || want == "" {
		t.Errorf("the app mounts the host's %q, the daemon %q", got, want)
	}
	group := *daemon.SecurityContext.RunAsGroup
	if !slices.Contains(app.SecurityContext.SupplementalGroups, group) {
		t.Errorf("the app's groups %v lack the daemon's, %d", app.SecurityContext.SupplementalGroups, group)
	}

	listen := argument(daemon.Containers[0].Args, "listen")
	if address := variable(app.Containers[0], "ISRD_ADDRESS"); address != listen || address == "" {
		t.Errorf("the app connects to %q, the daemon listens on %q", address, listen)
	}
	for _, p := range []corev1.PodSpec{daemon, app} {
		mount := p.Containers[0].VolumeMounts[0].MountPath
		if !strings.HasPrefix(listen, "unix://"+mount+"/") {
			t.Errorf("container %s mounts %s, where %s is not", p.Containers[0].Name, mount, listen)
		}
	}

	shutdown, err := time.ParseDuration(argument(daemon.Containers[0].Args, "shutdown-timeout"))
	if err != nil {
		t.Fatal(err)
	}
	if grace := time.Duration(*daemon.TerminationGracePeriodSeconds) * time.Second; grace <= shutdown {
		t.Errorf("killed after %s, while it may take %s to stop", grace, shutdown)
	}
}

func TestManifestsRunWithoutRights(t *testing.T) {
	for _, w := range manifests(t).Workloads {
		spec := w.Template.Spec
		if spec.SecurityContext == nil || spec.SecurityContext.RunAsNonRoot == nil || !*spec.SecurityContext.RunAsNonRoot {
			t.Errorf("%s may run as root", w)
		}
		for _, c := range spec.Containers {
			security := c.SecurityContext
			if security == nil || security.AllowPrivilegeEscalation == nil || *security.AllowPrivilegeEscalation {
				t.Errorf("%s: container %s may gain rights", w, c.Name)
			}
			if security == nil || security.Capabilities == nil || !slices.Contains(security.Capabilities.Drop, "ALL") {
				t.Errorf("%s: container %s keeps capabilities", w, c.Name)
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: container %s asks for no CPU or has no bound on memory", w, c.Name)
			}
		}
	}
}

func TestDecodeManifestsIsStrict(t *testing.T) {
	const good = `apiVersion: v1
kind: Namespace
metadata:
  name: x
`
	if _, err := check.DecodeManifests([]byte(good)); err != nil {
		t.Fatalf("a good manifest: %v", err)
	}
	for name, test := range map[string]struct{ manifest, want string }{
		"unknown field":  {good + "  labells: {}\n", `unknown field "metadata.labells"`},
		"unknown nested": {strings.Replace(daemonSet, "hostPath:", "hostpath:", 1), `unknown field "spec.template.spec.volumes[0].hostpath"`},
		"given twice":    {good + "  name: z\n", `"name" already set`},
		"wrong type":     {good + "  labels: [a]\n", "cannot unmarshal array"},
		"unknown kind":   {strings.Replace(good, "Namespace", "Namespaces", 1), `no kind "Namespaces"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := check.DecodeManifests([]byte(test.manifest))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v; want one with %q", err, test.want)
			}
		})
	}
}

func TestProblemsFindsEach(t *testing.T) {
	problems := func(manifest string) []string {
		t.Helper()
		m, err := check.DecodeManifests([]byte(manifest))
		if err != nil {
			t.Fatal(err)
		}
		return m.Problems()
	}
	if got := problems(daemonSet); len(got) != 0 {
		t.Fatalf("a good manifest: %q", got)
	}
	for old, change := range map[string]struct{ planted, want string }{
		"name: space\n":       {"name: elsewhere\n", `no namespace "space"`},
		"matchLabels: {a: b}": {"matchLabels: {a: c}", `does not select its own pods`},
		"- name: socket\n":    {"- name: sockets\n", `mounts "socket", which is no volume`},
		"port: metrics":       {"port: metric", `probed on port "metric"`},
		"key: url":            {"key: uri", `key "uri" of secret "redis"`},
		"name: high\n":        {"name: higher\n", `no priority class "high"`},
		"serviceAccountName":  {"serviceAccountName: x\n      # ", `no service account "x"`},
	} {
		t.Run(change.want, func(t *testing.T) {
			manifest := strings.Replace(daemonSet, old, change.planted, 1)
			if manifest == daemonSet {
				t.Fatalf("nothing to change: %q", old)
			}
			got := problems(manifest)
			if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), change.want) {
				t.Errorf("problems %q; want one with %q", got, change.want)
			}
		})
	}
}

// daemonSet is a manifest in which every reference leads somewhere.
const daemonSet = `apiVersion: v1
kind: Namespace
metadata:
  name: space
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata:
  name: high
value: 1
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: account, namespace: space}
---
apiVersion: v1
kind: Secret
metadata: {name: redis, namespace: space}
stringData: {url: "redis://x"}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: d, namespace: space}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      serviceAccountName: account
      priorityClassName: high
      volumes:
        - name: socket
          hostPath: {path: /run/x}
      containers:
        - name: c
          ports: [{name: metrics, containerPort: 1}]
          livenessProbe:
            httpGet:
              port: metrics
          env:
            - name: URL
              valueFrom:
                secretKeyRef:
                  name: redis
                  key: url
          volumeMounts: [{name: socket, mountPath: /run/x}]
`

func pod(t *testing.T, m check.Manifests, kind string) corev1.PodSpec {
	t.Helper()
	for _, w := range m.Workloads {
		if w.Kind == kind {
			return w.Template.Spec
		}
	}
	t.Fatalf("no %s", kind)
	return corev1.PodSpec{}
}

func hostFolder(p corev1.PodSpec) string {
	for _, v := range p.Volumes {
		if v.HostPath != nil {
			return v.HostPath.Path
		}
	}
	return ""
}

// argument returns the value of --name=value among args.
func argument(args []string, name string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

func variable(c corev1.Container, name string) string {
	for _, env := range c.Env {
		if env.Name == name {
			return env.Value
		}
	}
	return ""
}
