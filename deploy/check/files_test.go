package check_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/coreos/go-systemd/v22/unit"

	"github.com/isrd/isrd/deploy/check"
)

const (
	dockerfile = "../docker/Dockerfile"
	compose    = "../compose/compose.yaml"
	service    = "../systemd/isrd.service"
)

func TestDockerfile(t *testing.T) {
	content := read(t, dockerfile)
	problems, err := check.LintDockerfile(t.Context(), content)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", dockerfile, problem)
	}

	image, err := check.ParseImage(content)
	if err != nil {
		t.Fatal(err)
	}
	var client struct{ Version string }
	if err := json.Unmarshal(read(t, "../../jsclient/package.json"), &client); err != nil {
		t.Fatal(err)
	}
	if image.Args["VERSION"] != client.Version {
		t.Errorf("ARG VERSION=%s, while the npm package is %s", image.Args["VERSION"], client.Version)
	}
	if user, _, _ := strings.Cut(image.User, ":"); user == "" || strings.Trim(user, "0123456789") != "" || user == "0" {
		t.Errorf("USER %q; want a number, not root's", image.User)
	}
	if want := append([]string{"CMD"}, append(slices.Clone(image.Entrypoint), "health")...); !slices.Equal(image.Healthcheck, want) {
		t.Errorf("HEALTHCHECK %q; want %q", image.Healthcheck, want)
	}
}

func TestLintDockerfileFindsProblems(t *testing.T) {
	for name, test := range map[string]struct{ dockerfile, want string }{
		"instruction": {"FROM scratch\nCOPPY a b\n", "unknown instruction: COPPY"},
		"stage":       {"FROM scratch\nCOPY --from=nowhere /a /b\nCOPY --from=build /a\n", "COPY requires at least two arguments"},
		"casing":      {"FROM scratch as x\n", "FromAsCasing"},
		"variable":    {"FROM scratch\nCOPY a $UNSET/b\n", "UndefinedVar"},
		"secret":      {"FROM scratch\nENV API_TOKEN=x\n", "SecretsUsedInArgOrEnv"},
	} {
		t.Run(name, func(t *testing.T) {
			problems, err := check.LintDockerfile(t.Context(), []byte(test.dockerfile))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(problems, "\n"), test.want) {
				t.Errorf("problems %q; want one with %q", problems, test.want)
			}
		})
	}
}

// loadCompose loads a compose file as Compose does: its schema refuses what it does not know.
func loadCompose(t *testing.T, path string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{path}, cli.WithEnv([]string{"APP_DIR=" + t.TempDir()}))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func TestCompose(t *testing.T) {
	project, err := loadCompose(t, compose)
	if err != nil {
		t.Fatal(err)
	}
	daemon, app := project.Services["isrd"], project.Services["app"]
	build := filepath.Join(daemon.Build.Context, daemon.Build.Dockerfile)
	if want, _ := filepath.Abs(dockerfile); build != want {
		t.Errorf("the daemon is built from %s; want %s", build, want)
	}
	image, err := check.ParseImage(read(t, dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	_, group, _ := strings.Cut(image.User, ":")
	if !slices.Contains(app.GroupAdd, group) {
		t.Errorf("the app's groups %q lack that of the image, %s", app.GroupAdd, group)
	}
	shared := func(s types.ServiceConfig) string {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume && v.Target == "/run/isrd" {
				return v.Source
			}
		}
		return ""
	}
	if shared(app) != shared(daemon) || shared(app) == "" {
		t.Errorf("the app mounts volume %q at /run/isrd, the daemon %q", shared(app), shared(daemon))
	}
}

func TestComposeIsStrict(t *testing.T) {
	planted := filepath.Join(t.TempDir(), "compose.yaml")
	write(t, planted, strings.Replace(string(read(t, compose)), "stop_grace_period:", "stop_grace:", 1))
	if _, err := loadCompose(t, planted); err == nil || !strings.Contains(err.Error(), "stop_grace") {
		t.Errorf("a misspelt field: %v", err)
	}
}

// unitOptions parses a systemd unit; a key may stand more than once.
func unitOptions(t *testing.T, path string) []*unit.UnitOption {
	t.Helper()
	options, err := unit.DeserializeOptions(strings.NewReader(string(read(t, path))))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return options
}

// TestUnit lets systemd judge the unit where it is installed: it ignores what it does not know and says so.
func TestUnit(t *testing.T) {
	if len(unitOptions(t, service)) == 0 {
		t.Fatal("an empty unit")
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the unit was only parsed")
		return
	}
	// systemd looks whether the binary is there.
	content := strings.ReplaceAll(string(read(t, service)), "/usr/local/bin/isrd", analyze)
	verify := func(content string) string {
		path := filepath.Join(t.TempDir(), "isrd.service")
		write(t, path, content)
		out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput()
		if err != nil {
			return string(out) + err.Error()
		}
		return string(out)
	}
	if problems := verify(content); problems != "" {
		t.Errorf("systemd-analyze verify: %s", problems)
	}
	if problems := verify(strings.Replace(content, "PrivateTmp=", "PrivateTemp=", 1)); !strings.Contains(problems, "PrivateTemp") {
		t.Errorf("systemd-analyze verify says nothing of a misspelt key: %q", problems)
	}
}
