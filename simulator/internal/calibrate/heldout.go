package calibrate

import (
	"fmt"
	"math"
	"slices"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

// HeldOut is one figure of the runs of one size that the fit did not see.
type HeldOut struct {
	Sessions int    `json:"sessions"`
	Shards   int    `json:"shards"`
	Figure   string `json:"figure"`
	// The median of so many runs, each the median of its broadcasts, and the least and the largest of them.
	MeasuredMs float64 `json:"measuredMs"`
	LeastMs    float64 `json:"leastMs"`
	LargestMs  float64 `json:"largestMs"`
	Runs       int     `json:"runs"`
	// The model's, with its 95 % interval: what the bootstrap of the parameters comes to, and how far the fitted runs lie around the model.
	PredictedMs Interval `json:"predictedMs"`
	// By the Universal Scalability Law; of the time to last alone.
	LawMs *Interval `json:"lawMs,omitempty"`
	// How much too high the prediction is, as a share of what was measured.
	Error float64 `json:"error"`
}

// Target is what a held-out error may be, up or down.
const Target = 0.15

// Disagree says whether the model and the law exclude each other.
func (h HeldOut) Disagree() bool { return h.LawMs != nil && h.PredictedMs.apart(*h.LawMs) }

// holdOut holds a fit against the runs that it did not see.
func holdOut(fit Fit, law *USL, all []Observation) ([]HeldOut, error) {
	bySize := map[int][]Observation{}
	var sizes []int
	for _, o := range all {
		if o.Point.HeldOut {
			if bySize[o.Point.Sessions] == nil {
				sizes = append(sizes, o.Point.Sessions)
			}
			bySize[o.Point.Sessions] = append(bySize[o.Point.Sessions], o)
		}
	}
	slices.Sort(sizes)
	var out []HeldOut
	for _, sessions := range sizes {
		some, err := holdOutSize(fit, bySize[sessions])
		if err != nil {
			return nil, err
		}
		for i := range some {
			if law != nil && some[i].Figure == FigureLast {
				last := law.Last(sessions)
				some[i].LawMs = &last
			}
		}
		out = append(out, some...)
	}
	return out, nil
}

func holdOutSize(fit Fit, observed []Observation) ([]HeldOut, error) {
	runs, err := runsOf(observed)
	if err != nil {
		return nil, err
	}
	f := fitter{runs: runs, base: fit.Calibration, names: Fitted()}
	at := f.logs(fit.Calibration)
	now, err := f.figures(at)
	if err != nil {
		return nil, err
	}
	// By how much each figure's logarithm changes with the parameters'.
	j, err := f.jacobian(at, now, differences[0])
	if err != nil {
		return nil, err
	}
	var out []HeldOut
	for _, b := range broadcastFigures {
		var measured, predicted []float64
		var first int
		for i, one := range now {
			if one.Name == b.name {
				if len(measured) == 0 {
					first = i
				}
				measured, predicted = append(measured, one.Measured), append(predicted, one.Predicted)
			}
		}
		if len(measured) == 0 {
			continue
		}
		h := HeldOut{
			Sessions: runs[0].Point.Sessions, Shards: runs[0].Point.Shards, Figure: b.name, Runs: len(measured),
			MeasuredMs: round(median(measured)), LeastMs: round(slices.Min(measured)), LargestMs: round(slices.Max(measured)),
		}
		value := median(predicted)
		var values []float64
		for _, d := range fit.draws {
			move := 0.0
			for p := range d {
				move += d[p] * j.At(first, p) * now[first].Tolerance
			}
			values = append(values, value*math.Exp(move))
		}
		slices.Sort(values)
		h.PredictedMs = Interval{value, min(quantile(values, 0.025), value), max(quantile(values, 0.975), value)}.widened(fit.scatter(b.name))
		h.Error = value/h.MeasuredMs - 1
		out = append(out, h)
	}
	return out, nil
}

// scatter is how far the fitted runs lie around the model, in logarithms, by one figure of broadcasts.
func (f Fit) scatter(name string) float64 {
	var sum float64
	n := 0
	for _, one := range f.Figures {
		if one.Name == name {
			d := math.Log(one.Predicted / one.Measured)
			sum += d * d
			n++
		}
	}
	return math.Sqrt(sum / float64(max(n, 1)))
}

// forCalibration is the same as a calibration's file has it.
func (h HeldOut) forCalibration() calibration.HeldOut {
	return calibration.HeldOut{
		Run:    fmt.Sprintf("simulator calibrate: %s sessions, %d shards, posts of %d bytes", count(h.Sessions), h.Shards, lawBytes),
		Figure: fmt.Sprintf("%s of a broadcast to %s", h.Figure, count(h.Sessions)), Sessions: int64(h.Sessions),
		PredictedMs: round(h.PredictedMs.Value), MeasuredMs: h.MeasuredMs, LeastMs: h.LeastMs, LargestMs: h.LargestMs, Runs: h.Runs,
	}
}
