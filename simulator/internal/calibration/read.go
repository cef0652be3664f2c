package calibration

import (
	_ "embed"
	"fmt"
	"math"

	"github.com/chatfleet/chatfleet/simulator/internal/document"
)

//go:embed default.yaml
var shipped []byte

// Default is the calibration that ships with the project.
func Default() Calibration {
	c, err := Parse("the calibration that ships with the project", shipped)
	if err != nil {
		panic(err) // a file of the program; a test reads it
	}
	return c
}

// Load reads the calibration in a file. What is wrong with it is said with its line, where it has one, all at once.
func Load(path string) (Calibration, error) {
	return document.Load("calibration", path, Calibration.problems)
}

// Parse reads a calibration. The name is what errors call it.
func Parse(name string, data []byte) (Calibration, error) {
	return document.Parse(name, data, Calibration.problems)
}

// problems is all that is wrong with what a calibration says.
func (c Calibration) problems() []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if c.APIVersion != APIVersion || c.Kind != Kind {
		wrong("it is %s %s; this program reads %s %s", c.APIVersion, c.Kind, APIVersion, Kind)
	}
	for _, field := range []struct{ name, text string }{{"name", c.Name}, {"machine.description", c.Machine.Description}, {"commit", c.Commit}} {
		if field.text == "" {
			wrong("%s is missing", field.name)
		}
	}
	if c.Date.IsZero() {
		wrong("date is missing: the day on which it was measured")
	}
	if !positive(c.Machine.Cores) {
		wrong("machine.cores must be above 0: they are what the generator shared with the fleet")
	}
	if len(c.HoldOut) == 0 && !positive(c.UntestedError) {
		wrong("without holdOut it must say untestedError, what the model may be wrong by, as a share")
	}
	c.rangeProblems(wrong)
	c.coefficientProblems(wrong)
	for i, h := range c.HoldOut {
		if !positive(h.PredictedMs) || !positive(h.MeasuredMs) || h.Runs < 1 || h.LeastMs > h.MeasuredMs || h.LargestMs < h.MeasuredMs || h.Run == "" {
			wrong("holdOut[%d]: it needs run, predictedMs and measuredMs above 0, runs of at least 1, and leastMs ≤ measuredMs ≤ largestMs", i)
		}
	}
	return out
}

func (c Calibration) rangeProblems(wrong func(format string, args ...any)) {
	seen := map[Dimension]bool{}
	for i, r := range c.Measured {
		switch {
		case seen[r.Dimension]:
			wrong("measured[%d]: %s is given twice", i, r.Dimension)
		case !positive(r.From) || r.To < r.From || math.IsInf(r.To, 0):
			wrong("measured[%d]: %s from %g to %g is no range; it begins above 0", i, r.Dimension, r.From, r.To)
		case r.Source == "":
			wrong("measured[%d]: source is missing: the command that measured it", i)
		}
		seen[r.Dimension] = true
	}
	for _, d := range Dimensions() {
		if !seen[d] {
			wrong("measured: there is no %s", d)
		}
		delete(seen, d)
	}
	for i, r := range c.Measured {
		if seen[r.Dimension] {
			wrong("measured[%d]: there is no dimension %q", i, r.Dimension)
		}
	}
}

func (c Calibration) coefficientProblems(wrong func(format string, args ...any)) {
	seen := map[Name]bool{}
	for i, k := range c.Coefficients {
		term, known := termOf(k.Name)
		switch {
		case !known:
			wrong("coefficients[%d]: there is no coefficient %q", i, k.Name)
		case seen[k.Name]:
			wrong("coefficients[%d]: %s is given twice", i, k.Name)
		case k.Unit != term.Unit:
			wrong("coefficients[%d]: %s is in %s, not in %q", i, k.Name, term.Unit, k.Unit)
		case !positive(k.Value) || k.StandardError < 0 || math.IsNaN(k.StandardError):
			wrong("coefficients[%d]: %s must be above 0 and its standard error at least 0", i, k.Name)
		case k.Basis != Measured && k.Basis != Derived && k.Basis != Fitted && k.Basis != Assumed:
			wrong("coefficients[%d]: the basis of %s is %q; it is measured, derived, fitted or assumed", i, k.Name, k.Basis)
		case k.Source == "":
			wrong("coefficients[%d]: %s has no source: the command that made it, or why it is assumed", i, k.Name)
		}
		seen[k.Name] = true
	}
	for _, t := range Terms() {
		if !seen[t.Name] {
			wrong("coefficients: there is no %s (%s): %s", t.Name, t.Unit, t.Help)
		}
	}
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
