package live

import (
	"math"
	"testing"
	"time"
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
	got, roles := tr.growth(phase)
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
	if _, roles := tr.growth(100 * time.Second); roles["store"].Memory != 1 || roles["store"].OpenFiles != 1 {
		t.Errorf("%+v", roles)
	}
}
