package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

const docsFile = "../../../docs/simulation.md"

// What is wrong is said with the flag and with what to write, all at once.
func TestPlanUsage(t *testing.T) {
	fine := []string{"plan", "--subscribers", "1000", "--slo", "p99.9<1s", "--out", t.TempDir()}
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("kind: Prices\ncolour: blue\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says string }{
		{"--subscribers many", `--subscribers: "many" is no number of at least 0; write it as 1200, 300k or 2.5M`},
		{"--subscribers 0", "--subscribers: at least 1"},
		{"--subscribers 11M", "--subscribers: 11M is more than 10,000,000"},
		{"--slo 1s", `--slo: "1s" is no objective; write it as p99.9<1s`},
		{"--slo p98<1s", "--slo: "},
		{"--slo p99<1", "--slo: "},
		{"--headroom 100%", "--headroom: "},
		{"--headroom 95%", "at most 90%"},
		{"--n-minus -1", "--n-minus: -1; from 0 to 100 shards"},
		{"--message-bytes 1", "--message-bytes: 1 is less than 32 B"},
		{"--message-bytes big", `--message-bytes: "big" is not a size`},
		{"--posts-per-second 0", "--posts-per-second: 0; above 0"},
		{"--cores-per-shard 0", "--cores-per-shard: 0; from 0.1"},
		{"--connections-per-shard 0", "--connections-per-shard: 0"},
		{"--back-within 0s", "--back-within: 0s; from 1s"},
		{"--scale-after -1s", "--scale-after: -1s"},
		{"--seeds 0", "--seeds: 0; from 1"},
		{"--place Quito", `--place: "Quito" is no place; write it as NAME=SHARE,ROUND-TRIP[,ITS-P99]`},
		{"--place Quito=100%,160ms,100ms", "--place: "},
		{"--place Quito=50%,160ms", "--place: the shares sum to 50%, not to 100%"},
		{"--calibration /nonexistent.yaml", "--calibration: load calibration: open /nonexistent.yaml"},
		{"--prices " + wrong, "--prices: " + wrong + ":2:1"},
		{"--name EU", `--name: "EU"`},
		{"--namespace a/b", `--namespace: "a/b"`},
		{"--image chatd:1", "--image and --region belong together"},
		{"--image chatd:1 --region eu-1", `--region: "eu-1"`},
		{"--storage 1TB", `--storage: "1TB"; whole Gi`},
		{"--subscribers many --slo fast --cores-per-shard 0", "--cores-per-shard: 0"},
		{"more", "unknown command"},
		{"--out " + wrong, "--out"},
	} {
		code, _, stderr := simulator(append(fine, strings.Fields(c.args)...)...)
		if code != verdict.ExitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("plan %s: exit code %d, stderr %q; want 2 and %q", c.args, code, stderr, c.says)
		}
	}
	if _, _, stderr := simulator("plan"); !strings.Contains(stderr, "--subscribers") || !strings.Contains(stderr, "--slo") {
		t.Errorf("without flags: %s", stderr)
	}
}

func TestCounts(t *testing.T) {
	for text, want := range map[string]float64{"1200": 1200, "2.5M": 2_500_000, "300k": 300_000, "1.2k": 1200, "0": 0} {
		if got, err := parseCount(text); err != nil || got != want {
			t.Errorf("%q: %g, %v", text, got, err)
		}
	}
	if got, err := parseCount(" 7 "); err != nil || got != 7 {
		t.Errorf("with blanks around it: %g, %v", got, err)
	}
	for _, text := range []string{"", "M", "-1", "1G", "NaN", "Inf", "1,000"} {
		if got, err := parseCount(text); err == nil {
			t.Errorf("%q is %g", text, got)
		}
	}
}

// The files of a plan are what its text says, and those of an earlier one do not stay.
func TestPlanFiles(t *testing.T) {
	dir := t.TempDir()
	untested := "../calibration/calibrationtest/hand.yaml" // whatever it is for, the plan is of grade D
	code, stdout, stderr := simulator("plan", "--subscribers", "30k", "--slo", "p99 < 1s", "--n-minus", "1", "--calibration", untested, "--out", dir)
	if code != verdict.ExitInconclusive || !strings.HasPrefix(stdout, "PLAN, INDICATIVE, TEST IT FIRST: 30,000 subscribers, p99 < 1s, 1 shard lost") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, err := scenario.Load(filepath.Join(dir, "test.yaml")); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "report.json"))
	var plan struct {
		ExitCode int `json:"exitCode"`
		Fleet    struct {
			Shards int `json:"shards"`
		} `json:"fleet"`
	}
	if err == nil {
		err = json.Unmarshal(data, &plan)
	}
	if err != nil || plan.ExitCode != code || plan.Fleet.Shards != 3 {
		t.Errorf("%+v, %v", plan, err)
	}
	if patch, err := os.ReadFile(filepath.Join(dir, "plan.yaml")); err != nil || !strings.Contains(string(patch), "replicas: 3") {
		t.Errorf("%s, %v", patch, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "report.json")} {
		if again, text, stderr := simulator("report", path); again != code || text != stdout {
			t.Errorf("report %s: exit code %d\n%s%s", path, again, text, stderr)
		}
	}
	if code, _, stderr := simulator("report", dir, "--html", filepath.Join(dir, "page.html")); code != verdict.ExitUsage || !strings.Contains(stderr, "--html: a plan has no page") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	code, stdout, _ = simulator("plan", "--subscribers", "30k", "--slo", "p99<200ms", "--place", "Mars=100%,6m", "--out", dir)
	if code != verdict.ExitFail || !strings.Contains(strings.Join(strings.Fields(stdout), " "), "the round trips alone take longer") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	for _, name := range []string{"plan.yaml", "test.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s of the plan before is still there", name)
		}
	}
}

var ages = regexp.MustCompile(`\((of today|\d+ days? old)\)`)

// The example in the documentation is what the program prints.
func TestTheExampleInTheDocumentation(t *testing.T) {
	docs, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	started := time.Now()
	_, stdout, stderr := simulator("plan", "--subscribers", "2.5M", "--slo", "p99.9<1s", "--n-minus", "1", "--headroom", "30%")
	t.Logf("planned in %s", time.Since(started))
	same := func(text string) string { return ages.ReplaceAllString(text, "(AGE)") }
	if !strings.Contains(same(string(docs)), same(stdout)) {
		t.Errorf("docs/simulation.md has another example than\n%s%s", stdout, stderr)
	}
}
