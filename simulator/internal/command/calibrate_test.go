package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibrate"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/forecast"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// playedGrid writes down what a machine would have shown on which the model is right, but for broadcasts that are held out, whose last come later by a factor.
func playedGrid(t *testing.T, dir string, slower float64) {
	t.Helper()
	for _, p := range calibrate.Grid(calibrate.Options{Quick: true}) {
		s, err := p.Scenario(1)
		if err != nil {
			t.Fatal(err)
		}
		run, err := forecast.Run(forecast.Config{Scenario: s, Calibration: calibrationtest.ByHand(), Seeds: 1})
		if err != nil {
			t.Fatal(err)
		}
		r := report.New(run)
		r.StartedAt = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
		r.Simulator = report.Simulator{CPU: "a processor", Cores: 2, Kernel: "6.18", Platform: "linux/amd64"}
		o := calibrate.Observe(p, 1, "abc", r)
		if o.Unusable != "" {
			t.Fatalf("%s: %s", p.Name, o.Unusable)
		}
		for i := range o.Broadcasts {
			if p.HeldOut {
				o.Broadcasts[i].LastMs *= slower
			}
		}
		if err := calibrate.Append(dir, o); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCalibrateFitsAndSaysHowGood(t *testing.T) {
	for name, tt := range map[string]struct {
		slower float64
		code   int
		says   string
	}{
		"as the model says": {1, verdict.ExitPass, "WITHIN 15 %"},
		"slower by half":    {1.5, verdict.ExitFail, "BEYOND 15 %: the worst held-out error is -3"},
	} {
		dir := t.TempDir()
		playedGrid(t, dir, tt.slower)
		out := runMain(t, tt.code, "calibrate", "--quick", "--fit-only", "--out", dir)
		if !strings.Contains(out, tt.says) || !strings.Contains(out, "held out") {
			t.Errorf("%s: %s", name, out)
		}
		c, err := calibration.Load(filepath.Join(dir, calibrate.CalibrationFile))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.HoldOut) != 4 || c.Commit != "abc" || !strings.Contains(c.Machine.Description, "a processor") || c.Get(calibration.Write).Basis != calibration.Fitted {
			t.Errorf("%s: %+v", name, c)
		}
		for _, file := range []string{calibrate.HTMLFile, calibrate.JSONFile, calibrate.TextFile} {
			if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(text), "time to last") {
				t.Errorf("%s: %s: %v", name, file, err)
			}
		}
		// And a forecast takes it, and says how wrong it was.
		model := filepath.Join(dir, "model")
		s := runMain(t, -1, "model", "../../../scenarios/smoke.yaml", "--calibration", filepath.Join(dir, calibrate.CalibrationFile), "--seeds", "1", "--out", model)
		if strings.Contains(s, "untested") {
			t.Errorf("%s: %s", name, s)
		}
	}
}

func TestCalibrateSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"sizes that there are not": {[]string{"--sizes", "7"}, "the grid has no such points"},
		"nothing to fit":           {[]string{"--fit-only"}, "run the grid first"},
		"no such base":             {[]string{"--fit-only", "--base", "nowhere.yaml"}, "nowhere.yaml"},
		"below 0":                  {[]string{"--repeats", "-1"}, "cannot be below 0"},
		"no chatd":                 {[]string{"--chatd", "no-such-chatd"}, "--chatd"},
		"an argument":              {[]string{"x"}, "unknown command"},
	} {
		out := runMain(t, verdict.ExitUsage, append([]string{"calibrate", "--out", dir}, tt.args...)...)
		if !strings.Contains(out, tt.want) {
			t.Errorf("%s: %s", name, out)
		}
	}
	list := runMain(t, 0, "calibrate", "--list", "--out", dir)
	if !strings.Contains(list, "broadcast-20000-4") || !strings.Contains(list, "held-out-100000-5") || !strings.Contains(list, "takes about") {
		t.Errorf("%s", list)
	}
}

// runMain runs the simulator and returns all that it says. The exit code must be that one, if it is not below 0.
func runMain(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out strings.Builder
	if got := Main(args, strings.NewReader(""), &out, &out); code >= 0 && got != code {
		t.Errorf("%v: exit code %d, want %d:\n%s", args, got, code, out.String())
	}
	return out.String()
}
