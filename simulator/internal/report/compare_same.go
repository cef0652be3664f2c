package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// NotComparable says why two runs cannot be held against each other.
type NotComparable struct{ Differences []Difference }

// Difference is a field in which two runs differ that should not, and what to do about it.
type Difference struct{ Field, A, B, Do string }

func (n NotComparable) Error() string {
	lines := []string{"these runs cannot be compared:"}
	for _, d := range n.Differences {
		lines = append(lines, fmt.Sprintf("  %s is %s in A and %s in B: %s", d.Field, d.A, d.B, d.Do))
	}
	return strings.Join(lines, "\n")
}

const (
	sameLabel    = "a measured figure is never held against a modelled one; compare two of a kind"
	sameScenario = "run both with the same scenario file (only its thresholds, outputs, texts and seed may differ)"
	sameFleet    = "run both against fleets of one shape, by the same --local"
	sameMachine  = "run both on one machine, one after the other"
	wholeRun     = "run it again, to its end"
)

// mayCompare says why two runs cannot be compared, or nil. What a report of an older simulator does not say does not part them.
func mayCompare(a, b Report) error {
	if a.Spec == nil || b.Spec == nil {
		return errors.New("a report does not say what the run was asked to be; make it again with this simulator")
	}
	var out []Difference
	differ := func(field, x, y, do string) {
		if x != y {
			out = append(out, Difference{field, x, y, do})
		}
	}
	ifKnown := func(field, x, y, do string) {
		if x != "" && y != "" {
			differ(field, x, y, do)
		}
	}
	differ("label", a.Label, b.Label, sameLabel)
	out = append(out, specDifferences(a, b)...)
	differ("fleet.where", where(a.Fleet), where(b.Fleet), sameFleet)
	for _, f := range []struct {
		name string
		a, b int
	}{
		{"stores", a.Fleet.Stores, b.Fleet.Stores}, {"shards", a.Fleet.Shards, b.Fleet.Shards},
		{"partitions", a.Fleet.Partitions, b.Fleet.Partitions}, {"replicas", a.Fleet.Replicas, b.Fleet.Replicas},
	} {
		differ("fleet."+f.name, fmt.Sprint(f.a), fmt.Sprint(f.b), sameFleet)
	}
	differ("fleet.durability", a.Fleet.Durability, b.Fleet.Durability, sameFleet)
	differ("simulator.platform", a.Simulator.Platform, b.Simulator.Platform, sameMachine)
	differ("simulator.cores", fmt.Sprint(a.Simulator.Cores), fmt.Sprint(b.Simulator.Cores), sameMachine)
	ifKnown("simulator.cpu", a.Simulator.CPU, b.Simulator.CPU, sameMachine)
	ifKnown("simulator.kernel", a.Simulator.Kernel, b.Simulator.Kernel, sameMachine)
	for _, r := range []struct {
		name string
		Report
	}{{"A", a}, {"B", b}} {
		if r.ExitCode == verdict.ExitInterrupted {
			return fmt.Errorf("%s was interrupted: %s", r.name, wholeRun)
		}
	}
	if len(out) > 0 {
		return NotComparable{out}
	}
	return nil
}

// where is local or elsewhere: the addresses of a fleet elsewhere are new with every roll-out.
func where(f Fleet) string {
	if f.Where == "local" {
		return f.Where
	}
	return "elsewhere"
}

// unlike are the fields of a scenario that change nothing of what is run, or that say where, which the fleet's own fields do.
var unlike = []string{"name", "description", "seed", "thresholds", "outputs", "target", "growth"}

const maxSpecDifferences = 5

// specDifferences finds where two scenarios differ, by the paths that a scenario file has.
func specDifferences(a, b Report) []Difference {
	fields := func(r Report) map[string]any {
		out := map[string]any{}
		if data, err := json.Marshal(r.Spec); err == nil {
			_ = json.Unmarshal(data, &out) // what was just written
		}
		maps.DeleteFunc(out, func(name string, _ any) bool { return slices.Contains(unlike, name) })
		return out
	}
	var out []Difference
	walk("spec", fields(a), fields(b), func(path string, x, y any) {
		out = append(out, Difference{path, jsonText(x), jsonText(y), sameScenario})
	})
	if more := len(out) - maxSpecDifferences; more > 0 {
		out = append(out[:maxSpecDifferences], Difference{"spec", "other", fmt.Sprintf("other, in %d fields more,", more), sameScenario})
	}
	return out
}

// walk calls for every place, in order, in which two JSON values differ.
func walk(path string, a, b any, differ func(path string, a, b any)) {
	if x, ok := a.(map[string]any); ok {
		if y, ok := b.(map[string]any); ok {
			names := maps.Clone(x)
			maps.Copy(names, y)
			for _, name := range slices.Sorted(maps.Keys(names)) {
				walk(path+"."+name, x[name], y[name], differ)
			}
			return
		}
	}
	if x, ok := a.([]any); ok {
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				walk(fmt.Sprintf("%s[%d]", path, i), x[i], y[i], differ)
			}
			return
		}
	}
	if jsonText(a) != jsonText(b) {
		differ(path, a, b)
	}
}

// jsonText is a value as JSON has it, not longer than a line.
func jsonText(v any) string {
	if v == nil {
		return "absent"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if text := []rune(string(data)); len(text) > 60 {
		return string(text[:57]) + "…"
	}
	return string(data)
}
