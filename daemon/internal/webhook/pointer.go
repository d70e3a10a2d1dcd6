package webhook

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// pointer is a JSON pointer (RFC 6901), taken apart.
type pointer []string

func parsePointer(text string) (pointer, error) {
	if text == "" {
		return nil, nil
	}
	if text[0] != '/' {
		return nil, fmt.Errorf("pointer %q: it must begin with a slash, as in /entry/slug", text)
	}
	p := strings.Split(text[1:], "/")
	for i, token := range p {
		for rest := token; ; {
			_, after, ok := strings.Cut(rest, "~")
			if !ok {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return nil, fmt.Errorf("pointer %q: write ~0 for ~ and ~1 for /", text)
			}
			rest = after
		}
		p[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return p, nil
}

// find gives what the pointer leads to. A token that is no index goes into every element of an array, and an array at the
// end stands for its elements. Nothing: the pointer leads nowhere.
func (p pointer) find(in any) []any {
	list, isArray := in.([]any)
	switch {
	case len(p) == 0 && !isArray:
		return []any{in}
	case isArray:
		if len(p) > 0 {
			if i, err := strconv.Atoi(p[0]); err == nil && strconv.Itoa(i) == p[0] {
				if i < 0 || i >= len(list) {
					return nil
				}
				return p[1:].find(list[i])
			}
		}
		var found []any
		for _, e := range list {
			found = append(found, p.find(e)...)
		}
		return found
	}
	if object, ok := in.(map[string]any); ok {
		if member, ok := object[p[0]]; ok {
			return p[1:].find(member)
		}
	}
	return nil
}

// words gives the texts, numbers and truth values that the pointer leads to. An empty text, null and an object are none.
func (p pointer) words(in any) []string {
	var words []string
	for _, v := range p.find(in) {
		switch v := v.(type) {
		case string:
			if v != "" {
				words = append(words, v)
			}
		case json.Number:
			words = append(words, v.String())
		case bool:
			words = append(words, strconv.FormatBool(v))
		}
	}
	return words
}
