package calibrate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/mat"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

// Fitted are the coefficients that the grid tells apart. The others are taken over from the calibration that the fit begins with.
func Fitted() []calibration.Name {
	return []calibration.Name{
		calibration.Write, calibration.Byte, calibration.Receive, calibration.ReceiveByte, calibration.Ping, calibration.PingRead, calibration.Rouse, calibration.RouseRead, calibration.PostShard,
		calibration.PostStore, calibration.StoreIdle, calibration.ShardIdle, calibration.ReaderIdle, calibration.PosterIdle, calibration.Switch, calibration.PostAuthor,
		calibration.Acknowledge, calibration.AcknowledgeSpread, calibration.Begin, calibration.Wake,
	}
}

// Parameter is a fitted coefficient with its 95 % interval, from a bootstrap over the runs.
type Parameter struct {
	Name          calibration.Name `json:"name"`
	Value         float64          `json:"value"`
	Low           float64          `json:"low"`
	High          float64          `json:"high"`
	StandardError float64          `json:"standardError"`
	// What the fit began with.
	Began float64 `json:"began"`
}

// Fit is what a fit came to.
type Fit struct {
	Calibration calibration.Calibration `json:"-"`
	Parameters  []Parameter             `json:"parameters"`
	// All figures of all fitted runs.
	Figures []Figure `json:"figures"`
	// The mean of the squared errors, each in its tolerance; what was made least, which has the prior in it and bears with single bad figures; and after how many
	// steps nothing got better.
	MeanSquare float64 `json:"meanSquare"`
	Loss       float64 `json:"loss"`
	Steps      int     `json:"steps"`
	// One list a resample: by how much the logarithms of the parameters differ in it.
	draws [][]float64
}

const (
	mostSteps = 40
	// A step that improves the sum of squares by less than this share ends the fit, and so does one after which a figure is off by a thirtieth of its tolerance
	// in the mean: no run shows more than that.
	goodEnough  = 1e-4
	closeEnough = 1e-3
	// pull is the standard deviation, in logarithms, of the weak prior around the values that the fit begins with: it holds what the figures do not tell.
	pull = 1.5
	// heavy is the error in tolerances beyond which a figure pulls no stronger (Huber, 1964), so that one disturbed run does not bend all.
	heavy = 2.5
	// resamples of the bootstrap.
	resamples = 1000
)

// differences are over how much of a parameter's logarithm the Jacobian is: first wide, since the turns of the model's sweeps and what is drawn make its figures
// rough, and a step that follows the roughness leads nowhere; then, where no step is better, narrow.
var differences = []float64{0.12, 0.04}

// run is an observation and what was played, which is read once.
type run struct {
	Observation
	scenario *v1alpha1.Scenario
}

func runsOf(all []Observation) (out []run, err error) {
	for _, o := range all {
		s, err := o.Point.Scenario(o.Seed)
		if err != nil {
			return nil, err
		}
		out = append(out, run{o, s})
	}
	slices.SortFunc(out, func(a, b run) int { return cmp.Compare(a.Point.Name, b.Point.Name) })
	return out, nil
}

// fitter is a fit under way.
type fitter struct {
	runs   []run
	base   calibration.Calibration
	names  []calibration.Name
	begins []float64
}

// Run fits by least squares on the logarithms of all figures, with the model itself as the forward function: Levenberg and Marquardt's method, whose
// path is a function of the observations and the calibration that it begins with. The model's figures are rough, so that it may end where others are better:
// it begins with each of the others as well, all with base's prior, and the least loss counts. Held-out runs must not be among the observations.
func Run(base calibration.Calibration, others []calibration.Calibration, all []Observation, seed uint64) (Fit, error) {
	for _, o := range all {
		if o.Point.HeldOut {
			return Fit{}, fmt.Errorf("fit: %s is held out", o.Point.Name)
		}
	}
	if len(all) < 3 {
		return Fit{}, fmt.Errorf("fit: %d runs; at least 3 are needed, and a grid of six sizes to say anything", len(all))
	}
	runs, err := runsOf(all)
	if err != nil {
		return Fit{}, err
	}
	f := fitter{runs: runs, base: base, names: Fitted()}
	f.begins = f.logs(base)
	best, err := f.descend(f.begins)
	if err != nil {
		return Fit{}, err
	}
	for _, c := range others {
		other, err := f.descend(f.logs(c))
		if err != nil {
			return Fit{}, err
		}
		if other.loss < best.loss {
			best = other
		}
	}
	return f.result(best, seed)
}

// logs are a calibration's coefficients in the form in which they are fitted.
func (f fitter) logs(c calibration.Calibration) (out []float64) {
	for _, name := range f.names {
		out = append(out, toLog(name, c.Get(name).Value))
	}
	return out
}

// found is where a descent ended.
type found struct {
	at       []float64
	figures  []Figure
	jacobian *mat.Dense
	loss     float64
	steps    int
}

// descend steps down from some parameters until nothing gets better.
func (f fitter) descend(begin []float64) (found, error) {
	at := slices.Clone(begin)
	now, err := f.figures(at)
	if err != nil {
		return found{}, err
	}
	damping := 1e-2
	steps := 0
	var jacobian *mat.Dense
	width := 0
	for steps < mostSteps {
		steps++
		if jacobian, err = f.jacobian(at, now, differences[width]); err != nil {
			return found{}, err
		}
		better := false
		for damping < 1e8 {
			step, err := solve(jacobian, weighted(now), f.priors(at), damping)
			if err != nil {
				return found{}, err
			}
			next := make([]float64, len(at))
			for i := range at {
				next[i] = at[i] + max(min(step[i], 0.7), -0.7)
			}
			tried, err := f.figures(next)
			if err != nil {
				return found{}, err
			}
			before, after := f.loss(at, now), f.loss(next, tried)
			if after < before {
				better = before-after > goodEnough*before
				at, now, damping = next, tried, max(damping/5, 1e-6)
				break
			}
			damping *= 5
		}
		if misfit(now) <= closeEnough*float64(len(now)) || !better && width == len(differences)-1 {
			break
		}
		if !better {
			width, damping = width+1, 1e-2
		}
	}
	if jacobian, err = f.jacobian(at, now, differences[0]); err != nil {
		return found{}, err
	}
	return found{at, now, jacobian, f.loss(at, now), steps}, nil
}

// figures plays all runs with these parameters, as many at once as there are cores.
func (f fitter) figures(at []float64) ([]Figure, error) {
	return playAll(f.runs, f.with(at))
}

func playAll(runs []run, c calibration.Calibration) ([]Figure, error) {
	by := make([][]Figure, len(runs))
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i, o := range runs {
		all.Go(func() error {
			r, err := play(o.Point, o.scenario, c)
			by[i] = figures(o.Observation, r)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(by...), nil
}

// toLog is the form in which a coefficient is fitted: its logarithm, since it is above 0, or that of what it has above 1, which a spread must be.
func toLog(name calibration.Name, value float64) float64 {
	if name == calibration.AcknowledgeSpread {
		value = max(value-1, 1e-3)
	}
	return math.Log(value)
}

func fromLog(name calibration.Name, log float64) float64 {
	if name == calibration.AcknowledgeSpread {
		return 1 + math.Exp(log)
	}
	return math.Exp(log)
}

// with is the calibration with these parameters.
func (f fitter) with(at []float64) calibration.Calibration {
	c := f.base
	c.Coefficients = slices.Clone(c.Coefficients)
	for i, name := range f.names {
		for k := range c.Coefficients {
			if c.Coefficients[k].Name == name {
				c.Coefficients[k].Value = fromLog(name, at[i])
			}
		}
	}
	return c
}

// misfit is the sum of what the figures cost.
func misfit(now []Figure) (sum float64) {
	for _, one := range now {
		r := math.Abs(one.residual())
		if r > heavy {
			sum += heavy * (2*r - heavy)
		} else {
			sum += r * r
		}
	}
	return sum
}

// loss is that with what the prior costs.
func (f fitter) loss(at []float64, now []Figure) float64 {
	sum := misfit(now)
	for _, r := range f.priors(at) {
		sum += r * r
	}
	return sum
}

// priors are how far the parameters are from where they began, in the prior's deviations.
func (f fitter) priors(at []float64) []float64 {
	out := make([]float64, len(at))
	for i := range at {
		out[i] = (at[i] - f.begins[i]) / pull
	}
	return out
}

// weighted are the residuals, with the square root of the weight that each has by how heavy it is.
func weighted(now []Figure) (out []row) {
	for _, one := range now {
		r := one.residual()
		w := 1.0
		if a := math.Abs(r); a > heavy {
			w = math.Sqrt(heavy / a)
		}
		out = append(out, row{one.Run, r, w})
	}
	return out
}

type row struct {
	run              string
	residual, weight float64
}

// jacobian is how the residuals change with the parameters, by differences over so much of their logarithms.
func (f fitter) jacobian(at []float64, now []Figure, width float64) (*mat.Dense, error) {
	j := mat.NewDense(len(now), len(at), nil)
	for p := range at {
		moved := slices.Clone(at)
		moved[p] += width
		then, err := f.figures(moved)
		if err != nil {
			return nil, err
		}
		for i := range now {
			j.Set(i, p, (then[i].residual()-now[i].residual())/width)
		}
	}
	return j, nil
}

// solve is the damped Gauss–Newton step: least squares over the weighted rows, the priors, and the damping in proportion to what each parameter does.
func solve(j *mat.Dense, rows []row, priors []float64, damping float64) ([]float64, error) {
	n := len(priors)
	a, b := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	for i, r := range rows {
		if r.weight == 0 {
			continue
		}
		w := r.weight * r.weight
		for p := range n {
			jp := j.At(i, p)
			b.SetVec(p, b.AtVec(p)-w*jp*r.residual)
			for q := p; q < n; q++ {
				a.SetSym(p, q, a.At(p, q)+w*jp*j.At(i, q))
			}
		}
	}
	for p := range n {
		b.SetVec(p, b.AtVec(p)-priors[p]/pull)
		a.SetSym(p, p, (a.At(p, p)+1/(pull*pull))*(1+damping))
	}
	var factors mat.Cholesky
	if !factors.Factorize(a) {
		return nil, errors.New("fit: the figures do not tell the parameters apart")
	}
	var x mat.VecDense
	if err := factors.SolveVecTo(&x, b); err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	return x.RawVector().Data, nil
}

// result adds the intervals: runs are drawn again with replacement, and the fit is moved to each draw by one step of the linear problem.
func (f fitter) result(best found, seed uint64) (Fit, error) {
	at, now := best.at, best.figures
	out := Fit{Calibration: f.with(at), Figures: now, Steps: best.steps, Loss: best.loss}
	rows := weighted(now)
	for _, r := range rows {
		out.MeanSquare += r.residual * r.residual / float64(len(rows))
	}
	priors := f.priors(at)
	random := rand.New(rand.NewPCG(seed, hash("bootstrap")))
	for range resamples {
		times := map[string]float64{}
		for range f.runs {
			times[f.runs[random.IntN(len(f.runs))].Point.Name]++
		}
		drawn := slices.Clone(rows)
		for i := range drawn {
			drawn[i].weight *= math.Sqrt(times[drawn[i].run])
		}
		step, err := solve(best.jacobian, drawn, priors, 0)
		if err != nil {
			return Fit{}, err
		}
		out.draws = append(out.draws, step)
	}
	for p, name := range f.names {
		var values []float64
		for _, d := range out.draws {
			values = append(values, fromLog(name, at[p]+d[p]))
		}
		slices.Sort(values)
		value := fromLog(name, at[p])
		k := Parameter{Name: name, Value: value, Began: fromLog(name, f.begins[p]), Low: min(quantile(values, 0.025), value), High: max(quantile(values, 0.975), value)}
		k.StandardError = (k.High - k.Low) / (2 * normal95)
		out.Parameters = append(out.Parameters, k)
		for i := range out.Calibration.Coefficients {
			if c := &out.Calibration.Coefficients[i]; c.Name == name {
				c.StandardError = k.StandardError
			}
		}
	}
	return out, nil
}

// normal95 is how many standard deviations to either side hold 95 % of a normal distribution.
const normal95 = 1.959963984540054

// quantile is that of sorted values, between the two nearest.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
