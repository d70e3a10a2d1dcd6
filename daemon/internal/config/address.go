package config

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// Address is where to listen: a Unix socket or a TCP address.
type Address struct {
	// Network is "unix" or "tcp".
	Network string
	// Target is the socket's path, or host:port.
	Target string
}

// String gives the address as ParseAddress takes it.
func (a Address) String() string { return a.Network + "://" + a.Target }

// ParseAddress reads unix:///path, unix:path, tcp://host:port or host:port.
func ParseAddress(s string) (Address, error) {
	for _, prefix := range []string{"unix://", "unix:"} {
		if path, ok := strings.CutPrefix(s, prefix); ok {
			if !filepath.IsAbs(path) {
				return Address{}, fmt.Errorf("address %q: the path of a socket must be absolute, as in unix:///run/isrd/isrd.sock", s)
			}
			return Address{Network: "unix", Target: filepath.Clean(path)}, nil
		}
	}
	host := strings.TrimPrefix(s, "tcp://")
	if _, port, err := net.SplitHostPort(host); err != nil || port == "" || strings.Contains(host, "/") {
		return Address{}, fmt.Errorf("address %q: write unix:///path/to/isrd.sock or host:port", s)
	}
	return Address{Network: "tcp", Target: host}, nil
}
