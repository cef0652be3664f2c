package verdict

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// Verdict is the answer to whether the fleet did what the scenario demands.
type Verdict string

// The verdicts, the same words everywhere.
const (
	Pass               Verdict = "Pass"
	Fail               Verdict = "Fail"
	Inconclusive       Verdict = "Inconclusive"
	GeneratorUnhealthy Verdict = "GeneratorUnhealthy"
)

// Exit codes of every command that runs something.
const (
	ExitPass         = 0
	ExitUsage        = 2
	ExitFail         = 3
	ExitInconclusive = 4
	ExitUnhealthy    = 5
	ExitUnreachable  = 6
	ExitInterrupted  = 130
)

// Judgement is the verdict on a run and all that it stands on.
type Judgement struct {
	Verdict  Verdict
	ExitCode int
	// Why, the most important first; empty for a pass.
	Reasons []string
	// One for each threshold, in their order.
	Results []Result
	// Index into Results of the one with the smallest margin, or -1 if none has one.
	Worst  int
	Health Health
}

// Result is what became of one threshold.
type Result struct {
	Threshold v1alpha1.Threshold
	// As in "delivery p99.9 < 1s".
	Title string
	Unit  v1alpha1.Unit
	// In Unit (nanoseconds for a time); +Inf for a time that is never.
	Value float64
	// Half the width of the interval that the true value is in; nanoseconds, for times.
	Error   time.Duration
	Samples int64
	// Blocks of the bootstrap, for thresholds with a confidence.
	Blocks  int
	Verdict Verdict
	// Why not a pass, or what a pass with a confidence stands on.
	Reason string
	// How much of the bound is left, as a share of it; below 0 when missed. NaN where the bound is 0 or there are no samples.
	Margin      float64
	Correctness bool
}

// Judge judges a run.
func Judge(m Measurements, thresholds []v1alpha1.Threshold) Judgement {
	j := Judgement{Worst: -1, Health: healthOf(&m, thresholds)}
	for _, t := range thresholds {
		j.Results = append(j.Results, judgeThreshold(&m, j.Health, t))
	}
	for i, r := range j.Results {
		if !math.IsNaN(r.Margin) && (j.Worst < 0 || r.Margin < j.Results[j.Worst].Margin) {
			j.Worst = i
		}
	}
	j.decide(&m)
	j.overrule(&m)
	return j
}

// decide follows the order in the package comment.
func (j *Judgement) decide(m *Measurements) {
	wrong := j.reasons(func(r Result) bool { return r.Correctness && r.Verdict == Fail })
	missed := j.reasons(func(r Result) bool { return !r.Correctness && r.Verdict == Fail })
	open := j.reasons(func(r Result) bool { return r.Verdict == Inconclusive })
	if len(j.Results) == 0 {
		open = append(open, "there is no threshold")
	}
	for _, rule := range []struct {
		reasons []string
		verdict Verdict
	}{
		{append(wrong, exits(m)...), Fail},
		{runDoubts(m), Inconclusive},
		{j.Health.Reasons, GeneratorUnhealthy},
		{missed, Fail},
		{slices.Concat(gaps(m, j.Health), open), Inconclusive},
	} {
		if len(rule.reasons) == 0 {
			continue
		}
		if j.Verdict == "" {
			j.Verdict = rule.verdict
		}
		j.Reasons = append(j.Reasons, rule.reasons...)
	}
	if j.Verdict == "" {
		j.Verdict = Pass
	}
	j.ExitCode = exitCode(j.Verdict, m)
}

// runDoubts returns what puts every time in doubt.
func runDoubts(m *Measurements) []string {
	var doubts []string
	if m.Unreachable != "" {
		doubts = append(doubts, "the fleet could not be reached: "+m.Unreachable)
	}
	if m.Interrupted {
		doubts = append(doubts, "the run was interrupted")
	}
	if m.Clock.Step != 0 {
		doubts = append(doubts, fmt.Sprintf("a clock stepped by %s during the run", m.Clock.Step))
	}
	return doubts
}

// exits returns the processes of the fleet that ended by themselves. What is a defect of the fleet does not become a pass because the
// others made up for it.
func exits(m *Measurements) []string {
	var out []string
	for _, e := range m.Fleet.Exits {
		out = append(out, "ended by itself: "+e)
	}
	return out
}

// gaps returns what is missing from the figures, so that nothing that held can be called a pass.
func gaps(m *Measurements, h Health) []string {
	var missing []string
	for _, w := range m.Generator.LostWorkers {
		missing = append(missing, "worker lost: "+w)
	}
	if m.Indicative != "" {
		missing = append(missing, m.Indicative)
	}
	return append(missing, h.Unknown...)
}

func exitCode(v Verdict, m *Measurements) int {
	switch {
	case m.Interrupted:
		return ExitInterrupted
	case m.Unreachable != "":
		return ExitUnreachable
	case v == Pass:
		return ExitPass
	case v == Fail:
		return ExitFail
	case v == GeneratorUnhealthy:
		return ExitUnhealthy
	}
	return ExitInconclusive
}

func (j *Judgement) reasons(of func(Result) bool) []string {
	var out []string
	for _, r := range j.Results {
		if of(r) {
			out = append(out, r.Title+": "+r.Reason)
		}
	}
	return out
}

// overrule takes a threshold's own verdict where the run does not carry it, so that no threshold passes in a run that did
// not. What is a fact stays.
func (j *Judgement) overrule(m *Measurements) {
	apply := func(v Verdict, because []string, alsoFailed bool) {
		for i := range j.Results {
			r := &j.Results[i]
			if len(because) > 0 && (r.Verdict == Pass || alsoFailed && r.Verdict == Fail && !r.Correctness) {
				r.Verdict = v
				r.Reason = because[0]
			}
		}
	}
	apply(Inconclusive, runDoubts(m), true)
	apply(GeneratorUnhealthy, j.Health.Reasons, true)
	apply(Inconclusive, gaps(m, j.Health), false)
}

func judgeThreshold(m *Measurements, h Health, t v1alpha1.Threshold) Result {
	r := Result{Threshold: t, Unit: t.Bound.Unit, Margin: math.NaN(), Verdict: Inconclusive, Title: Title(t)}
	metric, known := FindMetric(t.Metric)
	if !known {
		r.Reason = "there is no such metric"
		return r
	}
	name := t.Aggregation
	if name == "" {
		name = metric.Aggregation
	}
	aggregation, err := ParseAggregation(name)
	if name != "" && err != nil {
		r.Reason = err.Error()
		return r
	}
	in := metric.read(m, t.Fault)
	r.Unit, r.Correctness, r.Samples = metric.Unit, metric.Correctness, in.samples
	r.Value = in.value(aggregation)
	r.Error = errorOf(metric, m, h)
	if metric.Unit == v1alpha1.UnitTime && !math.IsInf(r.Value, 0) {
		r.Error += time.Duration(min(r.Value*m.errorShare(t.Metric), float64(time.Hour)))
	}
	r.compare(m, metric, aggregation, in)
	if in.note != "" {
		if r.Reason != "" {
			r.Reason += " (" + in.note + ")"
		} else {
			r.Reason = in.note
		}
	}
	return r
}

// errorShare is what times of a metric may be off by, as a share of them.
func (m *Measurements) errorShare(metric string) float64 {
	if share, ok := m.ErrorShares[metric]; ok {
		return share
	}
	return m.ErrorShares[""]
}

// compare gives the result its verdict and reason.
func (r *Result) compare(m *Measurements, metric Metric, a Aggregation, in reading) {
	bound := r.Threshold.Bound.Value
	below := bound - float64(r.Error)
	if r.Samples > 0 && bound > 0 {
		r.Margin = (below - r.Value) / bound
	}
	// Times must stay below, counts may reach.
	holds := func(value, bound float64) bool {
		return value < bound || metric.Unit != v1alpha1.UnitTime && value == bound
	}
	switch {
	case r.Threshold.Bound.Unit != metric.Unit:
		r.Margin = math.NaN()
		r.Reason = fmt.Sprintf("the bound is a %s and the metric a %s", r.Threshold.Bound.Unit, metric.Unit)
	case metric.Correctness && !holds(r.Value, bound):
		// One duplicate is a duplicate, however few deliveries there were.
		r.Verdict = Fail
		r.Reason = r.figure()
	case r.Samples < max(r.Threshold.MinSamples, 1):
		r.Reason = fmt.Sprintf("%d samples; it takes %d", r.Samples, max(r.Threshold.MinSamples, 1))
	case metric.ends == twoEnds && !m.Clock.Trusted:
		r.Reason = "the clocks of its two ends cannot be compared"
	case in.effect != nil:
		r.Verdict, r.Reason = in.judge(*in.effect, bound)
	case !holds(r.Value-float64(r.Error), bound):
		r.Verdict = Fail
		r.Reason = r.figure()
	case !holds(r.Value+float64(r.Error), bound):
		r.Reason = r.figure() + ", which does not tell"
	default:
		r.Verdict = Pass
		r.claim(m, a, below)
	}
}

// claim looks whether a bound that held in this run may be claimed for the next, if that was asked for.
func (r *Result) claim(m *Measurements, a Aggregation, below float64) {
	c := r.Threshold.Confidence
	if c == 0 {
		return
	}
	b := resample(m.Blocks, a.Percentile, c, time.Duration(below))
	r.Blocks = b.blocks
	r.Reason = b.String()
	if doubt := b.doubt(a.Percentile, c); doubt != "" {
		r.Verdict = Inconclusive
		r.Reason = doubt
	}
}

// errorOf returns how far a time may be off, by the clocks and by the cores. What the generator did not time has no error.
func errorOf(metric Metric, m *Measurements, h Health) time.Duration {
	if metric.Unit != v1alpha1.UnitTime || metric.ends == noEnds {
		return 0
	}
	e := h.SharedCoresError
	if metric.ends == twoEnds {
		e += m.Clock.ErrorBound
	}
	return e
}

// figure is the value with its error, for people.
func (r *Result) figure() string {
	if r.Unit == v1alpha1.UnitNumber && r.Value != math.Trunc(r.Value) {
		return strconv.FormatFloat(r.Value, 'g', 4, 64) // A share or a ratio. Counts are whole, and exact.
	}
	if r.Unit != v1alpha1.UnitTime {
		return v1alpha1.Bound{Unit: r.Unit, Value: r.Value}.String()
	}
	if math.IsInf(r.Value, 1) {
		return "never"
	}
	s := round(time.Duration(r.Value)).String()
	if r.Error > 0 {
		s += " ± " + round(r.Error).String()
	}
	return s
}

// Title says a threshold in a line, as in "delivery p99.9 < 1s".
func Title(t v1alpha1.Threshold) string {
	title := t.Metric
	aggregation := t.Aggregation
	if metric, ok := FindMetric(t.Metric); ok && aggregation == "" {
		aggregation = metric.Aggregation
	}
	if aggregation != "" {
		title += " " + aggregation
	}
	if t.Fault != "" {
		title += " after " + t.Fault
	}
	sign := "≤"
	switch {
	case t.Bound.Unit == v1alpha1.UnitTime:
		sign = "<"
	case t.Bound.Value == 0:
		sign = "="
	}
	return title + " " + sign + " " + t.Bound.String()
}
