package calibrate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// USL is the Universal Scalability Law (Gunther, 1993) of the same runs: with a post to n thousand sessions there are n thousand deliveries to be
// made at once, and X(n) = λ n / (1 + σ (n − 1) + κ n (n − 1)) is how many are made in a second, n a post over the time to its last.
// It knows nothing of shards, generators or cores: a check by other means.
type USL struct {
	// Deliveries a second of a thousand at once; the share of the work that does not get faster with more at once; and what each pair costs besides.
	Lambda Interval `json:"lambda"`
	Sigma  Interval `json:"sigma"`
	Kappa  Interval `json:"kappa"`
	// Broadcasts and runs that it is fitted to.
	Broadcasts int `json:"broadcasts"`
	Runs       int `json:"runs"`
	// Of the bootstrap, and how far the broadcasts lie around the curve, in logarithms.
	draws   []law
	scatter float64
}

// Interval is a value and its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// law is the three numbers.
type law struct{ lambda, sigma, kappa float64 }

// seconds is the time to the last of n thousand.
func (l law) seconds(n float64) float64 {
	return (1 + l.sigma*(n-1) + l.kappa*n*(n-1)) / l.lambda * 1000
}

// thousand is what n is counted in.
const thousand = 1000

// sample is one broadcast.
type sample struct {
	run        string
	n, seconds float64
}

// FitUSL fits the law to the broadcasts of one size of payload.
func FitUSL(all []Observation, bytes int, seed uint64) (USL, error) {
	samples, runs, err := samplesOf(all, bytes)
	if err != nil {
		return USL{}, err
	}
	best, err := leastSquares(samples, nil)
	if err != nil {
		return USL{}, err
	}
	u := USL{Broadcasts: len(samples), Runs: len(runs)}
	for _, s := range samples {
		d := math.Log(s.seconds / best.seconds(s.n))
		u.scatter += d * d
	}
	u.scatter = math.Sqrt(u.scatter / float64(max(len(samples)-3, 1)))
	random := rand.New(rand.NewPCG(seed, hash("law")))
	for range resamples {
		times := map[string]float64{}
		for range runs {
			times[runs[random.IntN(len(runs))]]++
		}
		if drawn, err := leastSquares(samples, times); err == nil { // a draw of too few sizes has no law
			u.draws = append(u.draws, drawn)
		}
	}
	u.Lambda = u.interval(best.lambda, func(l law) float64 { return l.lambda })
	u.Sigma = u.interval(best.sigma, func(l law) float64 { return l.sigma })
	u.Kappa = u.interval(best.kappa, func(l law) float64 { return l.kappa })
	return u, nil
}

// samplesOf are the broadcasts of one size of payload, and the runs that have some.
func samplesOf(all []Observation, bytes int) (samples []sample, runs []string, err error) {
	for _, o := range all {
		if o.Point.HeldOut {
			return nil, nil, fmt.Errorf("fit the law: %s is held out", o.Point.Name)
		}
		for _, b := range o.Broadcasts {
			if b.Bytes != bytes || b.LastMs <= 0 {
				continue
			}
			samples = append(samples, sample{o.Point.Name, float64(b.Recipients) / thousand, b.LastMs / 1000})
			if !slices.Contains(runs, o.Point.Name) {
				runs = append(runs, o.Point.Name)
			}
		}
	}
	slices.Sort(runs)
	return samples, runs, nil
}

func (u USL) interval(value float64, of func(l law) float64) Interval {
	var values []float64
	for _, d := range u.draws {
		values = append(values, of(d))
	}
	if len(values) == 0 {
		return Interval{value, math.Inf(-1), math.Inf(1)}
	}
	slices.Sort(values)
	return Interval{value, min(quantile(values, 0.025), value), max(quantile(values, 0.975), value)}
}

// Last is the law's time to the last of so many sessions in milliseconds, with an interval that holds a further broadcast in 95 % of cases.
func (u USL) Last(sessions int) Interval {
	n := float64(sessions) / thousand
	at := func(l law) float64 { return 1000 * l.seconds(n) }
	i := u.interval(at(law{u.Lambda.Value, u.Sigma.Value, u.Kappa.Value}), at)
	return i.widened(u.scatter)
}

// widened adds a scatter, in logarithms, to what the interval is for already.
func (i Interval) widened(scatter float64) Interval {
	extra := normal95 * scatter
	low, high := math.Log(i.Value/i.Low), math.Log(i.High/i.Value)
	return Interval{i.Value, i.Value * math.Exp(-math.Hypot(low, extra)), i.Value * math.Exp(math.Hypot(high, extra))}
}

// apart says whether two intervals have nothing in common.
func (i Interval) apart(o Interval) bool { return i.High < o.Low || o.High < i.Low }

// leastSquares fits seconds = a + b n + c n², by the squares of relative errors. The law has λ = 1000 / (a + b + c), σ = 1 − a λ / 1000 and
// κ = c λ / 1000; none of the three may be below 0.
func leastSquares(samples []sample, times map[string]float64) (law, error) {
	var kept []sample
	sizes := map[float64]bool{}
	for _, s := range samples {
		if times == nil || times[s.run] > 0 {
			kept = append(kept, s)
			sizes[math.Round(100*s.n)] = true
		}
	}
	if len(sizes) < 3 {
		return law{}, errors.New("fit the law: broadcasts of at least three sizes are needed")
	}
	// Terms that come out below 0 are left out, one after the other, the highest first: nothing gets cheaper with more at once.
	terms := []int{0, 1, 2}
	for len(terms) > 0 {
		k, err := polynomial(kept, times, terms)
		if err != nil {
			return law{}, err
		}
		worst := -1
		for i := range terms {
			if k[i] < 0 {
				worst = i
			}
		}
		if worst >= 0 {
			terms = slices.Delete(terms, worst, worst+1)
			continue
		}
		var by [3]float64
		for i, power := range terms {
			by[power] = k[i]
		}
		lambda := thousand / (by[0] + by[1] + by[2])
		return law{lambda, 1 - by[0]*lambda/thousand, by[2] * lambda / thousand}, nil
	}
	return law{}, errors.New("fit the law: the times do not grow with the sessions")
}

// polynomial fits the coefficients of these powers of n.
func polynomial(samples []sample, times map[string]float64, powers []int) ([]float64, error) {
	a := mat.NewDense(len(samples), len(powers), nil)
	b := mat.NewVecDense(len(samples), nil)
	for i, s := range samples {
		w := 1.0
		if times != nil {
			w = math.Sqrt(times[s.run])
		}
		for k, power := range powers {
			a.Set(i, k, w*math.Pow(s.n, float64(power))/s.seconds)
		}
		b.SetVec(i, w)
	}
	var qr mat.QR
	qr.Factorize(a)
	var x mat.VecDense
	if err := qr.SolveVecTo(&x, false, b); err != nil {
		return nil, fmt.Errorf("fit the law: %w", err)
	}
	return x.RawVector().Data, nil
}
