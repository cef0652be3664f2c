package live

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/planted"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// compared is a run of some pairs of blocks of 20 s with a broadcast every second. Its broadcasts take 50 ms, more and more as the run
// goes on, give or take a fifth, and while slow readers are slow so much longer.
func compared(pairs int, slowdown float64) (*engine, []moment) {
	random := rand.New(rand.NewPCG(7, 8))
	slow := v1alpha1.SlowReaders{Share: 0.001, Alternate: seconds(20)}
	e := &engine{Config: Config{Scenario: &v1alpha1.Scenario{
		Population: v1alpha1.Population{SlowReaders: &slow}, Phases: v1alpha1.Phases{Measure: seconds(float64(40 * pairs))},
	}}}
	var all []moment
	for at := time.Duration(0); at < e.Scenario.Phases.Measure.Std(); at += time.Second {
		took := 50 * (1 + at.Hours()) * (0.8 + 0.4*random.Float64())
		block, settled := slow.Block(at)
		switch {
		case !settled:
			took *= 3 // what the change itself does is not compared
		case slow.SlowIn(block):
			took *= 1 + slowdown
		}
		all = append(all, moment{at, time.Duration(took * float64(time.Millisecond))})
	}
	return e, all
}

// What slow readers cost the others is found, within its interval, though all gets slower over the run; and none is found where there
// is none.
func TestSlowReaderEffect(t *testing.T) {
	for _, tt := range []struct {
		slowdown float64
		want     verdict.Verdict
	}{{0, verdict.Pass}, {0.2, verdict.Fail}, {-0.2, verdict.Fail}} {
		e, all := compared(40, tt.slowdown)
		slow := verdict.Slow{Pairs: e.slowPairs(all)}
		effect := slow.Effect()
		if effect.Pairs != 40 || effect.Low > tt.slowdown || effect.High < tt.slowdown || effect.High-effect.Low > 0.1 {
			t.Errorf("slowed down by %g: found %s", tt.slowdown, effect)
		}
		j := verdict.Judge(verdict.Measurements{Slow: slow, Generator: verdict.Generator{Hiccup: measure.NewHistogram()}},
			[]v1alpha1.Threshold{{Metric: "slowReaderEffect", Bound: v1alpha1.NumberBound(0.05), MinSamples: 30}})
		if j.Results[0].Verdict != tt.want && (tt.want == verdict.Fail || j.Results[0].Verdict == verdict.Fail) {
			t.Errorf("slowed down by %g: %+v", tt.slowdown, j.Results[0])
		}
	}
}

// A block without a broadcast that came to everybody is in no pair.
func TestPairsWithoutBroadcasts(t *testing.T) {
	e, all := compared(2, 0)
	for i := range all {
		if all[i].due >= 20*time.Second && all[i].due < 40*time.Second {
			all[i].took = measure.Never
		}
	}
	if pairs := e.slowPairs(all); len(pairs) != 1 {
		t.Errorf("%d pairs, want the second alone", len(pairs))
	}
}

// In a run with real sessions the slow readers read in half of the blocks, and the blocks are compared.
func TestSlowReadersAlternate(t *testing.T) {
	s := watched()
	s.Population.SlowReaders = &v1alpha1.SlowReaders{Share: 0.04, Alternate: seconds(0.5)}
	s.Broadcasts[0].Schedule = v1alpha1.Schedule{At: seconds(0.1), Every: seconds(0.2), Count: int(s.Phases.Measure.Std() / (200 * time.Millisecond))}
	r, _ := runPlanted(t, s, planted.Plan{})
	expect(t, r, verdict.Pass, 0)
	slow := r.SlowReaders
	if slow == nil || slow.Lost != 0 || slow.Delivered+slow.Told != slow.Expected {
		t.Fatalf("slow readers %+v", slow)
	}
	if want := s.Population.SlowReaders.Pairs(s.Phases.Measure.Std()); slow.Effect == nil || slow.Effect.Pairs != want || len(slow.Effect.PairsMs) != want {
		t.Errorf("effect %+v, want %d pairs", slow.Effect, want)
	}
}
