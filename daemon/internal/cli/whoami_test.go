package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWhoAmISaysWhatItFoundAndWhatComesOfIt(t *testing.T) {
	t.Setenv("ISRD_ORDINAL", "0")
	t.Setenv("ISRD_INSTANCE", "web-a")
	code, stdout, stderr := run(t, "whoami")
	for _, want := range []string{"platform  told", "instance  web-a", "ordinal   0", "ISRD_ORDINAL is 0", "ordinal    processes that are number 0", "dedicated"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%d, %s: nothing says %q in\n%s", code, stderr, want, stdout)
		}
	}
	t.Setenv("ISRD_ORDINAL", "")
	_, stdout, _ = run(t, "whoami", "--output", "json")
	var out struct {
		Platform, Instance string
		Ordinal            *int
		Why                []string
		Worker             map[string]string
	}
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || out.Instance != "web-a" || len(out.Why) == 0 || out.Worker["any"] == "" {
		t.Errorf("%v in %s", err, stdout)
	}
	if code, _, stderr := run(t, "whoami", "--output", "xml"); code != 2 || !strings.Contains(stderr, "text or json") {
		t.Errorf("%d: %s", code, stderr)
	}
}

func TestTheDaemonFindsItsOrdinal(t *testing.T) {
	t.Setenv("CF_INSTANCE_INDEX", "3")
	if _, log := serve(t, "--worker", "ordinal"); !strings.Contains(log.String(), "ordinal=3") || !strings.Contains(log.String(), "CF_INSTANCE_INDEX is 3") {
		t.Errorf("the log says:\n%s", log)
	}
	if _, log := serve(t, "--worker", "ordinal", "--ordinal", "1"); !strings.Contains(log.String(), "ordinal=1") {
		t.Errorf("a flag does not outweigh the platform:\n%s", log)
	}
}
