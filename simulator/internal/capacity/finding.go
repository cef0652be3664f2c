package capacity

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// usedUp is the share from which on something counts as used up. Of what is waited for in line, such as processors, the rest is what a load that varies from
// moment to moment cannot use.
const usedUp = 0.85

// local is where a fleet is that the simulator has started.
const local = "local"

// used is how much of everything on the generator's machine a run used, which is the fleet's too where that is local; nil if that is not known.
func used(r report.Report) []report.Used {
	m, whose, files := r.Machine, "the generator’s ", "the generator’s open files"
	if m == nil {
		return nil
	}
	if r.Generator.SharesCoresWithFleet {
		whose, files = "the machine’s ", "the open files of a process"
	}
	return []report.Used{{Name: whose + "processors", Share: m.Processors}, {Name: whose + "memory", Share: m.Memory}, {Name: files, Share: m.OpenFiles}}
}

// processors is who used the processors of a machine that a local fleet shares with its generator, as shares of all of them; nil if that is not known.
func processors(r report.Report) []report.Used {
	from, to, ok := r.MeasurePhase()
	all := (to - from).Seconds() * float64(r.Simulator.Cores)
	if !ok || r.Machine == nil || r.Processors == nil || len(r.Fleet.Processes) == 0 || all <= 0 {
		return nil
	}
	seconds := map[string]float64{}
	for _, p := range r.Fleet.Processes {
		seconds[p.Role+"s"] += p.CPUSeconds
	}
	seconds["generator"] = r.Processors.GeneratorSeconds
	var out []report.Used
	rest := r.Machine.Processors
	for _, who := range []string{"shards", "stores", "generator"} {
		share := seconds[who] / all
		out = append(out, report.Used{Name: who, Share: share})
		rest -= share
	}
	return append(out, report.Used{Name: "others, and the kernel for all", Share: max(rest, 0)})
}

func usedSays(u report.Used) string {
	return fmt.Sprintf("%s %s used", u.Name, percent(u.Share))
}

func percent(share float64) string {
	return strconv.Itoa(int(math.Round(100*share))) + " %"
}

// document is what is known now.
func (r *Run) document() report.Capacity {
	found := r.search.Result(r.trials)
	c := report.Capacity{
		Schema: report.CapacitySchema, Scenario: r.Scenario.Name, Label: report.Measured, Vary: string(r.Vary), Unit: r.Vary.Unit(), Reasons: []string{},
		Tolerance: r.Tolerance, Repeats: r.Repeats, Steps: slices.Clone(r.steps), StartedAt: r.started.UTC(), DurationMs: report.Millis(r.Now().Sub(r.started).Milliseconds()),
		Spec: r.Scenario, Fleet: r.fleet, Simulator: r.simulator,
	}
	if c.Steps == nil {
		c.Steps = []report.CapacityStep{}
	}
	at := func(rung int) *report.Load {
		if rung < 0 {
			return nil
		}
		l := r.load(rung)
		return &l
	}
	c.Capacity, c.From, c.To = at(found.Capacity), at(found.From), at(found.To)
	r.conclude(&c, found)
	if r.exit != 0 { // What was found by then stands; the search as a whole does not.
		c.Verdict, c.ExitCode = verdict.Inconclusive, r.exit
	}
	return c
}

// conclude gives it its verdict, its finding and what bound it.
func (r *Run) conclude(c *report.Capacity, found Result) {
	if found.Capacity < 0 {
		r.nothing(c, found)
		return
	}
	c.Verdict, c.ExitCode = verdict.Pass, verdict.ExitPass
	near, over := r.nearest(found.Capacity), r.above(found.Capacity)
	var most report.Used
	for _, run := range []struct {
		step *report.CapacityStep
		in   string
	}{{near, "at the capacity"}, {over, "at the lowest load above that did not hold"}} {
		if run.step == nil || len(run.step.Used) == 0 {
			continue
		}
		if u := report.MostUsed(run.step.Used...); c.Used == nil || u.Share > most.Share {
			most, c.Used, c.Processors, c.UsedIn = u, run.step.Used, run.step.Processors, run.in
		}
	}
	c.AtLeast = found.Limit != NoLimit || found.To < 0
	var why string
	c.Binding, why = r.binding(found, most, over)
	capacity := r.says(*c.Capacity)
	if !c.AtLeast {
		c.Finding = fmt.Sprintf("CAPACITY %s (%s to %s over %s), %s", capacity, r.main(*c.From), r.main(*c.To), plain.Plural(r.Repeats, "repeat"), why)
	} else {
		c.Finding = fmt.Sprintf("CAPACITY ≥ %s (over %s): %s", capacity, plain.Plural(r.Repeats, "repeat"), why)
	}
	if r.cut != "" {
		c.Reasons = append(c.Reasons, fmt.Sprintf("the search was cut short: %s; what was held in all repeats stands, what is above it is not all known", r.cut))
	}
	if found.From >= 0 && found.From < found.Capacity {
		c.Reasons = append(c.Reasons, fmt.Sprintf("%s was missed at some time, though %s held in all repeats: runs of the same load differ", r.says(*c.From), capacity))
	}
	if c.To != nil && found.To > found.Capacity+1 {
		c.Reasons = append(c.Reasons, fmt.Sprintf("between %s and %s loads held sometimes, or for a short time alone", capacity, r.says(*c.To)))
	}
	r.caveats(c)
}

// caveats says what the figure does not tell.
func (r *Run) caveats(c *report.Capacity) {
	if len(r.steps) == 0 {
		return
	}
	if c.Fleet.Where == local {
		c.Reasons = append(c.Reasons, "fleet and generator share the machine's processors: on processors of its own the fleet would bear more")
	}
}

// binding is what bound the capacity, as a name and as the end of a sentence. over is a run of the lowest load above it that was not held, nil if there is none.
func (r *Run) binding(found Result, most report.Used, over *report.CapacityStep) (binding, why string) {
	spent := ""
	if most.Share >= usedUp {
		spent = usedSays(most)
	}
	reason := ""
	if over != nil {
		reason = over.Reason
		if over.Outcome == string(Missed) && len(over.Missed) > 0 {
			reason = over.Missed[0]
		}
	}
	with := func(text string) string {
		if spent != "" {
			text += ", with " + spent
		}
		return text
	}
	switch {
	case found.Limit == ByGenerator:
		return "the generator", with(fmt.Sprintf("the generator gave up first (%s)", reason))
	case found.Limit == ByRange:
		top := r.says(r.load(len(r.search.Ladder) - 1))
		return "the end of the search", fmt.Sprintf("the search ended at %s; raise it with --to", top)
	case found.Limit == ByDoubt:
		return "runs that do not tell", with("the runs above are inconclusive" + because(reason))
	case found.To < 0 && r.cut != "":
		return "the end of the search", "the search was cut short, since " + r.cut
	case spent != "" && r.fleet.Where == local:
		return most.Name, fmt.Sprintf("bound by %s (%s used): %s is missed", most.Name, percent(most.Share), reason)
	case spent != "":
		return reason, fmt.Sprintf("bound by %s; %s, so it may not be the fleet that is at its end", reason, spent)
	case r.fleet.Where == local:
		return reason, fmt.Sprintf("bound by %s, while nothing is used up (%s)", reason, usedSays(most))
	}
	return reason, fmt.Sprintf("bound by %s; what the fleet uses is not known from here", reason)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// nearest is the last run that held a load.
func (r *Run) nearest(rung int) *report.CapacityStep {
	for i := len(r.trials) - 1; i >= 0; i-- {
		if r.trials[i].Rung == rung && r.trials[i].Outcome == Held {
			return &r.steps[i]
		}
	}
	return nil
}

// above is the last run of the lowest load above one that was not held, nil if there is none.
func (r *Run) above(rung int) *report.CapacityStep {
	lowest, at := math.MaxInt, -1
	for i, t := range r.trials {
		if t.Rung > rung && t.Rung <= lowest && t.Outcome != Held {
			lowest, at = t.Rung, i
		}
	}
	if at < 0 {
		return nil
	}
	return &r.steps[at]
}

// nothing says that there is no capacity, and why.
func (r *Run) nothing(c *report.Capacity, found Result) {
	c.Verdict, c.ExitCode = verdict.Inconclusive, verdict.ExitInconclusive
	because := r.cut
	last := "nothing was played"
	if n := len(r.steps); n > 0 {
		s := r.steps[n-1]
		last = fmt.Sprintf("the last was %s", r.says(s.Load))
		if s.Reason != "" {
			last += ", " + s.Reason
		}
		c.Used, c.Processors, c.UsedIn = s.Used, s.Processors, "in the last run"
	}
	switch {
	case found.Best >= 0:
		held := 0
		for _, t := range r.trials {
			if t.Rung == found.Best && t.Outcome == Held {
				held++
			}
		}
		c.Finding = fmt.Sprintf("NO CAPACITY YET: %s held %s, and it takes %s; %s", r.says(r.load(found.Best)), times(held), plain.Plural(r.Repeats, "longer run"), because)
		if because == "" {
			c.Finding = fmt.Sprintf("NO CAPACITY: %s held %s, and nothing in all of %s", r.says(r.load(found.Best)), times(held), plain.Plural(r.Repeats, "longer run"))
		}
	case because != "":
		c.Finding = "NO CAPACITY: nothing has held yet, and " + because
	case found.OnlyGaveUp:
		c.Verdict, c.ExitCode = verdict.GeneratorUnhealthy, verdict.ExitUnhealthy
		c.Finding = "NO CAPACITY: the generator gave up before anything held; " + last
	case found.From >= 0:
		c.Verdict, c.ExitCode = verdict.Fail, verdict.ExitFail
		c.Finding = "NO CAPACITY: no load held; " + last
	default:
		c.Finding = "NO CAPACITY: no run tells; " + last
	}
	r.caveats(c)
}

// says is a load for people, with what it is in deliveries a second: of a rate these come first.
func (r *Run) says(l report.Load) string {
	deliveries := plain.Count(int64(math.Round(l.DeliveriesPerSecond))) + " deliveries a second"
	amount := plain.Amount(l.Amount) + " " + r.Vary.Unit()
	if r.Vary == Rate {
		return deliveries + " at " + amount
	}
	return amount + " at " + deliveries
}

// main is the first of the two numbers of a load alone.
func (r *Run) main(l report.Load) string {
	if r.Vary == Rate {
		return plain.Count(int64(math.Round(l.DeliveriesPerSecond)))
	}
	return plain.Amount(l.Amount)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
