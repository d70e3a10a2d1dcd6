package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// mode is how a Redis is built.
type mode uint8

const (
	standalone mode = iota
	sentinel
	cluster
)

// address is a Redis URL, taken apart.
type address struct {
	mode               mode
	network            string   // tcp or unix
	hosts              []string // host:port, or the path of the socket
	username, password string
	master             string
	db                 int
	tls                *tls.Config

	sentinelUsername, sentinelPassword string
}

const wantURL = "want redis://user:password@host:6379/0, rediss://…, unix:///run/redis.sock, " +
	"redis+sentinel://host:26379,host:26379/master/0 or redis+cluster://host:6379,host:6379 (rediss+… with TLS)"

// parseURL reads a Redis URL. Its errors never hold what stands before the last @ or in the query: passwords.
func parseURL(text string) (address, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return address{}, errors.New("redis URL without a scheme: " + wantURL)
	}
	a := address{network: "tcp"}
	base, secure := scheme, false
	if s, ok := strings.CutPrefix(scheme, "rediss"); ok {
		base, secure = "redis"+s, true
	}
	port := "6379"
	switch base {
	case "redis":
	case "unix":
		a.network = "unix"
	case "redis+sentinel":
		a.mode, port = sentinel, "26379"
	case "redis+cluster":
		a.mode = cluster
	default:
		return address{}, fmt.Errorf("redis URL with scheme %q: %s", scheme, wantURL)
	}
	hosts, u, err := split(rest)
	if err != nil {
		return address{}, fmt.Errorf("redis URL %s://…: %w", scheme, err)
	}
	if u.User != nil {
		a.username = u.User.Username()
		a.password, _ = u.User.Password()
	}
	query := options{values: u.Query()}
	if secure {
		//nolint:gosec // what skip_verify=true asks for, as documented
		a.tls = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: query.flag("skip_verify")}
	}
	err = errors.Join(a.locate(hosts, port, u.Path, &query), query.problem())
	if err != nil {
		return address{}, fmt.Errorf("redis URL %s://%s…: %w", scheme, hosts, err)
	}
	return a, nil
}

// split separates the list of hosts, which net/url does not know, from the rest of the URL.
func split(rest string) (hosts string, u *url.URL, err error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@') + 1
	if strings.Contains(rest[end:], "@") && at == 0 {
		return "", nil, errors.New("an @ after the first /, ? or #: percent-encode these in user name and password (/ is %2F, # is %23)")
	}
	hosts = rest[at:end]
	if u, err = url.Parse("redis://" + rest[:at] + "host" + rest[end:]); err != nil {
		return "", nil, errors.New("percent-encode special characters in user name and password, such as %40 for @")
	}
	return hosts, u, nil
}

// locate reads what names the servers and the database.
func (a *address) locate(hosts, port, path string, query *options) error {
	if a.network == "unix" {
		if hosts != "" || len(path) < 2 {
			return errors.New("want three slashes before the socket's path, as in unix:///run/redis.sock?db=0")
		}
		a.hosts = []string{path}
		return a.database(query.text("db"))
	}
	for h := range strings.SplitSeq(hosts, ",") {
		h, err := hostPort(h, port)
		if err != nil {
			return err
		}
		a.hosts = append(a.hosts, h)
	}
	path = strings.Trim(path, "/")
	switch a.mode {
	case sentinel:
		a.sentinelUsername, a.sentinelPassword = query.text("sentinel_username"), query.text("sentinel_password")
		a.master, path, _ = strings.Cut(path, "/")
		if a.master == "" {
			return errors.New("name the master, as in redis+sentinel://host:26379,host:26379/mymaster/0")
		}
	case cluster:
		if path != "" && path != "0" {
			return fmt.Errorf("database %q: a cluster has only database 0", path)
		}
	case standalone:
		if len(a.hosts) > 1 {
			return errors.New("more than one host: say redis+cluster:// or redis+sentinel://")
		}
	}
	return a.database(path)
}

func (a *address) database(text string) error {
	if text == "" {
		return nil
	}
	db, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("database %q: want a number, as in redis://host:6379/0", text)
	}
	a.db = int(db)
	return nil
}

func hostPort(text, port string) (string, error) {
	if text == "" {
		return "", errors.New("host is missing: " + wantURL)
	}
	bare := strings.Trim(text, "[]")
	if !strings.Contains(text, ":") || (bare != text && strings.HasSuffix(text, "]")) {
		return net.JoinHostPort(bare, port), nil
	}
	host, p, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "", fmt.Errorf("host %q: want host:port, or [address]:port for IPv6", text)
	}
	if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("host %q: want a port from 1 to 65535", text)
	}
	return text, nil
}

// options are the query of a URL; what nobody asked for is a mistake.
type options struct {
	values url.Values
	asked  []string
	bad    []error
}

func (o *options) text(name string) string {
	o.asked = append(o.asked, name)
	return o.values.Get(name)
}

func (o *options) flag(name string) bool {
	text := o.text(name)
	if text == "" {
		return false
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		o.bad = append(o.bad, fmt.Errorf("option %s: want true or false", name))
	}
	return v
}

func (o *options) problem() error {
	for name := range o.values {
		if !slices.Contains(o.asked, name) {
			known := "there are none here"
			if len(o.asked) > 0 {
				known = "known here: " + strings.Join(o.asked, ", ")
			}
			o.bad = append(o.bad, fmt.Errorf("option %q is unknown; %s", name, known))
		}
	}
	return errors.Join(o.bad...)
}
