package capacity

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Config says what to search, and by what means.
type Config struct {
	Scenario *v1alpha1.Scenario
	Vary     Dimension
	// The load to begin with, and the largest one, in the unit of what is varied. 0: the scenario's own; and 1,024 times the first, or what a scenario may have.
	From, To float64
	// How far a load is from the next one at most, as a share: 0.05.
	Tolerance float64
	// How often the capacity has to hold.
	Repeats int
	// How long the measure phase of a held run is; 0: twice the scenario's.
	Hold time.Duration
	// How long the fleet is left alone between runs.
	Rest time.Duration
	// The search begins no run that would be over later than this after its start; 0: it takes as long as it takes.
	Budget time.Duration

	// Play plays a scenario and reports; number is that of the step, from 1. An error means that nothing more can be played.
	Play func(ctx context.Context, number int, s *v1alpha1.Scenario) (report.Report, error)
	// Save is given what is known after each step.
	Save func(report.Capacity) error
	// Told, a line at a time, where the search is.
	Say func(format string, args ...any)
	Now func() time.Time
}

const (
	// reach is how many times the first load a search goes up and down where nobody says: ten doublings and halvings.
	reach = 1024
	// MaxRuns bounds a search. One on a fleet whose capacity is sharp takes 12 to 20 runs.
	MaxRuns = 60
	// holdFactor is how many times as long as a probe's the measure phase of a held run is, where nobody says.
	holdFactor = 2
	// around is what a run takes besides its phases, until one has shown it: a fleet is started and stopped, and logs are read.
	around = 8 * time.Second
	// exitFailed is the exit code of a simulator that could not go on.
	exitFailed = 1
	// MostRepeats is more than anybody waits for.
	MostRepeats = 20
)

// Run is a search. It is run once.
type Run struct {
	Config
	search  Search
	plays   map[Step]*v1alpha1.Scenario
	trials  []Trial
	steps   []report.CapacityStep
	started time.Time
	// Of the newest run that came to something.
	fleet     report.Fleet
	simulator report.Simulator
	// What runs took besides their phases, in sum.
	besides time.Duration
	// Why it ended before it knew all, and the exit code that this has: 0 if what was found decides.
	cut  string
	exit int
}

// New checks what is to be searched. Its errors are about that, and say what to do.
func New(c Config) (*Run, error) {
	own, err := c.Vary.Of(c.Scenario)
	if err != nil {
		return nil, err
	}
	if c.From == 0 {
		c.From = own
	}
	probe := c.Scenario.Phases.Measure.Std()
	if c.Hold == 0 {
		c.Hold = holdFactor * probe
	}
	switch {
	case c.Hold < probe:
		return nil, fmt.Errorf("a load is not held for longer by %s: the scenario's measure phase has %s already", c.Hold, probe)
	case c.Repeats < 1 || c.Repeats > MostRepeats:
		return nil, fmt.Errorf("%d repeats; from 1 to %d", c.Repeats, MostRepeats)
	case c.Vary.whole() && (c.From != math.Trunc(c.From) || c.To != math.Trunc(c.To)):
		return nil, fmt.Errorf("%s are whole numbers", c.Vary.Unit())
	}
	for _, load := range []float64{c.From, c.To} {
		if load == 0 {
			continue
		}
		if err := c.Vary.fits(c.Scenario, load, c.Hold); err != nil {
			return nil, err
		}
	}
	least, most := c.Vary.within(c.Scenario, c.From, c.Hold)
	if c.To == 0 {
		c.To = most
	}
	rungs, start, err := ladder(c.From, least, c.To, c.Tolerance, c.Vary.whole())
	if err != nil {
		return nil, err
	}
	return &Run{Config: c, search: Search{Ladder: rungs, Start: start, Repeats: c.Repeats, MaxRuns: MaxRuns}, plays: map[Step]*v1alpha1.Scenario{}}, nil
}

// Do searches until nothing more is to be known, or the time is over, or ctx ends, and returns what was found by then. An error means that a step could not be
// played or saved; what was found before is returned with it.
func (r *Run) Do(ctx context.Context) (report.Capacity, error) {
	r.started = r.Now()
	for {
		step, ok := r.search.Next(r.trials)
		if !ok {
			break
		}
		more, err := r.step(ctx, step)
		if err != nil {
			r.cut, r.exit = err.Error(), exitFailed
			return r.document(), err
		}
		if err := r.Save(r.document()); err != nil {
			return r.document(), err
		}
		if !more {
			break
		}
	}
	if r.cut == "" && len(r.trials) >= MaxRuns {
		r.cut = fmt.Sprintf("it has had its %d runs", MaxRuns)
	}
	return r.document(), r.Save(r.document())
}

// step plays one. more is false if the search is cut short.
func (r *Run) step(ctx context.Context, step Step) (more bool, err error) {
	s, err := r.with(step)
	if err != nil {
		return false, err
	}
	if r.Budget > 0 && r.Now().Sub(r.started)+r.lasts(s) > r.Budget {
		r.cut = fmt.Sprintf("the time (%s) would not do for the next run", r.Budget)
		return false, nil
	}
	number := len(r.steps) + 1
	if !r.rest(ctx, number) {
		r.cut, r.exit = "it was interrupted", verdict.ExitInterrupted
		return false, nil
	}
	load := r.load(step.Rung)
	r.Say("step %-3d %s of %s: %s; %s, then about %s more", number, step.Kind, r.says(load), step.Why, plain.Lasting(r.lasts(s)), plain.Lasting(max(r.left()-r.lasts(s), 0)))
	began := r.Now()
	played, err := r.Play(ctx, number, s)
	if err != nil {
		return false, err
	}
	took := r.Now().Sub(began)
	r.besides += max(took-phases(s), 0)
	if played.Fleet.Where != "" {
		r.fleet, r.simulator = played.Fleet, played.Simulator
	}
	outcome := outcomeOf(played.Verdict)
	out := stepOf(number, load, step, outcome, played, took)
	again := len(r.steps) > 0 && r.steps[len(r.steps)-1].ExitCode == verdict.ExitUnreachable
	r.steps = append(r.steps, out)
	switch {
	case played.ExitCode == verdict.ExitInterrupted:
		r.cut, r.exit = "it was interrupted", verdict.ExitInterrupted
		return false, nil
	case played.ExitCode == verdict.ExitUnreachable && (number == 1 || again):
		r.cut, r.exit = out.Reason, verdict.ExitUnreachable
		return false, nil
	}
	r.trials = append(r.trials, Trial{step.Rung, step.Kind, outcome})
	r.Say("step %-3d %s: %s", number, outcome.Words(), stepSays(out))
	return true, nil
}

// rest leaves the fleet alone before a step; ok is false if the search was interrupted by then.
func (r *Run) rest(ctx context.Context, number int) (ok bool) {
	if number > 1 && r.Rest > 0 {
		r.Say("%-8s the fleet is left alone for %s", "rest", r.Rest)
		select {
		case <-ctx.Done():
		case <-time.After(r.Rest):
		}
	}
	return ctx.Err() == nil
}

// with is the scenario of a step, which is made once: what is to come is looked at after each run.
func (r *Run) with(step Step) (*v1alpha1.Scenario, error) {
	step.Why = ""
	if s, ok := r.plays[step]; ok {
		return s, nil
	}
	var hold time.Duration
	if step.Kind == Hold {
		hold = r.Hold
	}
	s, err := r.Vary.With(r.Scenario, r.search.Ladder[step.Rung], hold)
	if err == nil {
		r.plays[step] = s
	}
	return s, err
}

// phases is how long the phases of a run are where all that is posted arrives; then settling is over as soon as it has.
func phases(s *v1alpha1.Scenario) time.Duration {
	e := scenario.Expect(s)
	return e.Duration - s.Phases.Settle.Std() + time.Second
}

// lasts is how long a run will take, by its phases and what those before took besides.
func (r *Run) lasts(s *v1alpha1.Scenario) time.Duration {
	if n := len(r.steps); n > 0 {
		return phases(s) + r.besides/time.Duration(n)
	}
	return phases(s) + around
}

// left is how long the search will probably take.
func (r *Run) left() time.Duration {
	var left time.Duration
	for _, step := range r.search.Ahead(r.trials) {
		if s, err := r.with(step); err == nil {
			left += r.lasts(s) + r.Rest
		}
	}
	return left
}

// load is what a load of the ladder asks for.
func (r *Run) load(rung int) report.Load {
	l := report.Load{Amount: r.search.Ladder[rung]}
	if s, err := r.with(Step{Rung: rung, Kind: Probe}); err == nil {
		l.DeliveriesPerSecond = DeliveriesPerSecond(s)
	}
	return l
}

func outcomeOf(v verdict.Verdict) Outcome {
	switch v {
	case verdict.Pass:
		return Held
	case verdict.Fail:
		return Missed
	case verdict.GeneratorUnhealthy:
		return GaveUp
	}
	return Unclear
}

// Words says it to people.
func (o Outcome) Words() string {
	if o == GaveUp {
		return "the generator gave up"
	}
	return string(o)
}

func stepOf(number int, load report.Load, step Step, outcome Outcome, played report.Report, took time.Duration) report.CapacityStep {
	l := played.LatencyMs
	out := report.CapacityStep{
		Number: number, Load: load, Kind: string(step.Kind), Why: step.Why, Outcome: string(outcome), Verdict: played.Verdict, ExitCode: played.ExitCode,
		P50Ms: l.P50, P99Ms: l.P99, P999Ms: l.P999, DeliveredPerSecond: math.Round(played.DeliveredPerSecond()), DurationMs: report.Millis(took.Milliseconds()),
		Figure: figure(played), Used: used(played), Processors: processors(played),
	}
	if len(played.Reasons) > 0 {
		out.Reason = played.Reasons[0]
	}
	for _, t := range played.Thresholds {
		if t.Verdict == verdict.Fail {
			out.Missed = append(out.Missed, t.Title)
		}
	}
	return out
}

// figure is the threshold that a curve is of: the first one on the time of deliveries, or else on any time.
func figure(r report.Report) *report.CapacityFigure {
	var found *report.CapacityFigure
	for _, t := range r.Thresholds {
		if t.Unit != "ms" || t.Fault != "" || found != nil && t.Metric != "delivery" {
			continue
		}
		found = &report.CapacityFigure{Title: t.Title, ValueMs: t.Value, ErrorMs: t.Error, BoundMs: t.Bound, Known: t.Samples > 0}
		if t.Metric == "delivery" {
			break
		}
	}
	return found
}

func stepSays(s report.CapacityStep) string {
	says := "p99 " + plain.Millis(s.P99Ms)
	if f := s.Figure; f != nil && f.Known {
		says = fmt.Sprintf("%s: %s", f.Title, plain.Millis(f.ValueMs))
		if f.ErrorMs > 0 {
			says += " ± " + plain.Millis(report.Millis(f.ErrorMs))
		}
	}
	says += fmt.Sprintf("; %s delivered a second", plain.Count(int64(s.DeliveredPerSecond)))
	if most := report.MostUsed(s.Used...); most.Share > 0 {
		says += "; " + usedSays(most)
	}
	if s.Reason != "" {
		says += " · " + s.Reason
	}
	return says
}
