package whoami

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// composed is how Docker's own DNS names a container of Compose: project-service-N, and the network project_network.
var composed = regexp.MustCompile(`^(.+)-([1-9]\d{0,3})\.([a-z0-9][-a-z0-9_]*)_[^.]+\.?$`)

// docker asks the network for the container's name: Compose tells a container nothing of its number, and its host name is
// random. Compose counts from 1.
func docker(ctx context.Context, s Surroundings, id *Identity) bool {
	if !s.Docker {
		return false
	}
	id.Platform = Container
	if s.Names == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	names, err := s.Names(ctx)
	if err != nil {
		id.because("the network could not be asked for the container's name: %v", err)
	}
	for _, name := range names {
		m := composed.FindStringSubmatch(name)
		if len(m) != 4 || !strings.HasPrefix(m[1], m[3]+"-") {
			continue
		}
		n, _ := strconv.Atoi(m[2]) // four digits
		id.Platform, id.Ordinal, id.Instance = Compose, n-1, m[1]+"-"+m[2]
		id.because("the network names the container %s, and Compose counts from 1", id.Instance)
		id.because("Compose may leave gaps when it replaces containers: then there is no 0")
		return true
	}
	id.because("a container of Docker, whose name tells no number: set ISRD_ORDINAL, or let a leader be elected")
	return true
}

// Here gives the surroundings of this process.
func Here() Surroundings {
	name, err := os.Hostname()
	if err != nil {
		name = "isrd"
	}
	_, err = os.Stat("/.dockerenv")
	return Surroundings{Env: os.Getenv, Host: name, Docker: err == nil, Names: ownNames, HTTP: plainClient()}
}

// ownNames looks up the names of this machine's addresses.
func ownNames(ctx context.Context) ([]string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	var names []string
	var problem error
	for _, a := range addresses {
		ip, ok := a.(*net.IPNet)
		if !ok || !ip.IP.IsGlobalUnicast() {
			continue
		}
		some, err := net.DefaultResolver.LookupAddr(ctx, ip.IP.String())
		names = append(names, some...)
		if unknown := new(net.DNSError); err != nil && (!errors.As(err, &unknown) || !unknown.IsNotFound) {
			problem = fmt.Errorf("look up %v: %w", ip.IP, err)
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	return nil, problem
}
