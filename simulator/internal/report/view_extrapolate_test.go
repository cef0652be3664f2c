package report

import (
	"math"
	"strings"
	"testing"
)

// What is measured ends where 1 is, whatever the dimension; what is asked beyond begins there, or, below, ends where the measured begins.
func TestRangesOnOneAxis(t *testing.T) {
	bars := rangeBars([]ModelRange{{"sessions", 500, 20_000, 2e6, 100}, {"shards", 1, 4, 3, 1}, {"messageBytes", 200, 200, 20, 10}, {"stores", 0, 0, 3, 1}})
	ends := bars[0].Left + bars[0].Width
	for i, b := range bars[:3] {
		if math.Abs(b.Left+max(b.Width-.8, 0)-ends) > .81+1e-9 {
			t.Errorf("bar %d ends at %g, the first at %g", i, b.Left+b.Width, ends)
		}
	}
	if b := bars[0]; math.Abs(b.BeyondLeft-ends) > 1e-9 || math.Abs(b.BeyondLeft+b.Beyond-b.At) > 1e-9 {
		t.Errorf("beyond the first: %+v", b)
	}
	if b := bars[1]; b.Beyond != 0 || b.At < b.Left || b.At > b.Left+b.Width {
		t.Errorf("within the second: %+v", b)
	}
	if b := bars[2]; b.BeyondLeft != b.At || math.Abs(b.BeyondLeft+b.Beyond-b.Left) > 1e-9 || b.At >= b.Left {
		t.Errorf("below the third: %+v", b)
	}
	if bars[3] != (rangeBar{}) {
		t.Errorf("nothing was measured: %+v", bars[3])
	}
}

func TestCostsAreSteps(t *testing.T) {
	steps := costSteps(&Cost{Cores: 6, Memory: 2, Egress: 4, Total: 12})
	at := 0.0
	for _, s := range steps[:3] {
		if math.Abs(s.Left-at) > 1e-9 {
			t.Errorf("%s begins at %g, the one before ends at %g", s.Name, s.Left, at)
		}
		at += s.Width
	}
	if math.Abs(at-100) > 1e-9 || !steps[3].Whole || steps[3].Left != 0 || steps[3].Width != 100 {
		t.Errorf("the parts come to %g %%: %+v", at, steps)
	}
	if costSteps(nil) != nil || costSteps(&Cost{}) != nil {
		t.Error("nothing has a cost")
	}
}

func TestWhatIsUsedUpFirstIsMarked(t *testing.T) {
	for i, u := range []ModelUse{{BusiestShard: .3, BusiestStore: .2, BusiestNetwork: .1}, {BusiestShard: .1, BusiestStore: 1.4}, {BusiestNetwork: .01}} {
		for k, row := range usedRows(u.used()...) {
			if row.Binding != (k == i) || row.Width > 100 {
				t.Errorf("%+v: %+v", u, row)
			}
		}
	}
	for _, row := range usedRows(ModelUse{}.used()...) {
		if row.Binding {
			t.Error("of nothing something is used up first")
		}
	}
}

// The fan says in words what it shows, and there is none of what nobody ever gets.
func TestFan(t *testing.T) {
	r := New(sampleModelled(t))
	f := fan(r)
	if f == nil {
		t.Fatal("no fan")
	}
	for _, want := range []string{"With 20\u202f000 sessions 41", "with 2\u202f500\u202f000 sessions 410", "Measured were audiences up to 20\u202f000"} {
		if !strings.Contains(f.Says, want) {
			t.Errorf("no %q in %s", want, f.Says)
		}
	}
	if plot := string(f.Plot); strings.Count(plot, `class="within"`) != 1 || strings.Count(plot, `class="beyond"`) != 3 || !strings.Contains(plot, "objective 1") || strings.Contains(plot, "NaN") {
		t.Error(plot)
	}
	r.Model.Fan[2].HighMs = Millis(math.Inf(1))
	if fan(r) != nil {
		t.Error("never is drawn")
	}
	if fan(New(sampleSmall(t))) != nil {
		t.Error("what was measured has a fan")
	}
}

func TestPredictedAgainstMeasured(t *testing.T) {
	plot := string(heldOutPlot([]heldOutPoint{{1900, 2100, 1950, 2500}, {20, 50, 40, 60}}))
	if strings.Count(plot, "<circle") != 2 || strings.Contains(plot, "NaN") {
		t.Error(plot)
	}
	if heldOutPlot(nil) != "" || heldOutPlot([]heldOutPoint{{0, 1, 1, 1}}) != "" {
		t.Error("nothing is drawn")
	}
}
