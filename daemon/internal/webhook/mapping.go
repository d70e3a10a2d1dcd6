package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// Map says how the payloads of others are read: their sources, by name.
type Map struct{ sources map[string]*source }

// source is one sender.
type source struct {
	auth   *auth // nil: the daemon's own
	header map[string]string
	rules  []rule
}

// rule says what a payload stands for. It applies if all of when holds and all pointers of its templates lead to something.
type rule struct {
	when  []condition
	paths []*template
	tags  []*template
}

// condition holds if the pointer leads to one of the values; to null, also if it leads nowhere.
type condition struct {
	at pointer
	in []any
}

// The file, as it is written.
type (
	mapFile struct {
		Sources map[string]sourceFile `json:"sources"`
	}
	sourceFile struct {
		Auth   *authFile         `json:"auth"`
		Header map[string]string `json:"header"`
		Rules  []ruleFile        `json:"rules"`
	}
	authFile struct {
		Scheme          string `json:"scheme"`
		Header          string `json:"header"`
		Prefix          string `json:"prefix"`
		Encoding        string `json:"encoding"`
		TimestampHeader string `json:"timestamp_header"`
		DeliveryHeader  string `json:"delivery_header"`
		SecretEnv       string `json:"secret_env"`
	}
	ruleFile struct {
		When  map[string]json.RawMessage `json:"when"`
		Paths list                       `json:"paths"`
		Tags  list                       `json:"tags"`
	}
)

// maxMap bounds a file.
const maxMap = 1 << 20

// LoadMap reads maps: files in YAML or JSON, or JSON itself, which begins with a brace. env gives the variables that secrets
// stand in; secrets and tokens are the daemon's own, for sources that name none. The error names all that is wrong.
func LoadMap(texts, secrets, tokens []string, env func(string) string) (*Map, error) {
	m := &Map{sources: make(map[string]*source)}
	var problems []error
	for _, text := range texts {
		where, content := "the map", []byte(text)
		if !strings.HasPrefix(strings.TrimSpace(text), "{") {
			var err error
			if where, content, err = readFile(text); err != nil {
				problems = append(problems, err)
				continue
			}
		}
		var file mapFile
		if err := yaml.UnmarshalStrict(content, &file); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", where, err))
			continue
		}
		for _, name := range sortedNames(file.Sources) {
			s, err := file.Sources[name].compile(secrets, tokens, env)
			if m.sources[name] != nil {
				err = errors.Join(err, errors.New("there are two of that name"))
			}
			if name == "" || strings.Contains(name, "/") {
				err = errors.Join(err, errors.New("a name may not be empty, and may have no slash"))
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: source %q: %w", where, name, err))
			}
			m.sources[name] = s
		}
	}
	return m, errors.Join(problems...)
}

func readFile(path string) (string, []byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return path, nil, fmt.Errorf("open the map: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxMap+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return path, nil, fmt.Errorf("read the map: %w", err)
	}
	if len(content) > maxMap {
		return path, nil, fmt.Errorf("%s: a map has at most %d bytes", path, maxMap)
	}
	return path, content, nil
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (f sourceFile) compile(secrets, tokens []string, env func(string) string) (*source, error) {
	s := &source{header: f.Header}
	var problems []error
	if f.Auth != nil {
		a, err := f.Auth.compile(secrets, tokens, env)
		s.auth, problems = &a, append(problems, err)
	}
	for i, r := range f.Rules {
		one, err := r.compile()
		if err != nil {
			problems = append(problems, fmt.Errorf("rules[%d]: %w", i, err))
		}
		s.rules = append(s.rules, one)
	}
	return s, errors.Join(problems...)
}

func (f authFile) compile(secrets, tokens []string, env func(string) string) (auth, error) {
	if f.SecretEnv != "" {
		all := strings.Split(env(f.SecretEnv), ",")
		secrets, tokens = all, all
	}
	a := auth{}
	switch f.Scheme {
	case "bearer":
		a.tokenHeader, a.tokens = cmp.Or(f.Header, "Authorization"), keys(tokens)
	case "hmac", "timed-hmac":
		decode, known := encodings[cmp.Or(f.Encoding, "hex")]
		a.secrets = keys(secrets)
		a.signature = signature{
			header: f.Header, prefix: f.Prefix, pairs: f.Scheme == "timed-hmac", time: f.TimestampHeader, delivery: f.DeliveryHeader, decode: decode,
		}
		if a.signature.pairs {
			a.signature.prefix = cmp.Or(f.Prefix, "v1=")
		}
		switch {
		case !known:
			return a, fmt.Errorf("auth: encoding %q: write hex, base64 or base64url", f.Encoding)
		case f.Header == "":
			return a, errors.New("auth: name the header of the signature")
		case f.DeliveryHeader != "" && (f.TimestampHeader == "" || a.signature.pairs):
			return a, errors.New("auth: a delivery_header needs a timestamp_header: it is signed as time.delivery.body")
		case f.TimestampHeader != "" && a.signature.pairs:
			return a, errors.New("auth: timed-hmac has its time in the header of the signature")
		}
	default:
		return a, fmt.Errorf("auth: scheme %q: write bearer, hmac or timed-hmac", f.Scheme)
	}
	if len(a.tokens) == 0 && len(a.secrets) == 0 { // it would let everybody in
		return a, fmt.Errorf("auth: there is no secret: set the variable that secret_env names (%q), or the daemon's own", f.SecretEnv)
	}
	return a, nil
}

func (f ruleFile) compile() (rule, error) {
	var r rule
	var problems []error
	for _, at := range sortedNames(f.When) {
		p, err := parsePointer(at)
		problems = append(problems, err)
		value, err := decode(f.When[at])
		problems = append(problems, err)
		values, many := value.([]any)
		if !many {
			values = []any{value}
		}
		for _, v := range values {
			if !isScalar(v) {
				problems = append(problems, fmt.Errorf("when %q: compare with a text, a number, true, false or null, or several", at))
			}
		}
		r.when = append(r.when, condition{p, values})
	}
	for _, text := range f.Paths {
		t, err := parseTemplate(text, true)
		r.paths, problems = append(r.paths, t), append(problems, err)
	}
	for _, text := range f.Tags {
		t, err := parseTemplate(text, false)
		r.tags, problems = append(r.tags, t), append(problems, err)
	}
	return r, errors.Join(problems...)
}

// decode reads JSON, and keeps numbers as they are written.
func decode(text []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("no JSON: something follows the value")
	}
	return value, nil
}

func isScalar(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return false
	}
	return true
}

// matches says that a request has the headers of the source; "*" is any value. A source without headers has none.
func (s *source) matches(header http.Header) bool {
	for name, want := range s.header {
		if got := header.Get(name); got == "" || want != "*" && got != want {
			return false
		}
	}
	return len(s.header) > 0
}

// apply gives what the rules make of a payload, and how many of them applied, were skipped, or were incomplete. If none
// applied, that is an error: whoever set up the webhook wants to know.
func (s *source) apply(body []byte) (order, map[string]int, error) {
	var o order
	if !utf8.Valid(body) {
		return o, nil, invalid("the body is not UTF-8")
	}
	payload, err := decode(body)
	if err != nil {
		return o, nil, invalid("the body: %v", err)
	}
	counts := make(map[string]int)
	for _, r := range s.rules {
		outcome, err := r.apply(payload, &o)
		counts[outcome]++
		if err != nil {
			return o, counts, err
		}
	}
	if counts["applied"] == 0 {
		return o, counts, refuse(http.StatusUnprocessableEntity, "unmapped",
			"no rule applies to this payload: %d were skipped because of their when, %d name what it does not have", counts["skipped"], counts["incomplete"])
	}
	return o, counts, nil
}

func (r rule) apply(payload any, o *order) (outcome string, err error) {
	for _, c := range r.when {
		if !c.holds(payload) {
			return "skipped", nil
		}
	}
	for _, t := range slices.Concat(r.paths, r.tags) { // all or nothing
		for _, p := range t.at {
			if len(p.words(payload)) == 0 {
				return "incomplete", nil
			}
		}
	}
	for _, t := range r.paths {
		if err := t.expand(payload, o.addPath); err != nil {
			return "applied", err
		}
	}
	for _, t := range r.tags {
		if err := t.expand(payload, o.addTag); err != nil {
			return "applied", err
		}
	}
	return "applied", nil
}

func (c condition) holds(payload any) bool {
	found := c.at.find(payload)
	if len(found) == 0 {
		return slices.Contains(c.in, nil)
	}
	return slices.ContainsFunc(found, func(v any) bool { return isScalar(v) && slices.Contains(c.in, v) })
}
