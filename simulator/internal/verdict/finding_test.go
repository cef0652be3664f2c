package verdict

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"
)

// drawn are the ratios of some pairs, each of which varies by itself, and all of which by what the two runs differ in.
func drawn(r *rand.Rand, pairs int, change, block, run float64) []float64 {
	common := math.Log1p(change) + run*math.Sqrt2*r.NormFloat64()
	out := make([]float64, pairs)
	for i := range out {
		out[i] = math.Exp(common + block*math.Sqrt2*r.NormFloat64())
	}
	return out
}

// A 95 % interval holds the truth in 95 of 100 cases also with few pairs, paired and not.
func TestIntervalsOfFewPairsHoldTheTruth(t *testing.T) {
	const cases = 500
	for _, pairs := range []int{MinPairs, 12, 30} {
		r := rand.New(rand.NewPCG(5, uint64(pairs)))
		paired, apart := 0, 0
		for range cases {
			ratios := drawn(r, pairs, 0.02, 0.05, 0)
			if e := EffectOfPairs(ratios, 0.95); e.Low <= 0.02 && 0.02 <= e.High {
				paired++
			}
			a, b := drawn(r, pairs, 0, 0.05, 0), drawn(r, pairs, 0.02, 0.05, 0)
			e := EffectBetween(a, b, 0.95)
			if e.Low <= 0.02 && 0.02 <= e.High {
				apart++
			}
			if e.Change < e.Low || e.Change > e.High {
				t.Fatalf("%s lies outside of its interval", e)
			}
		}
		for name, held := range map[string]int{"paired": paired, "apart": apart} {
			// Three times what chance makes of 0.95, and a little for pairs that are only five.
			if share := float64(held) / cases; share < 0.92 || share > 0.985 {
				t.Errorf("%d %s: held in %.3f of the cases", pairs, name, share)
			}
		}
	}
}

// On average the interval of twelve pairs is as wide as that of Student's t, which is exact for what is drawn here.
func TestIntervalsOfFewPairsAreAsWideAsStudents(t *testing.T) {
	const cases, pairs, student = 300, 12, 2.201 // the 97.5th percentile with 11 degrees of freedom
	r := rand.New(rand.NewPCG(9, 10))
	wide, want := 0.0, 0.0
	for range cases {
		ratios := drawn(r, pairs, 0, 0.05, 0)
		e := EffectOfPairs(ratios, 0.95)
		wide += math.Log1p(e.High) - math.Log1p(e.Low)
		want += 2 * student * stat.StdDev(logarithms(ratios), nil) / math.Sqrt(pairs)
	}
	if ratio := wide / want; ratio < 0.97 || ratio > 1.03 {
		t.Errorf("%.3f times as wide", ratio)
	}
}

// How often a change is found that is there, and one that is not, when 5 % is the least that matters. What two runs of one build differ by as
// wholes is in no interval: as long as it is well below the least effect, it does no harm, and where it is not, it does.
func TestFindingsAreRightAsOftenAsSaid(t *testing.T) {
	const cases, least = 400, 0.05
	for _, tt := range []struct {
		pairs              int
		change, block, run float64
		// How often "worse" may be found.
		atLeast, atMost float64
	}{
		{12, 0, 0.03, 0, 0, 0.005},
		{12, 0, 0.03, 0.01, 0, 0.01},
		{12, 0, 0.03, 0.02, 0, 0.1},
		{12, 0, 0.03, 0.04, 0.1, 0.3},
		{12, 0.1, 0.03, 0, 0.85, 0.97},
		{12, 0.1, 0.03, 0.01, 0.75, 0.95},
		{12, 0.1, 0.01, 0.01, 0.98, 1},
		{12, 0.1, 0.03, 0.02, 0.65, 0.95},
		{30, 0.1, 0.03, 0.01, 0.95, 1},
		{40, 0.1, 0.03, 0.01, 0.97, 1},
		{40, 0, 0.03, 0.01, 0, 0.01},
		{40, 0, 0.03, 0.02, 0, 0.1},
		{5, 0.1, 0.01, 0.01, 0.9, 1},
		// As large as what matters and no larger: as often as an interval misses to that side.
		{12, 0.05, 0.03, 0, 0, 0.05},
		{12, -0.1, 0.03, 0.01, 0, 0},
	} {
		t.Run(fmt.Sprintf("%d pairs, change %g, blocks %g, runs %g", tt.pairs, tt.change, tt.block, tt.run), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 8))
			found := map[Finding]int{}
			for range cases {
				finding, why := EffectOfPairs(drawn(r, tt.pairs, tt.change, tt.block, tt.run), 0.95).Against(least)
				if (finding == Unclear) != (why != "") {
					t.Fatalf("%s: %q", finding, why)
				}
				found[finding]++
			}
			if share := float64(found[Worse]) / cases; share < tt.atLeast || share > tt.atMost {
				t.Errorf("worse in %.3f of the cases, not %g to %g; %v", share, tt.atLeast, tt.atMost, found)
			}
			t.Log(found)
		})
	}
}

func TestFindings(t *testing.T) {
	for _, tt := range []struct {
		name              string
		pairs             int
		change, low, high float64
		want              Finding
		why               string
	}{
		{"none", 12, 0.001, -0.01, 0.012, Same, ""},
		{"larger than matters", 12, 0.1, 0.06, 0.14, Worse, ""},
		{"smaller", 12, -0.1, -0.14, -0.06, Better, ""},
		{"reaches back", 12, 0.1, 0.04, 0.16, Unclear, "about 18 pairs would tell"},
		{"as wide as could be", 12, 0, -0.2, 0.2, Unclear, "about 192 pairs would tell"},
		{"just as large as matters", 12, 0.05, 0.01, 0.09, Unclear, "no number of pairs"},
		{"too few", 4, 0.1, 0.09, 0.11, Unclear, "4 blocks to compare; it takes 5"},
		{"nothing", 0, 0, 0, 0, Unclear, "0 blocks"},
	} {
		got, why := Effect{tt.pairs, tt.change, tt.low, tt.high}.Against(0.05)
		if got != tt.want || !strings.Contains(why, tt.why) || (tt.why == "") != (why == "") {
			t.Errorf("%s: %s, %q", tt.name, got, why)
		}
	}
}
