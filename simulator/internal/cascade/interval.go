package cascade

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is the mean of a figure over seeds, and the 95 % interval of the mean by Student's t: how well the study knows it, not how much it
// differs between seeds, and nothing of how true the assumptions are.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// IntervalOf takes a value a seed, two at least.
func IntervalOf(values []float64) Interval {
	mean, deviation := stat.MeanStdDev(values, nil)
	n := float64(len(values))
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975) * deviation / math.Sqrt(n)
	return Interval{mean, mean - half, mean + half}
}

// figure is a value a seed.
type figure []float64

// of takes one from each run.
func of(runs []Run, value func(Run) int) figure {
	out := make(figure, len(runs))
	for i, r := range runs {
		out[i] = float64(value(r))
	}
	return out
}

// pooled is a share of all people of all seeds together, so that a seed in which hardly anybody is concerned counts for hardly anything. Its
// values are those whose mean is that share and whose spread is the share's (linearised: Cochran 1977, Sampling techniques, section 6.3).
func pooled(part, whole figure) figure {
	all, mean := stat.Mean(part, nil), stat.Mean(whole, nil)
	out := make(figure, len(part))
	if mean == 0 {
		return out
	}
	for i := range out {
		out[i] = all/mean + (part[i]-all/mean*whole[i])/mean
	}
	return out
}

// less is seed by seed how much more it is than another; what both have in common cancels.
func (f figure) less(other figure) Interval {
	out := make(figure, len(f))
	for i := range f {
		out[i] = f[i] - other[i]
	}
	return IntervalOf(out)
}

// count is the interval of what is never below 0.
func (f figure) count() Interval { return IntervalOf(f).Count() }

// Count is the interval of what is never below 0.
func (i Interval) Count() Interval {
	i.Low = max(i.Low, 0)
	return i
}

// share is the interval of a share.
func (f figure) share() Interval {
	i := f.count()
	i.High = min(i.High, 1)
	return i
}
