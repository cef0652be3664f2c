package calibrate

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
)

// few are points that are quick to play, and tell the coefficients apart.
func few() []Point {
	return []Point{
		{Name: "few-500-1", Stores: 3, Shards: 1, Sessions: 500, Bytes: payloads, Repeats: 1}, {Name: "few-500-2", Stores: 3, Shards: 2, Sessions: 500, Bytes: payloads, Repeats: 1},
		{Name: "few-2000-1", Stores: 3, Shards: 1, Sessions: 2000, Bytes: payloads, Repeats: 1}, {Name: "few-2000-6", Stores: 3, Shards: 6, Sessions: 2000, Bytes: payloads, Repeats: 1},
		{Name: "few-5000-4-6", Stores: 3, Shards: 4, Sessions: 5000, Workers: 6, Bytes: payloads, Repeats: 1},
		{Name: "few-chatter", Stores: 3, Shards: 2, Sessions: 1000, PostsPerSecond: 40, Readers: 50},
	}
}

// observed plays points with a calibration and writes down what a run would have shown.
func observed(t testing.TB, points []Point, c calibration.Calibration) (out []Observation) {
	t.Helper()
	for _, p := range points {
		s, err := p.Scenario(3)
		if err != nil {
			t.Fatal(err)
		}
		r, err := play(p, s, c)
		if err != nil {
			t.Fatal(err)
		}
		o := Observation{
			Schema: Schema, Point: p, Seed: 3, At: time.Unix(0, 0), Machine: Machine{CPU: "AMD EPYC", Cores: 2, Kernel: "6.18"}, Seconds: r.seconds, Broadcasts: r.broadcasts,
			Posts: Posts{Response: r.ack, Intended: 1, Acknowledged: 1}, Delivered: r.delivered, Stores: r.stores, Shards: r.shards, Generator: r.generator,
		}
		if p.PostsPerSecond > 0 {
			o.Delivery = &r.delivery
		}
		out = append(out, o)
	}
	return out
}

// What the model itself came to with other coefficients gives these back.
func TestAFitFindsWhatWasPlanted(t *testing.T) {
	base := calibrationtest.ByHand()
	truth := base
	for name, errors := range map[calibration.Name]float64{calibration.Write: -3, calibration.Receive: 2, calibration.Acknowledge: 2, calibration.StoreIdle: -4} {
		truth = truth.Moved(name, errors)
	}
	fit, err := Run(base, nil, observed(t, few(), truth), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("mean square %.4g after %d steps", fit.MeanSquare, fit.Steps)
	// Each draw is of other runs.
	if slices.Equal(fit.draws[0], fit.draws[1]) {
		t.Errorf("two draws move the fit by the same: %v", fit.draws[0])
	}
	for _, p := range fit.Parameters {
		want := truth.Get(p.Name).Value
		t.Logf("%-18s %8.4f (%.4f to %.4f), planted %8.4f", p.Name, p.Value, p.Low, p.High, want)
		tolerance := 0.06
		switch p.Name {
		case calibration.Byte, calibration.ReceiveByte, calibration.Begin, calibration.PostShard, calibration.PostAuthor, calibration.AcknowledgeSpread, calibration.Wake,
			calibration.Ping, calibration.PingRead, calibration.Rouse, calibration.RouseRead, calibration.ReaderIdle, calibration.Switch:
			tolerance = 0.3 // little of what these few runs show hangs on them
		}
		if math.Abs(math.Log(p.Value/want)) > tolerance {
			t.Errorf("%s is %g, planted %g", p.Name, p.Value, want)
		}
	}
}

// Of several begins the one counts from which the fit ends with the least loss, whichever it is, and the prior is of the first.
func TestTheLeastLossCounts(t *testing.T) {
	base := calibrationtest.ByHand()
	truth := base.Moved(calibration.Write, -3)
	all := observed(t, tiny()[:3], truth)
	for name, begins := range map[string][2]calibration.Calibration{"the second": {base, truth}, "the first": {truth, base}} {
		fit, err := Run(begins[0], []calibration.Calibration{begins[1]}, all, 1)
		if err != nil {
			t.Fatal(err)
		}
		if began := begins[0].Get(calibration.Write).Value; fit.Steps != 1 || math.Abs(fit.Parameters[0].Began/began-1) > 1e-9 {
			t.Errorf("%s is right: loss %g after %d steps, %+v", name, fit.Loss, fit.Steps, fit.Parameters[0])
		}
	}
}
