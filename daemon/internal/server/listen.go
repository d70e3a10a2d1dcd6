package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// answerLimit is how long a socket that exists may take to show that another daemon is behind it.
const answerLimit = time.Second

// Listen opens an address: network is "unix" or "tcp", target the socket's path or host:port. A path that is no socket, or a socket that answers, is left alone and is an error; the
// socket of a daemon that died is replaced. mode is set on the socket.
func Listen(ctx context.Context, network, target string, mode fs.FileMode) (net.Listener, error) {
	var lc net.ListenConfig
	if network != "unix" {
		l, err := lc.Listen(ctx, network, target)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", target, err)
		}
		return l, nil
	}
	if err := makeWay(ctx, target); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", target, err)
	}
	// By the umask, so that there is no moment in which the socket has another mode. It is the whole process's: Listen is
	// called while the daemon is built, before anything else makes files.
	umask := unix.Umask(0o777 &^ int(mode.Perm()))
	l, err := lc.Listen(ctx, network, target)
	unix.Umask(umask)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", target, err)
	}
	return l, nil
}

// makeWay makes the socket's directory and removes what a daemon that died has left.
func makeWay(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // clients of other users look into it
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is no socket; remove it, or listen elsewhere", path)
	}
	dialer := net.Dialer{Timeout: answerLimit}
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("another daemon answers on %s; stop it, or listen elsewhere", path), conn.Close())
	case errors.Is(err, unix.ECONNREFUSED): // nobody has it open
		return os.Remove(path)
	default: // too busy to answer, or not ours to connect to: somebody has it
		return fmt.Errorf("%s may belong to another daemon: %w; stop it, or listen elsewhere", path, err)
	}
}
