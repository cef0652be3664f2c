package verdict

import (
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// modelledRun is the good run as a model has it: with an interval, and without a generator.
func modelledRun(share float64) Measurements {
	m := goodRun()
	m.Generator = Generator{Modelled: true}
	m.Posts.SendLag = measure.NewHistogram()
	m.ErrorShares = map[string]float64{"delivery": share, "": 9}
	return m
}

func TestWhatIsModelledIsJudgedByItsInterval(t *testing.T) {
	for _, tt := range []struct {
		share float64
		bound string
		want  Verdict
	}{
		{0.5, "1s", Pass},            // 200 ms ± 100
		{0.5, "250ms", Inconclusive}, // the bound is inside
		{0.5, "150ms", Inconclusive}, // also from above
		{0.5, "99ms", Fail},          // all of the interval is beyond
		{5, "1s", Inconclusive},      // ± 1 s
		{0, "201ms", Pass},
	} {
		j := Judge(modelledRun(tt.share), []v1alpha1.Threshold{threshold("delivery", "p99.9", tt.bound)})
		if j.Verdict != tt.want || !j.Health.Healthy || len(j.Health.Unknown) > 0 {
			t.Errorf("± %g of 200 ms below %s: %s, %v", tt.share, tt.bound, j.Verdict, j.Reasons)
		}
	}
	// A metric without an interval of its own has the widest.
	if j := Judge(modelledRun(0.01), []v1alpha1.Threshold{threshold("timeTo999", "max", "1s")}); j.Verdict != Inconclusive {
		t.Errorf("200 ms ± 1.8 s below 1s: %s", j.Verdict)
	}
	// Counts have none.
	if j := Judge(modelledRun(5), []v1alpha1.Threshold{threshold("lost", "", "0")}); j.Verdict != Pass {
		t.Errorf("lost: %s, %v", j.Verdict, j.Reasons)
	}
}

func TestWhatIsIndicativeFailsAndNeverPasses(t *testing.T) {
	for bound, want := range map[string]Verdict{"1s": Inconclusive, "99ms": Fail} {
		m := modelledRun(0.5)
		m.Indicative = "far from all that was measured"
		j := Judge(m, []v1alpha1.Threshold{threshold("delivery", "p99.9", bound), threshold("lost", "", "0")})
		if j.Verdict != want || !strings.Contains(strings.Join(j.Reasons, " "), "far from all") {
			t.Errorf("below %s: %s, %v", bound, j.Verdict, j.Reasons)
		}
		for _, r := range j.Results {
			if r.Verdict == Pass {
				t.Errorf("below %s: %s passes in a run that did not", bound, r.Title)
			}
		}
	}
}
