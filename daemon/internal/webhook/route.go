package webhook

import (
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// route reads everything but who sent it and the body.
func (h *Hook) route(c *call) (*source, error) {
	rest, ok := strings.CutPrefix(c.URL.EscapedPath(), "/revalidate")
	if !ok || rest != "" && rest[0] != '/' {
		return nil, refuse(http.StatusNotFound, "not_found", "there is only /revalidate, /revalidate/{app} and /revalidate/{app}/{source}")
	}
	if c.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "not_found", "send a POST request")
	}
	// A page of any site can have a browser send a form to this machine; it cannot have it send JSON without being asked.
	if kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil, refuse(http.StatusUnsupportedMediaType, "invalid", "send JSON, with Content-Type: application/json")
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	if len(parts) > 2 {
		return nil, refuse(http.StatusNotFound, "not_found", "there is only /revalidate/{app}/{source}; write a slash in the name of an app as %%2F")
	}
	for i, text := range parts {
		name, err := url.PathUnescape(text)
		if err != nil {
			return nil, refuse(http.StatusNotFound, "not_found", "the path is not well escaped")
		}
		parts[i] = name
	}
	c.app = parts[0]
	if len(parts) == 2 {
		c.source = parts[1]
	}
	return h.find(c)
}

// find gives the source of the map that a request is from: the one that its path names, or the first whose headers it has.
func (h *Hook) find(c *call) (*source, error) {
	if c.source != "" {
		if s := h.sources[c.source]; s != nil {
			return s, nil
		}
		return nil, refuse(http.StatusNotFound, "not_found", "the daemon's --webhook-map has no such source")
	}
	for _, name := range sortedNames(h.sources) {
		if s := h.sources[name]; s.matches(c.Header) {
			c.source = name
			return s, nil
		}
	}
	return nil, nil //nolint:nilnil // it is from none, and its body is in the daemon's own form
}

// named finds the app: in the path, in the query, or because there is only one.
func (h *Hook) named(c *call, query []string) error {
	if c.app == "" && len(query) > 0 {
		c.app = query[0]
	}
	if c.app == "" && len(h.config.Apps) == 1 {
		c.app = h.config.Apps[0]
	}
	switch {
	case c.app == "":
		return refuse(http.StatusBadRequest, "invalid", "name the app, as in /revalidate/shop or ?app=shop")
	case len(query) > 1, len(query) == 1 && query[0] != c.app:
		return refuse(http.StatusBadRequest, "invalid", "the path and ?app name different apps")
	case h.apps != nil && !h.apps[c.app]:
		return refuse(http.StatusNotFound, "not_found", "app %.100q is not in this daemon's --app list", c.app)
	}
	return nil
}

// sourceOf gives whom the requests of an address are counted for: the address, or the network that one sender has of IPv6.
func sourceOf(remote string) netip.Prefix {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip := a.Addr().Unmap()
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
