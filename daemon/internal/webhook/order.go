package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// order is what a webhook asks for. Each path and tag is in it once.
type order struct {
	paths, tags []string
	has         map[string]bool
}

// What one webhook may ask for; the same as one call of RevalidationService.Enqueue.
const (
	maxPaths = 20_000
	maxTags  = 4 << 10
	maxTag   = 4 << 10
)

func invalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "invalid", format, args...)
}

// addPath adds a path that is asked for, and says what is wrong with it.
func (o *order) addPath(path string) error {
	if err := checkPath(path); err != nil {
		return invalid("%v", err)
	}
	if o.first("p" + path) {
		o.paths = append(o.paths, path)
	}
	if len(o.paths) > maxPaths {
		return invalid("more than %d paths in one request", maxPaths)
	}
	return nil
}

func (o *order) addTag(tag string) error {
	switch {
	case tag == "" || len(tag) > maxTag:
		return invalid("tag %.100q: it must have 1 to %d bytes", tag, maxTag)
	case strings.ContainsFunc(tag, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return invalid("tag %.100q: it may have no control characters", tag)
	}
	if o.first("t" + tag) {
		o.tags = append(o.tags, tag)
	}
	if len(o.tags) > maxTags {
		return invalid("more than %d tags in one request", maxTags)
	}
	return nil
}

func (o *order) first(what string) bool {
	if o.has == nil {
		o.has = make(map[string]bool)
	}
	if o.has[what] {
		return false
	}
	o.has[what] = true
	return true
}

// checkPath refuses what the queue refuses, and the same in disguise: a path is requested as it is written, and others on
// its way may decode it.
func checkPath(path string) error {
	if err := queue.CheckPath(path); err != nil {
		return err
	}
	plain, err := url.PathUnescape(path)
	switch {
	case err != nil:
		return fmt.Errorf("invalid path %.100q: it is not well escaped", path)
	case !utf8.ValidString(plain), strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return fmt.Errorf("invalid path %.100q: it hides a control character, a backslash or what is no UTF-8", path)
	}
	for segment := range strings.SplitSeq(plain, "/") {
		if segment == ".." || segment == "." {
			return fmt.Errorf("invalid path %.100q: it may not climb", path)
		}
	}
	return nil
}

// parse reads the daemon's own form: {"paths": […], "tags": […]}, or an array of such objects and of strings. A string that
// begins with a slash is a path, any other is a tag.
func parse(body []byte) (order, error) {
	var o order
	if !utf8.Valid(body) {
		return o, invalid("the body is not UTF-8")
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return o, invalid(`the body is empty; send {"paths": ["/…"], "tags": ["…"]}`)
	}
	elements := []json.RawMessage{body}
	if body[0] == '[' {
		elements = nil
		if err := json.Unmarshal(body, &elements); err != nil {
			return o, invalid("the body is no JSON: %v", err)
		}
	} else if body[0] != '{' {
		return o, invalid(`send {"paths": ["/…"], "tags": ["…"]}, or an array`)
	}
	for _, e := range elements {
		if err := o.element(e); err != nil {
			return o, err
		}
	}
	if len(o.paths) == 0 && len(o.tags) == 0 {
		return o, invalid("there are neither paths nor tags")
	}
	return o, nil
}

// element reads an object or a string.
func (o *order) element(text json.RawMessage) error {
	var word string
	if text[0] == '"' {
		if err := json.Unmarshal(text, &word); err != nil {
			return invalid("the body is no JSON: %v", err)
		}
		switch {
		case strings.HasPrefix(word, "/"):
			return o.addPath(word)
		case strings.Contains(word, "://"):
			return invalid("%.100q is a URL: write a path, without the host, or {\"tags\": […]} if it is a tag", word)
		default:
			return o.addTag(word)
		}
	}
	var object struct{ Paths, Tags list }
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&object); err != nil {
		return invalid("the body: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("something follows the JSON")
	}
	for _, p := range object.Paths {
		if err := o.addPath(p); err != nil {
			return err
		}
	}
	for _, t := range object.Tags {
		if err := o.addTag(t); err != nil {
			return err
		}
	}
	return nil
}

// list is an array of strings, or one string.
type list []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *list) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*l = make(list, 1)
		return json.Unmarshal(text, &(*l)[0]) //nolint:wrapcheck // who unmarshals says of what
	}
	return json.Unmarshal(text, (*[]string)(l)) //nolint:wrapcheck // as above
}
