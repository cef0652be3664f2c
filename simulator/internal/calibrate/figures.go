package calibrate

import (
	"fmt"
	"math"
	"slices"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
)

// Figure is one number of a run: what was measured, and what the model says.
type Figure struct {
	Run  string `json:"run"`
	Name string `json:"name"`
	// Of ms, s of processor time, or 1/s.
	Unit string `json:"unit"`
	// The median of the broadcasts of a run where it has several, and between what they lie.
	Measured  float64 `json:"measured"`
	Least     float64 `json:"least"`
	Largest   float64 `json:"largest"`
	Predicted float64 `json:"predicted"`
	Sessions  int     `json:"sessions"`
	Shards    int     `json:"shards"`
	Bytes     int     `json:"bytes,omitempty"`
	// What an error of it is counted in, as a share: a fit cares twice as much for a figure with half of it.
	Tolerance float64 `json:"tolerance"`
}

// Error is how much too high the prediction is, as a share of what was measured.
func (f Figure) Error() float64 { return f.Predicted/f.Measured - 1 }

// The names of figures of broadcasts, as people have them.
const (
	FigureP50  = "p50"
	FigureP99  = "p99"
	FigureP999 = "time to 99.9 %"
	FigureLast = "time to last"
)

// Tolerances, by kind of figure: about what it differs by from one run to the next. Times of chatter and acknowledgements hang on how near to its
// limit a run is.
const (
	tolerateBroadcast  = 0.1
	tolerateProcessor  = 0.15
	tolerateAcks       = 0.2
	tolerateChatter    = 0.3
	tolerateThroughput = 0.1
	// overloadedMs is a median of deliveries above which a run was past its knee: how far it had fallen behind is a matter of how long it went on.
	overloadedMs = 1000
)

// leastSeconds is the processor time below which a count of hundredths of a second says too little.
const leastSeconds = 0.05

// result is what a run came to, measured or played, in the form in which both are compared.
type result struct {
	broadcasts                         []Broadcast
	ack                                Latency
	delivery                           Latency
	delivered                          int64
	stores, shards, generator, seconds float64
}

// figures are those of an observation, with what a play says. played may be the zero value: then nothing is predicted.
func figures(o Observation, played result) []Figure {
	var out []Figure
	add := func(name, unit string, bytes int, tolerance float64, measured []float64, predicted []float64) {
		m := median(measured)
		if !(m > 0) {
			return
		}
		out = append(out, Figure{
			Run: o.Point.Name, Name: name, Unit: unit, Measured: m, Least: slices.Min(measured), Largest: slices.Max(measured), Predicted: median(predicted),
			Sessions: o.Point.Sessions, Shards: o.Point.Shards, Bytes: bytes, Tolerance: tolerance,
		})
	}
	for _, bytes := range o.Point.Bytes {
		for _, f := range broadcastFigures {
			add(f.name, "ms", bytes, tolerateBroadcast, pick(o.Broadcasts, bytes, f.of), pick(played.broadcasts, bytes, f.of))
		}
	}
	one := func(name, unit string, tolerance, measured, predicted float64) {
		add(name, unit, 0, tolerance, []float64{measured}, []float64{predicted})
	}
	if d := o.Delivery; d != nil {
		one("deliveries a second", "1/s", tolerateThroughput, float64(o.Delivered)/o.Seconds, float64(played.delivered)/played.seconds)
		if d.P50Ms < overloadedMs {
			one("delivery p50", "ms", tolerateChatter, d.P50Ms, played.delivery.P50Ms)
			one("delivery p99", "ms", 2*tolerateChatter, d.P99Ms, played.delivery.P99Ms)
			one("acknowledgement p50", "ms", tolerateAcks, o.Posts.Response.P50Ms, played.ack.P50Ms)
			one("acknowledgement p99", "ms", 2*tolerateAcks, o.Posts.Response.P99Ms, played.ack.P99Ms)
		}
	} else {
		one("acknowledgement p50", "ms", tolerateAcks, o.Posts.Response.P50Ms, played.ack.P50Ms)
	}
	for _, c := range []struct {
		name              string
		measured, predict float64
	}{
		{"processors, stores", o.Stores, played.stores}, {"processors, shards", o.Shards, played.shards},
		{"processors, generator", o.Generator, played.generator},
	} {
		if c.measured >= leastSeconds {
			one(c.name, "s", tolerateProcessor, c.measured, c.predict*o.Seconds/max(played.seconds, 1e-9))
		}
	}
	return out
}

var broadcastFigures = []struct {
	name string
	of   func(b Broadcast) float64
}{
	{FigureP50, func(b Broadcast) float64 { return b.P50Ms }}, {FigureP99, func(b Broadcast) float64 { return b.P99Ms }},
	{FigureP999, func(b Broadcast) float64 { return b.P999Ms }}, {FigureLast, func(b Broadcast) float64 { return b.LastMs }},
}

func pick(all []Broadcast, bytes int, of func(b Broadcast) float64) (values []float64) {
	for _, b := range all {
		if b.Bytes == bytes {
			values = append(values, of(b))
		}
	}
	return values
}

// median is 0 of nothing.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// play plays a point in the model, by its scenario.
func play(p Point, s *v1alpha1.Scenario, c calibration.Calibration) (result, error) {
	fleet, ok := model.FleetOf(s, c)
	if !ok {
		return result{}, fmt.Errorf("the grid's point %s names no fleet", p.Name)
	}
	out, err := model.Play(model.Input{Scenario: s, Fleet: fleet, Calibration: c, Seed: s.Seed, Brief: true})
	if err != nil {
		return result{}, fmt.Errorf("play %s: %w", p.Name, err)
	}
	m := out.Measurements
	r := result{ack: latencyOf(m.Posts.Response), seconds: s.Phases.Measure.Std().Seconds(), delivered: m.Deliveries.Latency.Count()}
	for i, b := range m.Broadcasts {
		at := func(q float64) float64 { return millis(b.TimeTo(q)) }
		r.broadcasts = append(r.broadcasts, Broadcast{
			Bytes: p.Bytes[i%len(p.Bytes)], Recipients: b.Recipients, P50Ms: at(50), P99Ms: at(99), P999Ms: at(99.9), LastMs: at(100),
		})
	}
	if p.PostsPerSecond > 0 {
		r.delivery = latencyOf(m.Deliveries.Latency)
		r.delivered = out.Use.Delivered
	}
	u := out.Use
	r.stores, r.shards, r.generator = u.Stores.Seconds(), u.Shards.Seconds(), u.Generator.Seconds()
	return r, nil
}

// residual is how far a prediction is off, in tolerances.
func (f Figure) residual() float64 {
	return math.Log(max(f.Predicted, 1e-6)/f.Measured) / f.Tolerance
}
