package forecast

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// assessment is all plays, as answers.
type assessment struct {
	// Of the play whose figures the report has, and of the same played in brief.
	shown, base []answer
	// One list a seed, the base first.
	seeds [][]answer
	moves []move
}

const (
	// normal95 is how many standard errors around a normal variable's mean hold it 95 times in a hundred.
	normal95 = 1.96
	// shownInputs is how many of the inputs that move the answer most a report has.
	shownInputs = 8
	// Grades, by how far a scenario is from what was measured; and what a worst held-out error above which costs a grade.
	farB, farC    = 4, 20
	heldOutEnough = 0.15
)

// assess fills in how good a run is, and what of it the verdict has to know.
func assess(run *report.Run, c Config, fleet model.Fleet, a assessment) {
	m := &report.Model{Seeds: max(c.Seeds, 1), PerSession: c.PerSession, Calibration: c.Calibration, Unmodelled: model.Unmodelled(c.Scenario, fleet), Use: run.Model.Use}
	m.Ranges, m.ExtrapolationFactor = ranges(c, fleet)
	m.Grade, m.GradeSays = grade(m.ExtrapolationFactor, c.Calibration)
	widen := modelError(c.Calibration)
	shares := map[string]float64{}
	for k, shown := range a.shown {
		half := a.half(k) + math.Log1p(widen)
		least, largest := a.spread(k)
		m.Answers = append(m.Answers, report.Answer{
			Name: shown.name, ValueMs: report.Millis(shown.ms), LowMs: report.Millis(shown.ms * math.Exp(-half)), HighMs: report.Millis(shown.ms * math.Exp(half)),
			LeastMs: report.Millis(least), LargestMs: report.Millis(largest),
		})
		if share := math.Expm1(half); !math.IsInf(share, 0) && !math.IsNaN(share) {
			shares[shown.metric] = max(shares[shown.metric], rounded(share))
			shares[""] = max(shares[""], rounded(share))
		}
	}
	m.Inputs = a.strongest()
	m.ErrorShare = shares[a.shown[0].metric]
	run.Model = m
	run.Label = report.Modelled
	if m.ExtrapolationFactor > 1 {
		run.Label = report.Extrapolated
	}
	run.Measurements.ErrorShares = shares
	if m.Grade == "D" {
		run.Measurements.Indicative = "grade D: " + m.GradeSays
	}
}

// half is the half width of the interval of an answer, in logarithms: what the coefficients and the seeds come to.
func (a assessment) half(k int) float64 {
	var sum float64
	for _, m := range a.moves {
		if change := logRatio(m.answers, a.base, k); m.uncertain {
			sum += float64(change * change)
		}
	}
	if n := len(a.seeds); n > 1 {
		var logs []float64
		mean := 0.0
		for _, s := range a.seeds {
			x := math.Log(s[k].ms)
			logs = append(logs, x)
			mean += x / float64(n)
		}
		for _, x := range logs {
			sum += float64((x-mean)*(x-mean)) / float64(n-1)
		}
	}
	return normal95 * math.Sqrt(sum)
}

// logRatio is how an answer changed. What is missing or never in either has changed in no way that could be added up.
func logRatio(moved, base []answer, k int) float64 {
	if k >= len(moved) || k >= len(base) || moved[k].ms <= 0 || base[k].ms <= 0 || math.IsInf(moved[k].ms, 0) || math.IsInf(base[k].ms, 0) {
		return 0
	}
	return math.Log(moved[k].ms / base[k].ms)
}

func (a assessment) spread(k int) (least, largest float64) {
	least, largest = a.shown[k].ms, a.shown[k].ms
	for _, s := range a.seeds {
		if k < len(s) {
			least, largest = min(least, s[k].ms), max(largest, s[k].ms)
		}
	}
	return least, largest
}

// strongest are the inputs that move the first answer most.
func (a assessment) strongest() []report.Input {
	var out []report.Input
	for _, m := range a.moves {
		m.shown.Change = rounded(math.Expm1(logRatio(m.answers, a.base, 0)))
		out = append(out, m.shown)
	}
	slices.SortStableFunc(out, func(x, y report.Input) int { return cmp.Compare(math.Abs(y.Change), math.Abs(x.Change)) })
	return out[:min(shownInputs, len(out))]
}

// modelError is what the model itself may be wrong by, as a share.
func modelError(c calibration.Calibration) float64 {
	worst, ok := c.Worst()
	if !ok {
		return c.UntestedError
	}
	return math.Expm1(math.Abs(math.Log1p(worst.Error())))
}

// grade says how far to trust what is so many times beyond what was measured.
func grade(factor float64, c calibration.Calibration) (letter, says string) {
	rank := 3
	switch {
	case factor <= 1:
		rank, says = 0, "within the range that was measured"
	case factor <= farB:
		rank, says = 1, fmt.Sprintf("up to %s times beyond what was measured", number(factor))
	case factor <= farC:
		rank, says = 2, fmt.Sprintf("%s times beyond what was measured: a rough estimate", number(factor))
	default:
		says = fmt.Sprintf("%s times beyond what was measured: indicative, run a test", number(factor))
	}
	worst, tested := c.Worst()
	switch {
	case !tested:
		rank = 3
		says += "; no run was held against this calibration, so the model is untested"
	case modelError(c) > heldOutEnough && rank < 3:
		rank++
		says += fmt.Sprintf("; a grade less, since it was wrong by %+.0f %% at %s", 100*worst.Error(), worst.Figure)
	}
	return string("ABCD"[rank]), says
}

func number(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// ranges holds what a scenario asks for against what was measured. Less of a rate than was measured is no extrapolation, since it is less of a load.
func ranges(c Config, f model.Fleet) (out []report.ModelRange, farthest float64) {
	farthest = 1
	for _, d := range calibration.Dimensions() {
		r := c.Calibration.Range(d)
		for _, value := range asked(c.Scenario, f, d) {
			factor := r.Factor(value)
			if (d == calibration.PostsPerSecond || d == calibration.SignInsPerSecond) && value < r.From {
				factor = 1
			}
			out = append(out, report.ModelRange{Dimension: string(d), From: r.From, To: r.To, Asked: value, Factor: rounded(factor)})
			farthest = max(farthest, factor)
		}
	}
	return out, rounded(farthest)
}

// rounded keeps nine decimals: the last bits of a logarithm are not the same on all architectures.
func rounded(v float64) float64 { return math.Round(v*1e9) / 1e9 }

// asked is what a scenario has of a dimension, or the least and the most of it.
func asked(s *v1alpha1.Scenario, f model.Fleet, d calibration.Dimension) []float64 {
	sessions := float64(s.Population.Sessions()) * peak(s)
	switch d {
	case calibration.Sessions:
		return []float64{sessions}
	case calibration.SessionsPerShard:
		return []float64{math.Ceil(sessions / float64(f.Shards))}
	case calibration.Shards:
		return []float64{float64(f.Shards)}
	case calibration.Stores:
		return []float64{float64(f.Stores)}
	case calibration.MessageBytes:
		return sizes(s)
	case calibration.PostsPerSecond:
		if s.Cascade != nil {
			return []float64{float64(s.Cascade.Coalition.Channels)} // in the second in which the hub posts
		}
		if s.Chatter == nil {
			return []float64{float64(len(s.Broadcasts)) / max(s.Phases.Measure.Std().Seconds(), 1)}
		}
		return []float64{s.Chatter.RatePerSecond * peak(s)}
	case calibration.SignInsPerSecond:
		return []float64{sessions / max(s.Phases.Connect.ConnectsOver(s.Population.Sessions()), time.Millisecond).Seconds()}
	}
	return nil
}

// peak is the largest factor of the chatter's shape.
func peak(s *v1alpha1.Scenario) float64 {
	most := 1.0
	if s.Chatter != nil && s.Chatter.Shape != nil {
		for h := range 7 * 24 {
			most = max(most, s.Chatter.Shape.At(time.Duration(h)*time.Hour))
		}
	}
	return most
}

// sizes are the different sizes of posts, ascending.
func sizes(s *v1alpha1.Scenario) []float64 {
	var out []float64
	for _, b := range s.Broadcasts {
		out = append(out, float64(b.MessageBytes))
	}
	if s.Chatter != nil {
		out = append(out, float64(s.Chatter.MessageBytes))
	}
	if s.Cascade != nil {
		out = append(out, float64(s.Cascade.MessageBytes))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
