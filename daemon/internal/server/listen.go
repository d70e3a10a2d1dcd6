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
	l, err := lc.Listen(ctx, network, target)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", target, err)
	}
	if err := os.Chmod(target, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("set mode of %s: %w", target, err), l.Close())
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
	if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(fmt.Errorf("another daemon answers on %s; stop it, or listen elsewhere", path), conn.Close())
	}
	return os.Remove(path)
}
