package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// CapacitySchema names the format of capacity.json.
const CapacitySchema = "chatfleet.io/capacity/v1"

// The files of a search for a capacity in its directory.
const (
	CapacityFile = "capacity.json"
	CapacityPage = "capacity.html"
)

// Capacity is what a search for the largest load found: capacity.json.
type Capacity struct {
	Schema   string          `json:"schema"`
	Verdict  verdict.Verdict `json:"verdict"`
	ExitCode int             `json:"exitCode"`
	// What was found, in a line.
	Finding string `json:"finding"`
	// What else there is to know of it: why it is no more, and what it does not tell.
	Reasons  []string `json:"reasons"`
	Scenario string   `json:"scenario"`
	// Measured, always: a model is asked by other commands.
	Label string `json:"label"`
	// What was varied, and what its loads are counted in.
	Vary string `json:"vary"`
	Unit string `json:"unit"`
	// The largest load that held in all repeats and was never missed; absent if none did.
	Capacity *Load `json:"capacity,omitempty"`
	// The fleet may bear more: the generator gave up on what is above, or the search ended there.
	AtLeast bool `json:"atLeast"`
	// Below From nothing was missed, and To was missed in all repeats, and nothing from there on ever held. Absent if not known.
	From *Load `json:"from,omitempty"`
	To   *Load `json:"to,omitempty"`
	// What ends it, as in "the machine’s processors (97 % used)"; "" if nothing was found.
	Binding string `json:"binding"`
	// What of everything was used, and in which run: the one at the capacity or at the lowest load above it, whichever used more. Absent if not known.
	Used   []Used `json:"used,omitempty"`
	UsedIn string `json:"usedIn,omitempty"`
	// Who used the processors: shares of all of them.
	Processors []Used `json:"processors,omitempty"`

	// The ladder: how far a load is from the next one, as a share of it, and how often the capacity has to hold.
	Tolerance float64 `json:"tolerance"`
	Repeats   int     `json:"repeats"`
	// All runs, in their order.
	Steps      []CapacityStep `json:"steps"`
	StartedAt  time.Time      `json:"startedAt"`
	DurationMs Millis         `json:"durationMs"`
	// The scenario that the loads are put into.
	Spec      *v1alpha1.Scenario `json:"spec"`
	Fleet     Fleet              `json:"fleet"`
	Simulator Simulator          `json:"simulator"`
}

// Load is a load: in the unit of what is varied, and in deliveries a second that are asked for.
type Load struct {
	Amount              float64 `json:"amount"`
	DeliveriesPerSecond float64 `json:"deliveriesPerSecond"`
}

// CapacityStep is a run of a search.
type CapacityStep struct {
	// From 1; the run's own report is in steps/NUMBER.
	Number int  `json:"number"`
	Load   Load `json:"load"`
	// probe, or hold for a longer one; and why it was played.
	Kind string `json:"kind"`
	Why  string `json:"why"`
	// held, missed, unclear or gaveUp (of the generator).
	Outcome  string          `json:"outcome"`
	Verdict  verdict.Verdict `json:"verdict"`
	ExitCode int             `json:"exitCode"`
	// The verdict's first reason.
	Reason string `json:"reason,omitempty"`
	// The thresholds that were missed.
	Missed []string `json:"missed,omitempty"`
	// The threshold that the curve is of; absent if the scenario bounds no time.
	Figure *CapacityFigure `json:"figure,omitempty"`
	// Of all deliveries.
	P50Ms  Millis `json:"p50Ms"`
	P99Ms  Millis `json:"p99Ms"`
	P999Ms Millis `json:"p999Ms"`
	// What came within the measure phase, a second.
	DeliveredPerSecond float64 `json:"deliveredPerSecond"`
	// As in Capacity; absent if not known.
	Used       []Used `json:"used,omitempty"`
	Processors []Used `json:"processors,omitempty"`
	DurationMs Millis `json:"durationMs"`
}

// CapacityFigure is a threshold of a step.
type CapacityFigure struct {
	Title   string  `json:"title"`
	ValueMs Millis  `json:"valueMs"`
	ErrorMs float64 `json:"errorMs"`
	BoundMs float64 `json:"boundMs"`
	// There were samples.
	Known bool `json:"known"`
}

// WriteCapacity writes capacity.json and capacity.html into a directory, which it makes.
func WriteCapacity(dir string, c Capacity) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write capacity: %w", err)
	}
	var text, page bytes.Buffer
	if err := renderJSON(&text, c); err != nil {
		return fmt.Errorf("write capacity: %w", err)
	}
	if err := RenderCapacityHTML(&page, c); err != nil {
		return fmt.Errorf("write capacity: %w", err)
	}
	if err := replace(filepath.Join(dir, CapacityFile), text.Bytes()); err != nil {
		return fmt.Errorf("write capacity: %w", err)
	}
	if err := replace(filepath.Join(dir, CapacityPage), page.Bytes()); err != nil {
		return fmt.Errorf("write capacity: %w", err)
	}
	return nil
}

// ReadCapacity reads a capacity.json, or the one in a directory.
func ReadCapacity(path string) (Capacity, error) {
	return readDocument[Capacity]("capacity", path, CapacityFile, CapacitySchema)
}

// DeliveredPerSecond is how many deliveries came within the measure phase, a second; 0 if that is not known.
func (r Report) DeliveredPerSecond() float64 {
	from, to, ok := r.MeasurePhase()
	if !ok || r.Series.Delivered == nil || to <= from {
		return 0
	}
	return float64(between(r.Series.Delivered, []time.Duration{from, to})[0]) / (to - from).Seconds()
}
