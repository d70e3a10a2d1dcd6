package server_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/isrd/isrd/daemon/internal/server"
)

func TestSocketRules(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Listen(t.Context(), "unix", file, 0o600); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("listening on a file: %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "precious" {
		t.Errorf("the file is %q, %v", got, err)
	}
	socket := filepath.Join(dir, "made", "isrd.sock")
	first, err := server.Listen(t.Context(), "unix", socket, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != fs.FileMode(0o640) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := server.Listen(t.Context(), "unix", socket, 0o600); err == nil || !strings.Contains(err.Error(), "another daemon") {
		t.Errorf("listening where another daemon answers: %v", err)
	}
	if l, ok := first.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false) // as kill -9 leaves it
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := server.Listen(t.Context(), "unix", socket, 0o600)
	if err != nil {
		t.Fatalf("listening where a daemon died: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestSocketOfABusyDaemonIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	open := func(kind int) int {
		fd, err := unix.Socket(unix.AF_UNIX, kind, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Close(fd); err != nil {
				t.Error(err)
			}
		})
		return fd
	}
	listener := open(unix.SOCK_STREAM)
	if err := unix.Bind(listener, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 0); err != nil {
		t.Fatal(err)
	}
	full := false
	for range 16 { // until nobody more can get in
		if err := unix.Connect(open(unix.SOCK_STREAM|unix.SOCK_NONBLOCK), &unix.SockaddrUnix{Name: path}); err != nil {
			full = true
			break
		}
	}
	if !full {
		t.Fatal("the backlog does not fill")
	}
	if l, err := server.Listen(t.Context(), "unix", path, 0o600); err == nil {
		t.Errorf("it was taken away: %v", l.Close())
	} else if !strings.Contains(err.Error(), "may belong to another daemon") {
		t.Error(err)
	}
}
