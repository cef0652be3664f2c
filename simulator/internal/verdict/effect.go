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

// within judges whether the change is at most a bound, up or down: Fail if the interval lies wholly beyond it, Pass if the change is within
// it. Inconclusive where the change is beyond it and the interval reaches back, and where the interval is so wide that a change as large as
// the bound could not be told from none: then that none was seen says nothing.
func (e Effect) within(bound float64) (Verdict, string) {
	far := math.Abs(e.Change)
	switch half := (e.High - e.Low) / 2; {
	case e.Low > bound || e.High < -bound:
		return Fail, fmt.Sprintf("%.4g", far)
	case far > bound:
		return Inconclusive, fmt.Sprintf("%.4g, but the interval reaches below the bound; %s would tell", far, e.pairsFor(far-bound))
	case half > bound:
		return Inconclusive, fmt.Sprintf("%.4g, but the interval is so wide that a change as large as the bound could not be told from none; %s would tell", far, e.pairsFor(bound))
	}
	return Pass, ""
}

// below judges whether the change is less than a bound for all that the interval says: Pass if all of it is, Fail if none of it is.
func (e Effect) below(bound float64) (Verdict, string) {
	switch {
	case e.High <= bound:
		return Pass, ""
	case e.Low > bound:
		return Fail, fmt.Sprintf("%.4g", e.High)
	case e.Change >= bound:
		return Inconclusive, fmt.Sprintf("%.4g, but the interval reaches below the bound; %s would tell", e.High, e.pairsFor(e.Change-bound))
	}
	return Inconclusive, fmt.Sprintf("%.4g, but the change itself is below the bound; %s would tell", e.High, e.pairsFor(bound-e.Change))
}

// pairsFor says how many pairs it would take for the interval to be no further than that from the change, if the change stays what it is:
// the interval's width goes with one over the root of their number.
func (e Effect) pairsFor(half float64) string {
	pairs := math.Ceil(float64(e.Pairs)*math.Pow((e.High-e.Low)/2/half, 2) - 1e-9)
	if !(pairs < 10_000) {
		return "no number of pairs that could be run"
	}
	return fmt.Sprintf("about %d pairs", max(int(pairs), e.Pairs+1))
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
