package forecast

import (
	"math"
	"testing"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/model/modeltest"
)

// The fan goes from within what was measured to what is asked for, from the largest that was measured on in equal steps of the logarithm, and ends with the answer itself.
func TestTheFanEndsWithTheAnswer(t *testing.T) {
	s := modeltest.Small(t, "subscribers: 4000", "subscribers: 320000\n  places: [{name: far, share: 1, roundTrip: 20ms}]", "at: 1s, every: 4s, count: 4", "at: 1s")
	m := forecastOf(t, Config{Scenario: s, Calibration: tested(0.1), Seeds: 2}).Model
	if len(m.Fan) != fanPoints || m.FanMeasuredTo != 20_000 || m.FanMetric != "timeTo999" {
		t.Fatalf("%+v, measured to %g, of %s", m.Fan, m.FanMeasuredTo, m.FanMetric)
	}
	for i, p := range m.Fan {
		want := 2000.0
		if i > 0 {
			want = 20_000 * math.Pow(2, float64(i-1))
		}
		if math.Abs(p.Sessions/want-1) > 0.01 {
			t.Errorf("point %d has %g sessions, want %g", i, p.Sessions, want)
		}
		if !(p.LowMs < p.ValueMs && p.ValueMs < p.HighMs) || i > 0 && p.ValueMs <= m.Fan[i-1].ValueMs {
			t.Errorf("point %d: %+v", i, p)
		}
	}
	if last, a := m.Fan[fanPoints-1], m.Answers[0]; last.ValueMs != a.ValueMs || last.LowMs != a.LowMs || last.HighMs != a.HighMs {
		t.Errorf("it ends with %+v, the answer is %+v", last, a)
	}
}

// What was measured needs no fan, and what would take long has none.
func TestWhereThereIsNoFan(t *testing.T) {
	for name, replace := range map[string][]string{
		"within what was measured": {},
		"something breaks":         {"subscribers: 4000", "subscribers: 40000\nfaults: [{action: cut, target: sessions, share: 0.5, at: 2s}]"},
	} {
		if m := forecastOf(t, Config{Scenario: modeltest.Small(t, replace...), Calibration: calibrationtest.ByHand(), Seeds: 1}).Model; len(m.Fan) > 0 {
			t.Errorf("%s: %+v", name, m.Fan)
		}
	}
}
