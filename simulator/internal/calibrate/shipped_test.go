package calibrate

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

// shippedDir has the runs that the calibration that ships was fitted to and held against.
const shippedDir = "../calibration/default"

// The calibration that ships is of the runs that are kept beside it and of the model as it is: it predicts for the runs that were held out what it says that it does,
// its runs are all of one grid and chatd, and nothing near it is better. Who changes the model fits anew: docs/simulation.md says how.
func TestTheShippedCalibrationIsOfItsRuns(t *testing.T) {
	all, err := ReadObservations(shippedDir)
	if err != nil {
		t.Fatal(err)
	}
	shipped := calibration.Default()
	usable := UsableOf(Grid(Options{}), all)
	if err := sameMachine(usable); err != nil {
		t.Fatal(err)
	}
	if got := usable[0].Commit; got != shipped.Commit {
		t.Errorf("the runs are of commit %s, the calibration of %s", got, shipped.Commit)
	}
	var fitted []Observation
	for _, o := range usable {
		if !o.Point.HeldOut {
			fitted = append(fitted, o)
		}
	}

	out, err := holdOut(Fit{Calibration: shipped, draws: [][]float64{make([]float64, len(Fitted()))}}, nil, usable)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(shipped.HoldOut) {
		t.Fatalf("%d figures are held out, the calibration has %d", len(out), len(shipped.HoldOut))
	}
	for i, h := range out {
		got, says := h.forCalibration(), shipped.HoldOut[i]
		predicted := got.PredictedMs
		got.PredictedMs = says.PredictedMs
		if got != says {
			t.Errorf("the runs show %+v, the calibration says %+v", got, says)
		}
		if math.Abs(predicted/says.PredictedMs-1) > 0.02 { // coefficients are written with four digits
			t.Errorf("%s is predicted to be %g ms, the calibration says %g", says.Figure, predicted, says.PredictedMs)
		}
	}

	// Coefficients that somebody has changed by hand, or a fit that has not come to its end, could be made better by one of them alone.
	runs, err := runsOf(fitted)
	if err != nil {
		t.Fatal(err)
	}
	base, err := calibration.Load(filepath.Join(shippedDir, "base.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f := fitter{runs: runs, base: shipped, names: Fitted()}
	f.begins = f.logs(base)
	at := f.logs(shipped)
	loss := func() float64 {
		now, err := f.figures(at)
		if err != nil {
			t.Fatal(err)
		}
		return f.loss(at, now)
	}
	least := loss()
	for i, name := range f.names {
		for _, by := range []float64{-0.2, 0.2} {
			at[i] += by
			if got := loss(); got < 0.98*least {
				t.Errorf("with %s %+.0f %% the loss is %.0f, as it ships %.0f", name, 100*by, got, least)
			}
			at[i] -= by
		}
	}
}
