package verdict

import (
	"fmt"
	"math"
)

// Finding is what can be said of a change when one of some size matters.
type Finding string

// The findings. What is more is worse.
const (
	Worse  Finding = "worse"
	Better Finding = "better"
	Same   Finding = "no change"
	// Unclear: the interval has changes in it that matter, and others.
	Unclear Finding = "cannot tell"
)

// MinPairs is the fewest pairs that anything is said from.
const MinPairs = 5

// Against says whether a change is at least as large as the least one that matters, for all that its interval says. The reason is why that cannot
// be told, and what would tell.
func (e Effect) Against(least float64) (Finding, string) {
	switch {
	case e.Pairs < MinPairs:
		return Unclear, fmt.Sprintf("%d blocks to compare; it takes %d at least", e.Pairs, MinPairs)
	case e.Low > least:
		return Worse, ""
	case e.High < -least:
		return Better, ""
	case e.Low >= -least && e.High <= least:
		return Same, ""
	}
	far := math.Abs(math.Abs(e.Change) - least)
	return Unclear, fmt.Sprintf("the interval has changes in it that matter, and others; %s would tell", e.pairsFor(far))
}
