package warm

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// What sitemaps may be. Their own protocol allows 50,000 addresses and 50 MiB.
const (
	maxSitemap  = 50 << 20 // unpacked
	maxSitemaps = 500
	maxPages    = 500_000
	maxDepth    = 2 // of an index in an index
	fetchLimit  = 30 * time.Second
)

// AddSitemap adds the pages of a sitemap, or of all sitemaps of an index, packed or not. location is an address or a file.
// Sitemaps that an index names are read if they are of the same origin as it, or of the target's or its public one.
func (l *List) AddSitemap(ctx context.Context, location string) error {
	r := reader{list: l, client: plainClient(1), seen: make(map[string]bool)}
	defer r.client.CloseIdleConnections()
	return r.read(ctx, location, nil, 0)
}

// reader reads one tree of sitemaps.
type reader struct {
	list   *List
	client *http.Client
	seen   map[string]bool
}

// read reads one; from is the index that has named it.
func (r *reader) read(ctx context.Context, location string, from *url.URL, depth int) (err error) {
	if r.seen[location] {
		return nil
	}
	r.seen[location] = true
	if len(r.seen) > maxSitemaps || depth > maxDepth {
		return fmt.Errorf("sitemap %s: more than %d sitemaps, or %d levels of them", location, maxSitemaps, maxDepth+1)
	}
	u, err := url.Parse(location)
	isURL := err == nil && (u.Scheme == "http" || u.Scheme == "https")
	if from != nil && !isURL {
		return fmt.Errorf("sitemap %s: an index may name http and https addresses only", location)
	}
	var body io.ReadCloser
	if isURL {
		body, err = r.fetch(ctx, u)
	} else {
		body, err = os.Open(location) //nolint:gosec // the operator names it
	}
	if err != nil {
		return fmt.Errorf("open the sitemap: %w", err)
	}
	maps, err := r.parse(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("sitemap %s: %w", location, err)
	}
	for _, next := range maps {
		n, err := url.Parse(next)
		if err != nil || !same(n, r.list.origin) && !same(n, r.list.target) && (!isURL || !same(n, u)) {
			r.list.Elsewhere++
			continue
		}
		if err := r.read(ctx, next, n, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// fetch asks for a sitemap. What has the public origin is asked of the target, which is to be warmed before the public one is.
func (r *reader) fetch(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
	asked := *u
	if same(u, r.list.origin) {
		asked.Scheme, asked.Host = r.list.target.Scheme, r.list.target.Host
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, asked.String(), http.NoBody)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("ask for %s: %w", u, err)
	}
	response, err := r.client.Do(request)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("ask for %s: %w", u, err)
	}
	if response.StatusCode != http.StatusOK {
		cancel()
		return nil, errors.Join(fmt.Errorf("the answer is %s", response.Status), response.Body.Close())
	}
	return fetched{response.Body, cancel}, nil
}

// fetched is a body that ends its request when it is closed.
type fetched struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (f fetched) Close() error {
	defer f.cancel()
	return f.ReadCloser.Close()
}

// parse adds the pages, and gives the sitemaps that an index names.
func (r *reader) parse(body io.Reader) (maps []string, err error) {
	buffered := bufio.NewReader(body)
	var in io.Reader = buffered
	if head, _ := buffered.Peek(2); string(head) == "\x1f\x8b" {
		if in, err = gzip.NewReader(buffered); err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
	}
	limited := &io.LimitedReader{R: in, N: r.list.most + 1}
	d := xml.NewDecoder(limited) // strict: no entities but those of XML
	var path []string
	for {
		token, err := d.Token()
		switch {
		case limited.N == 0:
			return nil, fmt.Errorf("it has more than %d bytes", r.list.most)
		case errors.Is(err, io.EOF) && len(path) == 0 && d.InputOffset() > 0:
			return maps, nil
		case err != nil:
			return nil, fmt.Errorf("no XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if len(path) == 1 && path[0] != "urlset" && path[0] != "sitemapindex" {
				return nil, fmt.Errorf("it begins with <%.40s>: neither a urlset nor a sitemapindex", path[0])
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			switch text := strings.TrimSpace(string(t)); {
			case text == "":
			case strings.Join(path, "/") == "urlset/url/loc":
				r.list.AddURL(text)
			case strings.Join(path, "/") == "sitemapindex/sitemap/loc" && len(maps) < maxSitemaps:
				maps = append(maps, text)
			}
		}
		if len(r.list.paths) > maxPages {
			return nil, fmt.Errorf("more than %d pages", maxPages)
		}
	}
}
