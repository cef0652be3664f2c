package calibration

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestTheShippedCalibrationIsWhole(t *testing.T) {
	c := Default()
	for _, term := range Terms() {
		if k := c.Get(term.Name); k.Unit != term.Unit || k.Source == "" {
			t.Errorf("%s: %+v", term.Name, k)
		}
		if term.Name.Help() == "" {
			t.Errorf("nobody knows what %s is", term.Name)
		}
	}
	for _, d := range Dimensions() {
		if r := c.Range(d); r.To < r.From || r.From <= 0 {
			t.Errorf("%s: %+v", d, r)
		}
	}
	if _, held := c.Worst(); held != (len(c.HoldOut) > 0) {
		t.Error("it is not as it says")
	}
}

// What docs/performance.md measured of the process, and what is assumed of the kernel.
func TestBytesOfASession(t *testing.T) {
	c := Default()
	kernel := c.Get(SocketMemory).Value
	if plain, tls := c.SessionBytes(false), c.SessionBytes(true); plain != 1053+kernel || tls != 1053+5791+kernel {
		t.Errorf("%g bytes, and %g over TLS; the kernel has %g of them", plain, tls, kernel)
	}
}

// Each case changes a file that is right in one way and says what must be in the error.
func TestWhatIsWrongIsSaid(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"an unknown key":            {"notes:", "remarks:", `unknown field "remarks"`},
		"another version":           {"calibration/v1", "calibration/v2", "this program reads chatfleet.io/calibration/v1 Calibration"},
		"no date":                   {"date: 2026-11-30\n", "", "date is missing"},
		"a date that is none":       {"2026-11-30", "yesterday", `"yesterday" is not a day`},
		"no cores":                  {"cores: 2\n", "cores: 0\n", "machine.cores must be above 0"},
		"nothing held out":          {"untestedError: 0.5\n", "", "without holdOut it must say untestedError"},
		"a coefficient less":        {"name: write", "name: wrte", `there is no coefficient "wrte"`},
		"and the one that it was":   {"name: write", "name: wrte", "coefficients: there is no write (µs)"},
		"a coefficient twice":       {"name: along", "name: write", "write is given twice"},
		"another unit":              {"value: 13.1\n    unit: µs", "value: 13.1\n    unit: ms", `write is in µs, not in "ms"`},
		"a cost of nothing":         {"value: 13.1", "value: 0", "write must be above 0"},
		"a basis that is none":      {"basis: derived", "basis: guessed", `is "guessed"; it is measured, derived, fitted or assumed`},
		"a range that ends early":   {"from: 500\n    to: 20000", "from: 500\n    to: 20", "is no range"},
		"a dimension less":          {"dimension: stores", "dimension: store", "measured: there is no stores"},
		"a dimension that is none":  {"dimension: stores", "dimension: store", `there is no dimension "store"`},
		"a text for a number":       {"value: 13.1", "value: much", "default.yaml:"},
		"a held-out run of nothing": {"untestedError: 0.5", "holdOut: [{run: x, predictedMs: 1, runs: 1}]", "holdOut[0]: it needs run"},
	} {
		text := byHand(t)
		if !strings.Contains(text, tt.old) {
			t.Fatalf("%s: hand.yaml has no %q", name, tt.old)
		}
		path := filepath.Join(t.TempDir(), "default.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(text, tt.old, tt.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want %q and the file", name, err, tt.want)
		}
	}
	if _, err := Load("no-such.yaml"); err == nil || !strings.Contains(err.Error(), "no-such.yaml") {
		t.Errorf("no file: %v", err)
	}
}

// byHand is the calibration that the tests of other packages compute with.
func byHand(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("calibrationtest/hand.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is written is what is read again, and what Load would refuse is not written.
func TestACalibrationIsWrittenAsItIsRead(t *testing.T) {
	for _, c := range []Calibration{Default(), withHeldOut(t)} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := WriteFile(path, c); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("wrote\n%+v\nread\n%+v", c, got)
		}
	}
	bad := Default()
	bad.Commit = ""
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := WriteFile(path, bad); err == nil || !strings.Contains(err.Error(), "commit is missing") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was written all the same")
	}
}

func withHeldOut(t *testing.T) Calibration {
	c, err := Parse("hand", []byte(byHand(t)))
	if err != nil {
		t.Fatal(err)
	}
	c.UntestedError = 0
	c.HoldOut = []HeldOut{{Run: "simulator calibrate: 50000 sessions", Figure: "p50", Sessions: 50_000, PredictedMs: 412.5, MeasuredMs: 400, LeastMs: 390, LargestMs: 450, Runs: 5}}
	return c
}

func TestMovedChangesOneAndNothingElse(t *testing.T) {
	c := Default()
	moved := c.Moved(Write, 2)
	for _, k := range c.Coefficients {
		got, want := moved.Get(k.Name).Value, k.Value
		if k.Name == Write {
			want += 2 * k.StandardError
		}
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %g, want %g", k.Name, got, want)
		}
	}
	if low := c.Moved(Write, -100).Get(Write).Value; low <= 0 {
		t.Errorf("a write costs %g", low)
	}
}

func TestFactorsAndErrors(t *testing.T) {
	r := Range{From: 100, To: 1000}
	for value, want := range map[float64]float64{0: 1, 50: 2, 100: 1, 500: 1, 1000: 1, 4000: 4} {
		if got := r.Factor(value); got != want {
			t.Errorf("%g is %g beyond, want %g", value, got, want)
		}
	}
	c := Calibration{HoldOut: []HeldOut{{Figure: "a", PredictedMs: 110, MeasuredMs: 100}, {Figure: "b", PredictedMs: 80, MeasuredMs: 100}}}
	if worst, ok := c.Worst(); !ok || worst.Figure != "b" || math.Abs(worst.Error()+0.2) > 1e-9 {
		t.Errorf("worst %+v", worst)
	}
}
