package verdict

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Effect is how much one thing changes another, from pairs: 0.02 is 2 % more. Low to High is its 95 % interval.
type Effect struct {
	Pairs             int
	Change, Low, High float64
}

// EffectOf is the geometric mean of some ratios, with and without, and a bootstrap interval over them. A pair is the unit, since what
// happened within one is correlated. The same input gives the same answer.
func EffectOf(ratios []float64) Effect {
	n := len(ratios)
	if n == 0 {
		return Effect{}
	}
	logs := make([]float64, n)
	for i, r := range ratios {
		logs[i] = math.Log(r)
	}
	random := rand.New(rand.NewPCG(uint64(n), 95)) // resampling, not secrets
	means := make([]float64, resamples)
	for k := range means {
		for range n {
			means[k] += logs[random.IntN(n)]
		}
		means[k] /= float64(n)
	}
	slices.Sort(means)
	var sum float64
	for _, l := range logs {
		sum += l
	}
	at := func(share float64) float64 { return math.Expm1(means[int(share*float64(resamples-1)+0.5)]) }
	return Effect{n, math.Expm1(sum / float64(n)), at(0.025), at(0.975)}
}

// Effect is what the slow readers do to the others' time to the last.
func (s Slow) Effect() Effect {
	ratios := make([]float64, len(s.Pairs))
	for i, p := range s.Pairs {
		ratios[i] = float64(p.Slow) / float64(p.Reading)
	}
	return EffectOf(ratios)
}

func (e Effect) String() string {
	return fmt.Sprintf("%+.2f %%, 95 %% interval %+.2f to %+.2f %%, %d pairs", 100*e.Change, 100*e.Low, 100*e.High, e.Pairs)
}
