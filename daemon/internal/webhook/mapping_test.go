package webhook

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docMap is the map of docs/revalidation.md.
func docMap(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/revalidation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- webhook-map:")
	_, rest, ok2 := strings.Cut(rest, "```yaml\n")
	content, _, ok3 := strings.Cut(rest, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatal("docs/revalidation.md has no map any more")
	}
	return content
}

func secretsOf(name string) string {
	return map[string]string{
		"CONTENTFUL_WEBHOOK_TOKEN": "contentful-token", "SANITY_WEBHOOK_SECRET": "test", "SHOPIFY_WEBHOOK_SECRET": "shopify-old,shopify-new",
	}[name]
}

// load reads a map from a file.
func load(t *testing.T, content string) (*Map, error) {
	t.Helper()
	path := t.TempDir() + "/map.yaml"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadMap([]string{path}, []string{"the-daemon's-secret"}, []string{"the-daemon's-token"}, secretsOf)
}

func TestPayloadsOfContentManagementSystems(t *testing.T) {
	m, err := load(t, docMap(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, source, payload string
		paths, tags           []string
		counts                map[string]int
		refused               string
	}{
		{
			name: "Contentful publishes", source: "contentful",
			payload: `{"metadata":{"tags":[]},"sys":{"type":"Entry","id":"5KsDBWseXY6QegucYAoacS","space":{"sys":{"type":"Link","linkType":"Space","id":"yadj1kx9rmg0"}},
				"contentType":{"sys":{"type":"Link","linkType":"ContentType","id":"blogPost"}},"revision":3,"updatedAt":"2026-03-01T10:00:00Z"},
				"fields":{"title":{"en-US":"Hello"},"slug":{"en-US":"hello-wörld"}}}`,
			paths: []string{"/blog", "/blog/hello-w%C3%B6rld"}, tags: []string{"entry:5KsDBWseXY6QegucYAoacS"}, counts: map[string]int{"applied": 2},
		},
		{
			name: "Contentful unpublishes", source: "contentful",
			payload: `{"sys":{"type":"DeletedEntry","id":"5Ks","contentType":{"sys":{"id":"blogPost"}}}}`,
			tags:    []string{"entry:5Ks"}, counts: map[string]int{"applied": 1, "skipped": 1},
		},
		{
			name: "Sanity", source: "sanity",
			payload: `{"_id":"a1","_type":"post","slug":{"_type":"slug","current":"a/b c"},"categories":[{"slug":"news"},{"slug":"sport"},{"title":"without"}]}`,
			paths:   []string{"/blog/a%2Fb%20c", "/topics/news", "/topics/sport"}, tags: []string{"post"}, counts: map[string]int{"applied": 1, "skipped": 2},
		},
		{
			name: "Sanity without a slug", source: "sanity", payload: `{"_type":"post","slug":null,"categories":[]}`,
			refused: "no rule applies to this payload: 2 were skipped because of their when, 1 name what it does not have",
			counts:  map[string]int{"incomplete": 1, "skipped": 2},
		},
		{name: "Sanity, nothing to do", source: "sanity", payload: `{"_type":"draftNote"}`, counts: map[string]int{"applied": 1, "skipped": 2}},
		{
			name: "Strapi", source: "strapi",
			payload: `{"event":"entry.update","createdAt":"2026-01-10T08:58:26.563Z","model":"article","uid":"api::article.article",
				"entry":{"id":1,"slug":"hello","locale":"de","categories":[{"id":2,"slug":"x"},{"id":3,"slug":"y"}]}}`,
			paths: []string{"/articles", "/de/articles/hello", "/topics/x", "/topics/y"}, counts: map[string]int{"applied": 1, "skipped": 1},
		},
		{
			name: "Strapi, a path with slashes", source: "strapi", payload: `{"event":"entry.update","model":"page","entry":{"path":"docs/über uns"}}`,
			paths: []string{"/docs/%C3%BCber%20uns"}, counts: map[string]int{"applied": 1, "skipped": 1},
		},
		{
			name: "Strapi, a path that climbs", source: "strapi", payload: `{"model":"page","entry":{"path":"../admin"}}`,
			refused: "may not climb", counts: map[string]int{"applied": 1, "skipped": 1},
		},
		{
			name: "Strapi, a path to another host", source: "strapi", payload: `{"model":"page","entry":{"path":"/evil.example"}}`,
			refused: "one slash", counts: map[string]int{"applied": 1, "skipped": 1},
		},
		{
			name: "Shopify, with an id that is no float", source: "shopify", payload: `{"id":788032119674292922,"handle":"example-t-shirt"}`,
			paths: []string{"/products/example-t-shirt"}, tags: []string{"product-788032119674292922"}, counts: map[string]int{"applied": 1, "skipped": 1},
		},
		{name: "no JSON", source: "shopify", payload: `{"id":`, refused: "no JSON"},
		{name: "two values", source: "shopify", payload: `{} {}`, refused: "something follows"},
		{name: "no UTF-8", source: "shopify", payload: "{\"handle\":\"\xff\"}", refused: "UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, counts, err := m.sources[tc.source].apply([]byte(tc.payload))
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("%v, want %q", err, tc.refused)
				}
			} else if err != nil {
				t.Fatal(err)
			} else if diff := cmp.Diff([][]string{tc.paths, tc.tags}, [][]string{got.paths, got.tags}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.counts, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPointers(t *testing.T) {
	// The document of RFC 6901, section 5, with what it leads to.
	doc, err := decode([]byte(`{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"o":[{"p":[1,2]},{"p":3},4]}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"/foo": "bar baz", "/foo/0": "bar", "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4", `/i\j`: "5", `/k"l`: "6", "/\x20": "7", "/m~0n": "8",
		"/o/p": "1 2 3", "/o/0/p/1": "2", "/o/2": "4", "/foo/2": "", "/foo/-": "", "/foo/00": "", "/none": "", "/foo/0/x": "", "/a~1b/x": "",
	} {
		p, err := parsePointer(text)
		if got := strings.Join(p.words(doc), " "); err != nil || got != want {
			t.Errorf("%q leads to %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"foo", "/a~b", "/~2"} {
		if _, err := parsePointer(text); err == nil {
			t.Errorf("%q is no pointer", text)
		}
	}
}

func TestMapsAreRefusedWithAllThatIsWrong(t *testing.T) {
	_, err := load(t, `
sources:
  a/b: {}
  open: {auth: {scheme: bearer, secret_env: NOT_SET}}
  odd: {auth: {scheme: md5}}
  headless: {auth: {scheme: hmac}}
  encoding: {auth: {scheme: hmac, header: X, encoding: rot13}}
  delivery: {auth: {scheme: hmac, header: X, delivery_header: Y}}
  rules: {rules: [{when: {sys: 1, /x: {a: 1}}, paths: [blog, "/{slug}", "/{/a", "/a}", "/{}"], tags: ["{a}"]}]}
`)
	for _, want := range []string{
		`source "a/b": a name`, "there is no secret", "bearer, hmac or timed-hmac", "name the header", "hex, base64", "needs a timestamp_header", `pointer "sys"`,
		`when "/x"`, `"blog": a path begins`, `"/{slug}": pointer "slug"`, `"/{/a": a { without }`, `"/a}": a } without {`, `{} is no pointer`, `"{a}": pointer`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q in\n%v", want, err)
		}
	}
	if _, err := load(t, "sources: {x: {rule: []}}"); err == nil || !strings.Contains(err.Error(), "rule") {
		t.Errorf("a field that is unknown: %v", err)
	}
	one := `{"sources": {"x": {}}}`
	if _, err := LoadMap([]string{one, one}, nil, nil, secretsOf); err == nil || !strings.Contains(err.Error(), "two of that name") {
		t.Errorf("the same twice: %v", err)
	}
	if _, err := LoadMap([]string{"/nowhere.yaml"}, nil, nil, secretsOf); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestCombinationsAreBounded(t *testing.T) {
	m, err := load(t, `{"sources": {"x": {"rules": [{"paths": ["/{/a}/{/b}/{/a}"]}]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := m.sources["x"].apply([]byte(`{"a":["1","2"],"b":["3","4"]}`))
	if want := []string{"/1/3/1", "/2/3/2", "/1/4/1", "/2/4/2"}; err != nil || !cmp.Equal(want, got.paths) {
		t.Errorf("%q, %v; want %q", got.paths, err, want)
	}
	many := "[" + strings.Repeat(`"x",`, 30_000) + `"x"]`
	if _, _, err := m.sources["x"].apply([]byte(`{"a":` + many + `,"b":` + many + `}`)); err == nil || !strings.Contains(err.Error(), "combinations") {
		t.Errorf("nine hundred million combinations: %v", err)
	}
}

// FuzzApply: whatever a payload has, a path that comes of it leads nowhere else.
func FuzzApply(f *testing.F) {
	f.Add("/{/a}/{+/b}", `{"a": "x", "b": ["y/z", {"c": 1}]}`)
	f.Add("/x/{/0/a~1b}", `[{"a/b": ".."}]`)
	f.Fuzz(func(t *testing.T, text, payload string) {
		path, err := parseTemplate(text, true)
		if err != nil {
			t.Skip()
		}
		s := source{rules: []rule{{paths: []*template{path}}}}
		got, _, err := s.apply([]byte(payload))
		if err != nil {
			return
		}
		for _, p := range got.paths {
			if err := checkPath(p); err != nil || p[0] != '/' || strings.HasPrefix(p, "//") {
				t.Errorf("%q of %q makes %q: %v", text, payload, p, err)
			}
		}
	})
}
