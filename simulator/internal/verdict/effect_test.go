package verdict

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// What changes every pair alike is found to the digit; the interval holds the change, and is the narrower the more pairs there are.
func TestEffect(t *testing.T) {
	if e := EffectOf([]float64{1.5, 1.5, 1.5}); math.Abs(e.Change-0.5)+math.Abs(e.Low-0.5)+math.Abs(e.High-0.5) > 1e-9 || e.Pairs != 3 {
		t.Errorf("three pairs that are half as long again: %s", e)
	}
	if e := EffectOf([]float64{2, 0.5}); math.Abs(e.Change) > 1e-9 || e.Low > -0.49 || e.High < 0.99 {
		t.Errorf("twice and half are no change, of which two pairs are not sure: %s", e)
	}
	if e := EffectOf(nil); e != (Effect{}) {
		t.Errorf("of nothing: %s", e)
	}
	rapid.Check(t, func(t *rapid.T) {
		e := EffectOf(rapid.SliceOfN(rapid.Float64Range(0.1, 10), 1, 50).Draw(t, "ratios"))
		if e.Low > e.Change+1e-9 || e.High < e.Change-1e-9 || e.Low <= -1 {
			t.Fatalf("%+v", e)
		}
	})
}

// In nineteen runs of twenty the interval holds the truth, as far as some hundred pairs of seeds can tell.
func TestIntervalHoldsTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const runs, truth = 200, 0.02
	held := 0
	for range runs {
		ratios := make([]float64, 30)
		for i := range ratios {
			ratios[i] = (1 + truth) * math.Exp(0.08*random.NormFloat64())
		}
		if e := EffectOf(ratios); e.Low <= truth && truth <= e.High {
			held++
		}
	}
	if share := float64(held) / runs; share < 0.88 || share > 0.99 {
		t.Errorf("the 95 %% interval held the truth in %g of the runs", share)
	}
}

// A slowdown misses the threshold, and its reason has the interval; too few pairs tell nothing.
func TestSlowReaderEffectIsJudged(t *testing.T) {
	th := v1alpha1.Threshold{Metric: "slowReaderEffect", Bound: v1alpha1.NumberBound(0.02), MinSamples: 30}
	for _, tt := range []struct {
		pairs int
		slow  time.Duration
		want  Verdict
	}{{30, 50 * time.Millisecond, Pass}, {30, 52 * time.Millisecond, Fail}, {30, 48 * time.Millisecond, Fail}, {29, 50 * time.Millisecond, Inconclusive}} {
		m := goodRun()
		m.Slow.Pairs = nil
		for range tt.pairs {
			m.Slow.Pairs = append(m.Slow.Pairs, SlowPair{50 * time.Millisecond, tt.slow})
		}
		j := Judge(m, []v1alpha1.Threshold{th})
		if r := j.Results[0]; r.Verdict != tt.want || j.Verdict != tt.want || !strings.Contains(r.Reason, "95 % interval") {
			t.Errorf("%d pairs of 50 ms and %s: %s, %s, %q", tt.pairs, tt.slow, j.Verdict, r.Verdict, r.Reason)
		}
	}
}
