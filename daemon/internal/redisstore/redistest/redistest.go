// Package redistest runs real Redis servers for tests: on the loopback interface and a Unix socket, in a temporary
// folder, stopped with the test, their log shown if it failed.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a server.
const patience = 10 * time.Second

// Server is one redis-server. Its methods are for the test's own goroutine.
type Server struct {
	t    testing.TB
	dir  string
	port int
	args []string
	file string // the configuration of a sentinel; "": this is none

	command *exec.Cmd
	exited  chan struct{}
	output  *output
}

// Option changes how a server is started.
type Option func(*Server)

// Persistent keeps the data through Kill and Restart: every write is on disk before it is answered.
func Persistent() Option {
	return Args("--appendonly", "yes", "--appendfsync", "always")
}

// Args adds arguments of redis-server.
func Args(args ...string) Option {
	return func(s *Server) { s.args = append(s.args, args...) }
}

// Start runs a server until the test ends. Without options it keeps nothing on disk.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is missing; install it: apt-get install -y redis-server")
	}
	// Not t.TempDir: the path of a socket may have 107 bytes.
	dir, err := os.MkdirTemp("", "isrd-redis-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, output: new(output)}
	for _, o := range options {
		o(s)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("redis-server on port %d said:\n%s", s.port, s.output.tail())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// The port is free now and may be taken in a moment: then the server exits, and another one is tried.
	for range 5 {
		s.port = freePort(t)
		if s.start() {
			return s
		}
	}
	t.Fatalf("redis-server does not start:\n%s", s.output.tail())
	return nil
}

// freePort leaves room above for the port of a cluster's bus.
func freePort(t testing.TB) int {
	t.Helper()
	for range 50 {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // it is a TCP listener
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if port+10_000 <= 65_535 {
			return port
		}
	}
	t.Fatal("no free port below 55536")
	return 0
}

// start reports whether the server answers; false: it exited.
func (s *Server) start() bool {
	s.t.Helper()
	args := []string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--loglevel", "notice", "--daemonize", "no"}
	if s.file != "" {
		args = append([]string{s.file, "--sentinel"}, args...)
	} else {
		args = append(args, "--unixsocket", s.socket(), "--save", "", "--appendonly", "no")
	}
	args = append(args, s.args...)
	s.command = exec.Command("redis-server", args...) //nolint:noctx // it is stopped by Cleanup, after the test's context
	s.command.Stdout, s.command.Stderr = s.output, s.output
	s.command.SysProcAttr = dieWithParent()
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func(c *exec.Cmd) {
		_ = c.Wait() // killed, mostly
		close(exited)
	}(s.command)
	return s.await("an answer", func() bool { return s.ping() })
}

// await repeats a look until it is content; false: the server exited.
func (s *Server) await(what string, look func() bool) bool {
	s.t.Helper()
	return s.awaitFor(patience, what, look)
}

func (s *Server) awaitFor(within time.Duration, what string, look func() bool) bool {
	s.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-tick.C:
		case <-s.exited:
			return false
		case <-deadline.C:
			s.t.Fatalf("redis-server on port %d: no %s within %v:\n%s", s.port, what, within, s.output.tail())
		}
	}
	return true
}

// ping asks over a connection of its own, without a client library.
func (s *Server) ping() bool {
	c, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", s.Addr())
	if err != nil {
		return false
	}
	defer c.Close() //nolint:errcheck // only read from
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer := make([]byte, 7)
	n, err := c.Read(answer)
	return err == nil && string(answer[:n]) == "+PONG\r\n"
}

func (s *Server) socket() string { return filepath.Join(s.dir, "redis.sock") }

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is where the server is, over TCP.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// UnixURL is where the server is, over its socket.
func (s *Server) UnixURL() string { return "unix://" + s.socket() }

// Stop ends the server in order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server at once. It does nothing if it has ended.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) {
	s.t.Helper()
	if s.command == nil {
		return
	}
	s.signal(sig)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatalf("redis-server on port %d does not end on %v", s.port, sig)
	}
	s.command = nil
}

// Pause makes the server hang: it keeps its connections and takes new ones, and answers nothing.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.command.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatalf("signal %v: %v", sig, err)
	}
}

// Restart starts the server again, on the same port, after it was stopped or killed; otherwise it kills it first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if !s.start() {
		s.t.Fatalf("redis-server does not start again:\n%s", s.output.tail())
	}
}

// CLI runs one command with redis-cli and returns what it prints. An argument may hold any bytes.
func (s *Server) CLI(args ...string) string {
	s.t.Helper()
	text, err := s.tryCLI(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// tryCLI is CLI for a server that may be busy with something else than answering.
func (s *Server) tryCLI(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}, args...)
	out, err := exec.CommandContext(ctx, "redis-cli", all...).CombinedOutput()
	text := strings.TrimSuffix(string(out), "\n")
	if err == nil && (strings.HasPrefix(text, "ERR ") || strings.HasPrefix(text, "NOAUTH ")) {
		err = errors.New("refused")
	}
	if err != nil {
		return "", fmt.Errorf("redis-cli %q: %w: %s", args, err, text)
	}
	return text, nil
}

// Commands is how often each command was called since the server began, by its lower-case name.
func (s *Server) Commands() map[string]int {
	s.t.Helper()
	calls := make(map[string]int)
	for line := range strings.Lines(s.CLI("INFO", "commandstats")) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":calls=")
		if !ok {
			continue
		}
		count, _, _ := strings.Cut(rest, ",")
		n, err := strconv.Atoi(count)
		if err != nil {
			s.t.Fatalf("INFO commandstats: %q", line)
		}
		calls[strings.TrimPrefix(name, "cmdstat_")] = n
	}
	return calls
}

// Info is one field of INFO.
func (s *Server) Info(section, field string) string {
	s.t.Helper()
	v, ok := fieldOf(s.CLI("INFO", section), field)
	if !ok {
		s.t.Fatalf("INFO %s has no %s", section, field)
	}
	return v
}

func fieldOf(info, field string) (string, bool) {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return v, true
		}
	}
	return "", false
}

// output keeps what servers say.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p) //nolint:wrapcheck // never fails
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	const most = 8 << 10
	b := o.buf.Bytes()
	if len(b) > most {
		return fmt.Sprintf("… %s", b[len(b)-most:])
	}
	return string(b)
}
