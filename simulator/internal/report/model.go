package report

import "github.com/chatfleet/chatfleet/simulator/internal/calibration"

// How the figures of a report came about.
const (
	// Taken from real sockets.
	Measured = "measured"
	// Computed by the model, within the range in which it was calibrated.
	Modelled = "modelled"
	// Computed by the model, beyond that range.
	Extrapolated = "extrapolated"
)

// Model is how good a report is whose figures nobody measured, and what they rest on.
type Model struct {
	// A to D, and what it means.
	Grade     string `json:"grade"`
	GradeSays string `json:"gradeSays"`
	// How far the scenario is beyond what was measured, at its farthest; 1 if it is within.
	ExtrapolationFactor float64 `json:"extrapolationFactor"`
	// What the first answer may be off by, up or down, as a share of it.
	ErrorShare float64 `json:"errorShare"`
	// Plays that the intervals are over, each with another seed. The other figures of the report are of the first.
	Seeds int `json:"seeds"`
	// Every session was an event of its own.
	PerSession bool `json:"perSession,omitempty"`
	// Events that the first play took.
	Events int64 `json:"events"`

	Answers []Answer `json:"answers"`
	// What moves the first answer most, the strongest first.
	Inputs []Input `json:"inputs"`
	// The range of what was measured, and where this scenario is.
	Ranges []ModelRange `json:"ranges"`
	// The first answer with smaller audiences of the same fleet, up to the scenario's own, what metric it is of, and up to how many sessions were measured; absent
	// where that was not played.
	Fan           []FanPoint `json:"fan,omitempty"`
	FanMetric     string     `json:"fanMetric,omitempty"`
	FanMeasuredTo float64    `json:"fanMeasuredTo,omitempty"`
	Unmodelled    []string   `json:"unmodelled"`
	Use           ModelUse   `json:"use"`
	// The calibration, whole: its machine, commit and date, each coefficient with its source, and the runs that were held out.
	Calibration calibration.Calibration `json:"calibration"`
}

// Answer is one figure with its 95 % prediction interval.
type Answer struct {
	Name    string `json:"name"`
	ValueMs Millis `json:"valueMs"`
	LowMs   Millis `json:"lowMs"`
	HighMs  Millis `json:"highMs"`
	// The least and largest over the seeds.
	LeastMs   Millis `json:"leastMs"`
	LargestMs Millis `json:"largestMs"`
}

// FanPoint is an answer with its 95 % prediction interval, for so many sessions.
type FanPoint struct {
	Sessions float64 `json:"sessions"`
	ValueMs  Millis  `json:"valueMs"`
	LowMs    Millis  `json:"lowMs"`
	HighMs   Millis  `json:"highMs"`
}

// Input is something that the answers depend on, and how much.
type Input struct {
	Name string `json:"name"`
	Help string `json:"help"`
	// How it was moved, as in "+1 standard error (13.1 ± 1.1 µs)".
	Moved string `json:"moved"`
	// What that did to the first answer: 0.02 is 2 % more.
	Change float64 `json:"change"`
	// How its value is known: measured, derived, assumed; or chosen, by the scenario.
	Basis string `json:"basis"`
}

// ModelRange is one dimension: how far it was measured, and what the scenario asks for.
type ModelRange struct {
	Dimension string  `json:"dimension"`
	From      float64 `json:"from"`
	To        float64 `json:"to"`
	Asked     float64 `json:"asked"`
	Factor    float64 `json:"factor"`
}

// ModelUse is what the modelled fleet has, and how much of it was used in the measure phase.
type ModelUse struct {
	// Over all cells.
	Cells         int     `json:"cells"`
	Shards        int     `json:"shards"`
	Stores        int     `json:"stores"`
	Cores         float64 `json:"cores"`
	MemoryBytes   float64 `json:"memoryBytes"`
	EgressBytes   float64 `json:"egressBytes"`
	DeliveriesPer float64 `json:"deliveriesPerPost"`
	// 0 to 1: of the processors of the busiest shard and of the stores, and of a shard's network.
	BusiestShard   float64 `json:"busiestShard"`
	BusiestStore   float64 `json:"busiestStore"`
	BusiestNetwork float64 `json:"busiestNetwork"`
	// What is used up first when everything grows alike.
	Binding string `json:"binding"`
	// By the scenario's prices, for the measure phase; absent without any.
	Cost *Cost `json:"cost,omitempty"`
}

// Cost is a sum in the currency of the scenario's prices.
type Cost struct {
	Source string  `json:"source"`
	Cores  float64 `json:"cores"`
	Memory float64 `json:"memory"`
	Egress float64 `json:"egress"`
	Total  float64 `json:"total"`
}
