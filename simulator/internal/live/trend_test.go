package live

import (
	"math"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// What grows steadily is seen, what jumps at the start or now and then is not, and a few samples say nothing.
func TestTrend(t *testing.T) {
	const phase = 100 * time.Second
	var tr trend
	for s := range 100 {
		at := time.Duration(s) * time.Second
		tr.add(&tr.held, "leaks", holding{at, 1000 + 10*float64(s), 50, 20})
		start, peak := 1000.0, 50.0
		if s < 20 {
			start = 10
		}
		if s%7 == 0 {
			peak = 5000
		}
		tr.add(&tr.held, "settles", holding{at, start, peak, 20})
		if s%25 == 0 {
			tr.add(&tr.held, "young", holding{at, 1, 1, 1})
		}
	}
	got, roles := tr.growth(spans(&v1alpha1.Scenario{Phases: v1alpha1.Phases{Measure: v1alpha1.Duration(phase)}}))
	if g := got["leaks"]; math.Abs(g.Memory-1900.0/1300) > 0.02 || g.Goroutines != 1 || g.OpenFiles != 1 {
		t.Errorf("leaks %+v", g)
	}
	if g := got["settles"]; g.Memory != 1 || g.Goroutines != 1 {
		t.Errorf("settles %+v", g)
	}
	if len(roles) != 0 {
		t.Errorf("roles %+v", roles)
	}
	if _, known := got["young"]; known || len(got) != 2 {
		t.Errorf("got %+v", got)
	}
}

// What one process takes over from another is no growth of the two.
func TestTrendOfARole(t *testing.T) {
	var tr trend
	for s := range 100 {
		at := time.Duration(s) * time.Second
		one := holding{at, 1000 + 10*float64(s), 50, 20}
		tr.add(&tr.together, "store", one.and(holding{at, 2000 - 10*float64(s), 60, 30}))
	}
	if _, roles := tr.growth(span{20 * time.Second, 40 * time.Second}, span{80 * time.Second, 100 * time.Second}); roles["store"].Memory != 1 || roles["store"].OpenFiles != 1 {
		t.Errorf("%+v", roles)
	}
}

// A scenario can name the moments: what is held a minute around each is compared, whatever was before and after.
func TestTrendBetweenMoments(t *testing.T) {
	s := &v1alpha1.Scenario{Phases: v1alpha1.Phases{Measure: v1alpha1.Duration(12 * time.Minute)},
		Growth: &v1alpha1.Growth{From: v1alpha1.Duration(2 * time.Minute), To: v1alpha1.Duration(10 * time.Minute)}}
	var tr trend
	for at := time.Duration(0); at < 12*time.Minute; at += 10 * time.Second {
		held := 5000.0
		switch {
		case at >= 90*time.Second && at < 150*time.Second:
			held = 1000
		case at >= 570*time.Second && at < 630*time.Second:
			held = 1100
		}
		tr.add(&tr.together, "shard", holding{at, held, 1, 1})
	}
	if _, roles := tr.growth(spans(s)); math.Abs(roles["shard"].Memory-1.1) > 1e-9 {
		t.Errorf("%+v", roles)
	}
}
