package check_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/isrd/isrd/deploy/check"
)

// command is how one file of deploy/ starts the daemon.
type command struct {
	where string
	args  []string
	env   []string
}

// commands collects how the files of deploy/ start the daemon, with the variables that they set for it.
func commands(t *testing.T) []command {
	t.Helper()
	image, err := check.ParseImage(read(t, dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	project, err := loadCompose(t, compose)
	if err != nil {
		t.Fatal(err)
	}
	fromCompose := command{where: compose, args: image.Cmd}
	if own := project.Services["isrd"].Command; own != nil {
		fromCompose.args = own
	}
	for name, value := range project.Services["isrd"].Environment {
		fromCompose.env = append(fromCompose.env, name+"="+*value)
	}

	all := manifests(t)
	container := pod(t, all, "daemonset").Containers[0]
	fromManifest := command{where: "daemonset", args: container.Args}
	for _, env := range container.Env {
		value := env.Value
		if env.ValueFrom != nil {
			value = secretValue(all, env.ValueFrom.SecretKeyRef)
		}
		fromManifest.env = append(fromManifest.env, env.Name+"="+value)
	}

	fromUnit := command{where: service}
	for _, option := range unitOptions(t, service) {
		if option.Name == "ExecStart" {
			fromUnit.args = strings.Fields(option.Value)[1:]
		}
	}
	return []command{{where: dockerfile, args: image.Cmd}, fromCompose, fromManifest, fromUnit}
}

func secretValue(m check.Manifests, ref *corev1.SecretKeySelector) string {
	for _, object := range m.Objects {
		if secret, ok := object.(*corev1.Secret); ok && secret.Name == ref.Name {
			return secret.StringData[ref.Key]
		}
	}
	return ""
}

// TestCommandsStart starts the daemon by every command line of deploy/, with the places that it listens at moved into
// a folder of the test's: it takes all values that it is given, serves although no Redis is there, and stops when asked.
func TestCommandsStart(t *testing.T) {
	binary := buildDaemon(t)
	for _, c := range commands(t) {
		t.Run(c.where, func(t *testing.T) { start(t, binary, c) })
	}
}

func start(t *testing.T, binary string, c command) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// Not t.TempDir: the path of a socket has a limit that the name of a test can pass.
	folder, err := os.MkdirTemp("", "isrd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	socket := "unix://" + filepath.Join(folder, "isrd.sock")

	var output bytes.Buffer
	daemon := exec.CommandContext(ctx, binary, elsewhere(c.args, socket)...)
	daemon.Env = append([]string{"ISRD_LISTEN=" + socket}, elsewhere(c.env, socket)...)
	daemon.Stdout, daemon.Stderr = &output, &output
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()

	for {
		err := exec.CommandContext(ctx, binary, "health", "--listen="+socket, "--timeout=1s").Run()
		if err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("isrd %q with %q ended: %v\n%s", daemon.Args[1:], daemon.Env, err, &output)
		default:
		}
		if ctx.Err() != nil {
			t.Fatalf("isrd %q does not serve: %v, %v", daemon.Args[1:], err, ctx.Err())
		}
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v\n%s", err, &output)
	}
}

// elsewhere changes settings, flags or variables with their values, so that the daemon listens at socket and at a port of
// its own choosing, and finds nobody where it looks for Redis.
func elsewhere(settings []string, socket string) []string {
	moved := make([]string, 0, len(settings))
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		switch name {
		case "--listen", "ISRD_LISTEN":
			setting = name + "=" + socket
		case "--metrics-listen", "ISRD_METRICS_LISTEN":
			setting = name + "=127.0.0.1:0"
		case "--redis", "ISRD_REDIS_URL":
			if u, err := url.Parse(value); err == nil {
				u.Host = "127.0.0.1:1"
				setting = name + "=" + u.String()
			}
		}
		moved = append(moved, setting)
	}
	return moved
}
