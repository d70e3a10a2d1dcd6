package webhook

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// template makes texts of a payload: literal text, with pointers in braces.
type template struct {
	text  string // as it was written
	parts []part
	names []string // the pointers, each once
	at    []pointer
}

// part is a piece of a template: text, or what the pointer with that number leads to.
type part struct {
	text  string
	index int // -1: text
	write func(string) string
}

// parseTemplate reads "/blog/{/entry/slug}". In a path, a value becomes one segment; {+/entry/path} keeps its slashes. In a
// tag it is taken as it is.
func parseTemplate(text string, path bool) (*template, error) {
	t := &template{text: text}
	for rest := text; rest != ""; {
		before, after, ok := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Errorf("template %q: a } without {", text)
		}
		if before != "" {
			t.parts = append(t.parts, part{text: before, index: -1})
		}
		if !ok {
			break
		}
		name, next, ok := strings.Cut(after, "}")
		if !ok {
			return nil, fmt.Errorf("template %q: a { without }", text)
		}
		if err := t.add(name, path); err != nil {
			return nil, fmt.Errorf("template %q: %w", text, err)
		}
		rest = next
	}
	if path && !strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "{+/") {
		return nil, fmt.Errorf("template %q: a path begins with a slash", text)
	}
	return t, nil
}

// add adds a pointer, which stands in braces.
func (t *template) add(name string, path bool) error {
	write := func(s string) string { return s }
	if path {
		write = url.PathEscape
		if rest, ok := strings.CutPrefix(name, "+"); ok {
			name, write = rest, escapeSegments
		}
	}
	i := slices.Index(t.names, name)
	if i < 0 {
		p, err := parsePointer(name)
		if err != nil {
			return err
		}
		if len(p) == 0 {
			return fmt.Errorf("{%s} is no pointer", name)
		}
		i = len(t.names)
		t.names, t.at = append(t.names, name), append(t.at, p)
	}
	t.parts = append(t.parts, part{index: i, write: write})
	return nil
}

func escapeSegments(s string) string {
	segments := strings.Split(s, "/")
	for i, one := range segments {
		segments[i] = url.PathEscape(one)
	}
	return strings.Join(segments, "/")
}

// expand calls each with the texts: one for every combination of what the pointers lead to, none if one leads to nothing.
// It stops at the first error of each, and returns it.
func (t *template) expand(payload any, each func(string) error) error {
	values, many := make([][]string, len(t.at)), 1
	for i, p := range t.at {
		if values[i] = p.words(payload); len(values[i]) == 0 {
			return nil
		}
		if many *= len(values[i]); many > maxPaths {
			return invalid("template %q: the payload has more than %d combinations for it", t.text, maxPaths)
		}
	}
	for chosen := make([]int, len(values)); ; {
		var b strings.Builder
		for _, p := range t.parts {
			if p.index < 0 {
				b.WriteString(p.text)
			} else {
				b.WriteString(p.write(values[p.index][chosen[p.index]]))
			}
		}
		if err := each(b.String()); err != nil {
			return err
		}
		if !next(chosen, values) {
			return nil
		}
	}
}

// next counts on, with a digit for each pointer. False: that was the last combination.
func next(chosen []int, values [][]string) bool {
	for i := range chosen {
		if chosen[i]++; chosen[i] < len(values[i]) {
			return true
		}
		chosen[i] = 0
	}
	return false
}
