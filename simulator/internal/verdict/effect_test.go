package verdict

import (
	"fmt"
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

// A bound on a change, against where its interval lies.
func TestChangesAreJudgedWithTheirIntervals(t *testing.T) {
	const bound = 0.02
	for _, tt := range []struct {
		name              string
		change, low, high float64
		within, below     Verdict
		pairs             string // in the reasons of what is inconclusive
	}{
		{"none, well known", 0, -0.005, 0.005, Pass, Pass, ""},
		{"none, and half as wide as it may be", 0, -0.01, 0.01, Pass, Pass, ""},
		{"little, and the interval goes beyond", 0.012, -0.006, 0.030, Pass, Inconclusive, "about 203 pairs"},
		{"none that was seen, by an interval that could not have told", 0.005, -0.03, 0.04, Inconclusive, Inconclusive, "about 123 pairs|about 218 pairs"},
		{"more, but the interval reaches back", 0.0573, -0.008, 0.1285, Inconclusive, Inconclusive, "about 134 pairs"},
		{"more, beyond doubt", 0.06, 0.03, 0.09, Fail, Fail, ""},
		{"at the bound", 0.02, 0.02, 0.02, Pass, Pass, ""},
		{"just beyond it, and the interval too", 0.0201, 0.02005, 0.0202, Fail, Fail, ""},
		{"less, beyond doubt", -0.06, -0.09, -0.03, Fail, Pass, ""},
		{"less, but the interval reaches back", -0.03, -0.05, -0.01, Inconclusive, Pass, "about 160 pairs"},
		{"at the bound, with doubt", 0.02, 0.001, 0.039, Pass, Inconclusive, "no number of pairs"},
	} {
		e := Effect{Pairs: 40, Change: tt.change, Low: tt.low, High: tt.high}
		within, why := e.within(bound)
		below, whyBelow := e.below(bound)
		if within != tt.within || below != tt.below {
			t.Errorf("%s: within %s, below %s; want %s, %s", tt.name, within, below, tt.within, tt.below)
		}
		for _, v := range []struct {
			verdict Verdict
			reason  string
		}{{within, why}, {below, whyBelow}} {
			if (v.verdict == Pass) != (v.reason == "") || v.verdict == Inconclusive && !strings.Contains(v.reason, "would tell") {
				t.Errorf("%s: %s for %q", tt.name, v.verdict, v.reason)
			}
		}
		for pairs := range strings.SplitSeq(tt.pairs, "|") {
			if !strings.Contains(why+whyBelow, pairs) {
				t.Errorf("%s: %q, %q; want %s", tt.name, why, whyBelow, pairs)
			}
		}
	}
}

// As many pairs as a reason asks for would have told, if the pairs were as those that there are.
func TestSoManyPairsWouldTell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Effect{Pairs: rapid.IntRange(10, 100).Draw(t, "pairs"), Change: rapid.Float64Range(-0.05, 0.05).Draw(t, "change")}
		half := rapid.Float64Range(0.0001, 0.1).Draw(t, "half")
		e.Low, e.High = e.Change-half, e.Change+half
		for _, judge := range []func(Effect, float64) (Verdict, string){Effect.within, Effect.below} {
			v, why := judge(e, 0.02)
			var more int
			if _, number, ok := strings.Cut(why, "about "); !ok {
				continue
			} else if n, err := fmt.Sscanf(number, "%d pairs", &more); n != 1 || err != nil || v != Inconclusive || more <= e.Pairs {
				t.Fatalf("%s: %s, %q", e, v, why)
			}
			narrow := half * math.Sqrt(float64(e.Pairs)/(1.001*float64(more)))
			if v, why := judge(Effect{more, e.Change, e.Change - narrow, e.Change + narrow}, 0.02); v == Inconclusive {
				t.Fatalf("%d pairs in place of %d do not tell: %q", more, e.Pairs, why)
			}
		}
	})
}

// What slow readers do is judged from the pairs of a run, and its reason has the interval; too few pairs tell nothing.
func TestSlowReaderEffectIsJudged(t *testing.T) {
	for _, tt := range []struct {
		pairs       int
		slow, other time.Duration // in turn
		want        map[string]Verdict
	}{
		{30, 50 * time.Millisecond, 50 * time.Millisecond, map[string]Verdict{"slowReaderEffect": Pass, "slowReaderEffectUpper": Pass}},
		{30, 52 * time.Millisecond, 52 * time.Millisecond, map[string]Verdict{"slowReaderEffect": Fail, "slowReaderEffectUpper": Fail}},
		{30, 48 * time.Millisecond, 48 * time.Millisecond, map[string]Verdict{"slowReaderEffect": Fail, "slowReaderEffectUpper": Pass}},
		{30, 40 * time.Millisecond, 64 * time.Millisecond, map[string]Verdict{"slowReaderEffect": Inconclusive, "slowReaderEffectUpper": Inconclusive}},
		{29, 50 * time.Millisecond, 50 * time.Millisecond, map[string]Verdict{"slowReaderEffect": Inconclusive, "slowReaderEffectUpper": Inconclusive}},
	} {
		m := goodRun()
		m.Slow.Pairs = nil
		for i := range tt.pairs {
			m.Slow.Pairs = append(m.Slow.Pairs, SlowPair{50 * time.Millisecond, []time.Duration{tt.slow, tt.other}[i%2]})
		}
		for metric, want := range tt.want {
			j := Judge(m, []v1alpha1.Threshold{{Metric: metric, Bound: v1alpha1.NumberBound(0.02), MinSamples: 30}})
			if r := j.Results[0]; r.Verdict != want || j.Verdict != want || !strings.Contains(r.Reason, "95 % interval") {
				t.Errorf("%d pairs of 50 ms and %s or %s, %s: %s, %s, %q", tt.pairs, tt.slow, tt.other, metric, j.Verdict, r.Verdict, r.Reason)
			}
		}
	}
}
