package verdict

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

const (
	// MinBlocks is the fewest blocks that a bootstrap is worth anything over.
	MinBlocks = 10

	resamples = 2000
)

// SamplesFor returns how many independent samples without a miss it takes to say, at a confidence (0 to 1), that the p-th
// percentile is below a bound: the smallest n with (p/100)^n <= 1 − confidence. 2,995 for p99.9 at 95 %.
func SamplesFor(p, confidence float64) int64 {
	return int64(math.Ceil(math.Log(1-confidence)/math.Log(p/100) - 1e-9))
}

// bootstrap is what resampling whole blocks says about a percentile and a bound.
type bootstrap struct {
	blocks  int
	samples int64
	// The share of resamples in which the percentile stayed below the bound.
	held float64
	// The share of blocks that may have misses, at most, though none here had, at the confidence asked for; 0 if one had.
	unseen float64
}

// resample draws as many blocks as there are, with replacement, again and again, and looks each time whether the p-th
// percentile of their deliveries is below the bound. The same input gives the same answer.
func resample(blocks []Block, p, confidence float64, below time.Duration) bootstrap {
	type tally struct{ n, missed int64 }
	var tallies []tally
	var out bootstrap
	var missed int64
	for _, b := range blocks {
		t := tally{b.Latency.Count() + b.Lost, b.Latency.CountAtOrAbove(below) + b.Lost}
		if t.n > 0 {
			tallies = append(tallies, t)
			out.samples += t.n
			missed += t.missed
		}
	}
	out.blocks = len(tallies)
	if out.blocks == 0 {
		return out
	}
	if missed == 0 {
		out.unseen = 1 - math.Pow(1-confidence, 1/float64(out.blocks))
	}
	random := rand.New(rand.NewPCG(uint64(out.blocks), uint64(out.samples))) // resampling, not secrets
	held := 0
	for range resamples {
		var n, misses int64
		for range tallies {
			t := tallies[random.IntN(len(tallies))]
			n += t.n
			misses += t.missed
		}
		if misses <= n-measure.Rank(p, n) {
			held++
		}
	}
	out.held = float64(held) / resamples
	return out
}

// doubt returns why the samples do not carry a claim about the next run; "" if they do.
func (b bootstrap) doubt(p, confidence float64) string {
	need := SamplesFor(p, confidence)
	switch {
	case b.samples < need:
		return fmt.Sprintf("%d samples; p%g at %g %% confidence takes %d", b.samples, p, 100*confidence, need)
	case b.blocks < MinBlocks:
		return fmt.Sprintf("%d blocks (broadcast × shard); confidence takes %d, since deliveries within one are correlated", b.blocks, MinBlocks)
	case b.held < confidence:
		return fmt.Sprintf("the bound held in %.1f %% of %d resamples of %d blocks; %g %% confidence asks for more", 100*b.held, resamples, b.blocks, 100*confidence)
	}
	return ""
}

func (b bootstrap) String() string {
	s := fmt.Sprintf("the bound held in %.1f %% of %d resamples of %d blocks", 100*b.held, resamples, b.blocks)
	if b.unseen > 0 {
		s += fmt.Sprintf("; none had a miss, so up to %.0f %% of blocks may still have some", 100*b.unseen)
	}
	return s
}
