package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

const scenarioDir = "../../../scenarios"

// simulator runs a command line and returns what it said and its exit code.
func simulator(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func smoke() string { return filepath.Join(scenarioDir, "smoke.yaml") }

// What is wrong on the command line, or in a scenario, is exit code 2 and a sentence that says what to do.
func TestUsageErrors(t *testing.T) {
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("apiVersion: chatfleet.io/v1alpha1\nkind: Scenario\ncolour: blue\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	// Some program, which is not run.
	chatd := "--chatd /bin/sh --out " + filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		args string
		says string
	}{
		{"fly", "unknown command"},
		{"run", "accepts 1 arg(s)"},
		{"run " + smoke() + " --colour blue", "unknown flag"},
		{"run /nonexistent.yaml", "/nonexistent.yaml"},
		{"run " + wrong, "wrong.yaml:3:"},
		{"run " + smoke() + " --local stores=2,shards=4", "1, 3 or 5"},
		{"run " + smoke() + " --local stores=3", "shards=N is missing"},
		{"run " + smoke() + " --local stores=3,shards=2 --target http://h:1", "contradict"},
		{"run " + smoke() + " --chatd /nonexistent/chatd", "/nonexistent/chatd"},
		{"run " + smoke() + " --target http://h:1", "--token-key"},
		{"run " + smoke() + " --target h:1 --token-key " + key, "http://HOST:PORT"},
		{"run " + smoke() + " --target http://h --token-key " + key, "no port"},
		{"run " + smoke() + " --target http://h:1/path --token-key " + key, "http://HOST:PORT"},
		{"run " + smoke() + " --token-key " + key, "belongs to --target"},
		{"run " + smoke() + " --target http://h:1 --token-key k --keep", "belong to --local"},
		{"run " + filepath.Join(scenarioDir, "store-loss.yaml") + " --target http://h:1 --token-key k", "the scenario breaks processes"},
		{"capacity", "accepts 1 arg(s)"},
		{"capacity " + filepath.Join(scenarioDir, "broadcast-2.5m.yaml"), "is for the model alone"},
		{"capacity " + smoke() + " --local stores=2,shards=4", "1, 3 or 5"},
		{"capacity " + smoke() + " --vary colour " + chatd, `--vary "colour": rate or subscribers`},
		{"capacity " + smoke() + " --from many " + chatd, "--from: \"many\""},
		{"capacity " + smoke() + " --to 0 " + chatd, "--to: \"0\" is no load"},
		{"capacity " + smoke() + " --from 20 --to 10 " + chatd, "--to 10 is less than --from 20"},
		{"capacity " + smoke() + " --to 1M " + chatd, "with 1e+06 posts a second: chatter.ratePerSecond"},
		{"capacity " + smoke() + " --tolerance 0.1% " + chatd, "a tolerance of 0.001 is not from 0.01 to 0.5"},
		{"capacity " + smoke() + " --tolerance 5 " + chatd, "--tolerance: \"5\" is no share"},
		{"capacity " + smoke() + " --repeats 0 " + chatd, "0 repeats; from 1 to 20"},
		{"capacity " + smoke() + " --hold 1s " + chatd, "not held for longer by 1s"},
		{"capacity " + smoke() + " --rest 1s " + chatd, "--rest belongs to --target"},
		{"capacity " + smoke() + " --budget -1s " + chatd, "at least 0s"},
		{"capacity " + smoke() + " --from 10.5 --vary subscribers " + chatd, "whole numbers"},
		{"capacity " + smoke() + " " + chatd + " --out " + wrong, "--out"},
		{"validate", "requires at least 1 arg"},
		{"validate " + wrong + " " + smoke(), "wrong.yaml:3:"},
		{"validate /nonexistent.yaml", "/nonexistent.yaml"},
		{"report /nonexistent", "/nonexistent"},
		{"report " + wrong, "not a report.json"},
		{"schema extra", "unknown command"},
		{"run " + filepath.Join(scenarioDir, "broadcast-2.5m.yaml"), "is for the model alone"},
		{"doctor " + filepath.Join(scenarioDir, "broadcast-2.5m.yaml"), "is for the model alone"},
		{"model", "accepts 1 arg(s)"},
		{"model /nonexistent.yaml", "/nonexistent.yaml"},
		{"model " + wrong, "wrong.yaml:3:"},
		{"model " + smoke() + " --calibration /nonexistent.yaml", "/nonexistent.yaml"},
		{"model " + smoke() + " --calibration " + wrong, "wrong.yaml:"},
		{"model " + smoke() + " --seeds 0", "from 1 to 1000"},
		{"model " + smoke() + " --out " + wrong, "--out"},
		{"model " + filepath.Join(scenarioDir, "broadcast-2.5m.yaml") + " --per-session", "--per-session is for up to 1000000 sessions"},
		{"doctor /nonexistent.yaml", "/nonexistent.yaml"},
		{"doctor --local stores=1,shards=1", "belongs to a scenario"},
	} {
		code, _, stderr := simulator(strings.Fields(c.args)...)
		if code != verdict.ExitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("simulator %s: exit code %d, stderr %q; want 2 and a word about %q", c.args, code, stderr, c.says)
		}
	}
}

func TestValidate(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(scenarioDir, "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	code, stdout, stderr := simulator(append([]string{"validate"}, files...)...)
	if code != 0 || stderr != "" || strings.Count(stdout, "\n") != len(files) {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// A forecast says whose figures it stands on, how old they are, and how far to trust it; its exit code is its verdict's, and its report can be drawn
// again.
func TestModel(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		exit int
		says []string
	}{
		{"a calibration that was held against no run", []string{"--calibration", filepath.Join("..", "calibration", "calibrationtest", "hand.yaml")}, verdict.ExitInconclusive,
			[]string{"calibration  2 cores, put together by hand", "grade        D: ", "INCONCLUSIVE smoke (", "no run was held against this calibration"}},
		{"the one that ships", nil, verdict.ExitPass, []string{"calibration  fitted to ", "PASS smoke (modelled, grade "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			code, stdout, stderr := simulator(append([]string{"model", smoke(), "--seeds", "2", "--out", out}, c.args...)...)
			if code != c.exit || stderr != "" {
				t.Errorf("exit code %d, stderr %q; want %d", code, stderr, c.exit)
			}
			for _, want := range append(c.says, "time to 99.9 %", "depends on   ") {
				if !strings.Contains(stdout, want) {
					t.Errorf("it does not say %q:\n%s", want, stdout)
				}
			}
			r, err := report.Read(out)
			if err != nil || r.Model == nil || r.Label == report.Measured || !r.StartedAt.IsZero() || r.Simulator.Cores != 0 {
				t.Errorf("report %+v, %v", r.Simulator, err)
			}
			if code, _, stderr := simulator("report", out); code != c.exit || stderr != "" {
				t.Errorf("drawn again: exit code %d, stderr %q", code, stderr)
			}
		})
	}
}

func TestAge(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{-day: "of today", time.Hour: "of today", day: "1 day old", 40 * day: "40 days old"} {
		if got := age(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestSchema(t *testing.T) {
	if code, stdout, _ := simulator("schema"); code != 0 || !strings.Contains(stdout, "json-schema.org") {
		t.Errorf("exit code %d, %.80q", code, stdout)
	}
	if code, stdout, _ := simulator("schema", "--metrics"); code != 0 || !strings.Contains(stdout, "timeTo999") {
		t.Errorf("exit code %d, %.80q", code, stdout)
	}
}

func TestHelpNamesNoHiddenCommand(t *testing.T) {
	code, stdout, _ := simulator("--help")
	if code != 0 || strings.Contains(stdout, "reaper") || strings.Contains(stdout, "worker") || !strings.Contains(stdout, "validate") {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	r := report.Report{
		Schema: report.Schema, Verdict: verdict.Fail, ExitCode: verdict.ExitFail, Scenario: "broadcast-20k", Reasons: []string{"lost = 0: 3", "b", "c"},
		Deliveries: report.Deliveries{Expected: 240000, Lost: 3}, LatencyMs: report.Latency{Count: 239997, P999: 412.3},
		Broadcasts: []report.Broadcast{{TimeToLastMs: 402}, {TimeToLastMs: 613}}, StartedAt: time.Unix(0, 0),
	}
	var text bytes.Buffer
	if err := report.RenderJSON(&text, r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, report.JSONFile), text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, report.HTMLFile)
	want := "FAIL broadcast-20k: 240,000 deliveries, lost 3, p99.9 412 ms, slowest broadcast complete in 0.61 s · lost = 0: 3 (and 2 more) · report " + page + "\n"
	for _, path := range []string{dir, filepath.Join(dir, report.JSONFile)} {
		if err := os.RemoveAll(page); err != nil {
			t.Fatal(err)
		}
		if code, stdout, stderr := simulator("report", path); code != verdict.ExitFail || stdout != want || stderr != "" {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
		if !exists(page) {
			t.Error("no page")
		}
	}
}

func TestHeadline(t *testing.T) {
	for want, r := range map[string]report.Report{
		"PASS smoke: 8,750 deliveries, lost 0, p99.9 9.5 ms · report out": {
			Verdict: verdict.Pass, Deliveries: report.Deliveries{Expected: 8750}, LatencyMs: report.Latency{Count: 8750, P999: 9.51},
		},
		"GENERATOR UNHEALTHY smoke: 0 deliveries, lost 0 · a cap · report out": {
			Verdict: verdict.GeneratorUnhealthy, Reasons: []string{"a cap"},
		},
		"INCONCLUSIVE smoke: 0 deliveries, lost 0 · interrupted · report out": {
			Verdict: verdict.Inconclusive, Reasons: []string{"interrupted"},
		},
	} {
		r.Scenario = "smoke"
		if got := headline(r, "out"); got != want {
			t.Errorf("headline %q\nwant     %q", got, want)
		}
	}
}

// A chatd beside the simulator is found before one in PATH.
func TestFindChatd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := findChatd(""); err == nil || !strings.Contains(err.Error(), "--chatd") {
		t.Errorf("error %v", err)
	}
	path := filepath.Join(dir, "chatd")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, named := range []string{"", path} {
		if got, err := findChatd(named); err != nil || got != path {
			t.Errorf("findChatd(%q) = %q, %v", named, got, err)
		}
	}
}

// What cannot be run here is said before a run fails for it, with what to do.
func TestDoctorRefusesWhatIsTooMuch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.yaml")
	text := `{apiVersion: chatfleet.io/v1alpha1, kind: Scenario, name: s, population: {subscribers: 1000000}, workers: {count: 1},
phases: {connect: {ratePerSecond: 1000}, measure: 10s}, broadcasts: [{at: 1s}], thresholds: [{metric: delivery, bound: 1s}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := simulator("doctor", file, "--local", "stores=1,shards=1")
	if code != verdict.ExitUnhealthy || !strings.Contains(stdout, "NO ") || !strings.Contains(stdout, "the scenario has workers.count 1; raise it to") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}
