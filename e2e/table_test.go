package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/e2e/internal/load"
)

// A load that was held up may have seen the hints of a longer time at once; one that was not is held to the pace.
func TestThePaceThatIsAllowed(t *testing.T) {
	begun := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var hinted []time.Time
	for i := range 300 { // 60 a second, for five seconds
		hinted = append(hinted, begun.Add(time.Duration(i)*time.Second/60))
	}
	for _, c := range []struct {
		pace   int
		heldUp time.Duration
		over   bool
	}{{60, 0, false}, {55, 0, false}, {50, 0, true}, {50, time.Second, false}, {40, time.Second, true}} {
		var r Row
		r.take(load.Report{Hinted: hinted, HeldUp: c.heldUp}, c.pace)
		if over := r.HintedPerSecond > r.allowed(); over != c.over {
			t.Errorf("%.0f a second where the pace is %d, held up for %v: too fast %v, want %v", r.HintedPerSecond, c.pace, c.heldUp, over, c.over)
		}
		if by := r.bySecond(); !slices.Equal(by, []int{60, 60, 60, 60, 60}) {
			t.Errorf("in each second: %v", by)
		}
	}
	if by := new(Row).bySecond(); by != nil {
		t.Errorf("nobody was sent away, in each second: %v", by)
	}
}
