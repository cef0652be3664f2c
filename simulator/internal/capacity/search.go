package capacity

import "sort"

// Outcome is what a run says of the load that it was.
type Outcome string

// The outcomes of runs.
const (
	Held   Outcome = "held"
	Missed Outcome = "missed"
	// Unclear: the run was inconclusive.
	Unclear Outcome = "unclear"
	// GaveUp: the generator was not healthy, so the run says nothing of the fleet.
	GaveUp Outcome = "gaveUp"
)

// Kind is how long a run is.
type Kind string

// The kinds of runs.
const (
	// Probe is as long as the scenario says.
	Probe Kind = "probe"
	// Hold is longer.
	Hold Kind = "hold"
)

// Step is a run to play: a load by its index on the ladder.
type Step struct {
	Rung int
	Kind Kind
	// Why, in a few words: "doubled".
	Why string
}

// Trial is a run that was played, and what it says.
type Trial struct {
	Rung    int
	Kind    Kind
	Outcome Outcome
}

// Search is what is searched, and how well. It has no state: what comes next follows from the runs that there were.
type Search struct {
	// The loads that may be tried, ascending, and the index of the first one.
	Ladder []float64
	Start  int
	// How often the capacity has to hold, and the load above it to be missed.
	Repeats int
	// The search ends after so many runs, whatever it knows then.
	MaxRuns int
}

// Next says what to play after the runs so far; ok is false when there is nothing more to know, or the search has had all its runs.
func (s Search) Next(trials []Trial) (step Step, ok bool) {
	if len(trials) >= s.MaxRuns {
		return Step{}, false
	}
	return s.next(trials)
}

func (s Search) next(trials []Trial) (Step, bool) {
	t := s.tally(trials)
	lo, hi, step := s.find(t)
	if step == nil && lo >= 0 {
		if step = s.hold(t, lo); step == nil && s.heldAt(t) >= 0 {
			step = s.confirm(t, hi)
		}
	}
	if step == nil {
		return Step{}, false
	}
	return *step, true
}

// count is how often runs of a load said what.
type count struct{ held, missed, unclear, gaveUp int }

func (c count) runs() int { return c.held + c.missed + c.unclear + c.gaveUp }
func (c count) mute() int { return c.unclear + c.gaveUp }
func (c count) bad() int  { return c.missed + c.mute() }

// up and down say what most runs of a load say; it is neither where nobody has asked, or they do not tell, and then once more is to be asked. One run that says
// nothing is no answer.
func (c count) up() bool   { return c.held > c.bad() }
func (c count) down() bool { return c.bad() > c.held && (c.missed > 0 || c.mute() > 1) }
func (c count) open() bool { return c.runs() > 0 && !c.up() && !c.down() }

// rung is all runs of a load.
type rung struct{ probe, hold count }

func (r rung) all() count {
	p, h := r.probe, r.hold
	return count{p.held + h.held, p.missed + h.missed, p.unclear + h.unclear, p.gaveUp + h.gaveUp}
}

// clean says that the load may still be the capacity: it was never missed, and one run at most said nothing.
func (r rung) clean() bool { c := r.all(); return c.missed == 0 && c.mute() <= 1 }

func (s Search) tally(trials []Trial) []rung {
	t := make([]rung, len(s.Ladder))
	for _, trial := range trials {
		c := &t[trial.Rung].probe
		if trial.Kind == Hold {
			c = &t[trial.Rung].hold
		}
		switch trial.Outcome {
		case Held:
			c.held++
		case Missed:
			c.missed++
		case GaveUp:
			c.gaveUp++
		default:
			c.unclear++
		}
	}
	return t
}

// find looks, by probes, for two neighbours of which the lower one holds and the upper one does not: lo is -1 if none holds, hi is beyond the ladder if all do.
func (s Search) find(t []rung) (lo, hi int, step *Step) {
	hi = len(t)
	for i := range t {
		if t[i].probe.down() {
			hi = i
			break
		}
	}
	lo = hi - 1
	for lo >= 0 && !t[lo].probe.up() {
		lo--
	}
	for i := lo + 1; i < hi; i++ {
		if t[i].probe.open() {
			return lo, hi, &Step{i, Probe, "once more, since it is not clear"}
		}
	}
	switch {
	case hi == len(t) && lo < 0:
		return lo, hi, &Step{s.Start, Probe, "the first"}
	case hi == len(t) && lo < hi-1:
		return lo, hi, &Step{s.doubled(lo), Probe, "doubled"}
	case hi < len(t) && hi-lo > 1 && t[hi].probe.runs() == 1 && s.first(t, hi):
		return lo, hi, &Step{hi, Probe, "once more, since all that follows stands on it"}
	case lo < 0 && hi > 0:
		return lo, hi, &Step{s.halved(hi), Probe, "halved"}
	case lo >= 0 && hi-lo > 1:
		return lo, hi, &Step{(lo + hi) / 2, Probe, "bisected"}
	}
	return lo, hi, nil
}

// first says that no load but this one was too much yet.
func (s Search) first(t []rung, hi int) bool {
	for i := hi + 1; i < len(t); i++ {
		if t[i].probe.down() {
			return false
		}
	}
	return true
}

// doubled is the last load that is at most twice as much, or the next one.
func (s Search) doubled(i int) int {
	return max(sort.SearchFloat64s(s.Ladder, 2*s.Ladder[i]*(1+1e-9))-1, i+1)
}

// halved is the first load that is at least half as much, or the one before.
func (s Search) halved(i int) int {
	return min(sort.SearchFloat64s(s.Ladder, s.Ladder[i]/2*(1-1e-9)), i-1)
}

// hold looks, by longer runs and from lo downwards, for the load that holds in all repeats.
func (s Search) hold(t []rung, lo int) *Step {
	// The lowest load that did not hold, and the highest one below it that did so far.
	top, broken := lo+1, 0
	for i := lo; i >= 0; i-- {
		if t[i].hold.bad() > 0 && !t[i].clean() {
			top, broken = i, broken+1
		}
	}
	good := top - 1
	for good >= 0 && (t[good].hold.held == 0 || !t[good].clean()) {
		good--
	}
	try := func(i, least int, why string) *Step {
		for ; i > least; i-- {
			if t[i].clean() {
				return &Step{i, Hold, why}
			}
		}
		return nil
	}
	if broken == 0 {
		if step := try(lo, -1, "held for longer"); step == nil || t[step.Rung].hold.held < s.Repeats {
			return step
		}
		return nil
	}
	if good < 0 {
		return try(max(top-1<<min(broken-1, 20), 0), -1, "less, for longer")
	}
	// From the middle down, and else from above: the loads between that may still be it.
	if step := try((good+top)/2, good, "bisected, for longer"); step != nil {
		return step
	}
	if step := try(top-1, good, "bisected, for longer"); step != nil {
		return step
	}
	if t[good].hold.held < s.Repeats {
		return &Step{good, Hold, "held for longer"}
	}
	return nil
}

// confirm looks, by probes, for the load from which on none holds.
func (s Search) confirm(t []rung, hi int) *Step {
	u, highest := s.never(t)
	if u >= 0 && t[u].all().missed >= s.Repeats {
		return nil
	}
	// Upwards from what held after all, at growing steps, and at most to what was missed already.
	asked := 0
	for i := hi; i <= highest; i++ {
		if t[i].all().runs() > 0 {
			asked++
		}
	}
	next := min(highest+1<<min(max(asked-1, 0), 20), len(t)-1)
	if u >= 0 {
		next = min(next, u)
	}
	for i := highest + 1; i <= next; i++ {
		switch c := t[i].all(); {
		case c.gaveUp == 1 && c.missed == 0:
			return &Step{i, Probe, "once more, since it is not clear"}
		case c.gaveUp > 1 && c.missed == 0 && u < 0:
			return nil
		case c.gaveUp > 1 && c.missed == 0:
			next = u
		}
	}
	if next <= highest {
		return nil
	}
	return &Step{next, Probe, "does it ever hold?"}
}

// never is the lowest load above all that ever held, or might have, that was missed, or -1; and the highest of those others.
func (s Search) never(t []rung) (u, highest int) {
	u, highest = -1, -1
	for i := len(t) - 1; i >= 0; i-- {
		switch c := t[i].all(); {
		case c.held > 0 || c.unclear > 0 && c.missed == 0:
			return u, i
		case c.missed > 0:
			u = i
		}
	}
	return u, highest
}

// heldAt is the largest load that held in all repeats, or -1.
func (s Search) heldAt(t []rung) int {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].clean() && t[i].hold.held >= s.Repeats {
			return i
		}
	}
	return -1
}

// Limit is why a capacity is only the least that the fleet bears.
type Limit string

// The limits.
const (
	NoLimit Limit = ""
	// ByGenerator: it gave up on loads above.
	ByGenerator Limit = "generator"
	// ByRange: the largest load of the ladder held.
	ByRange Limit = "range"
	// ByDoubt: the runs above are inconclusive.
	ByDoubt Limit = "doubt"
)

// Result is what the runs so far say. Loads are indices on the ladder, -1 if there is none.
type Result struct {
	// Nothing more is to be known.
	Complete bool
	// The largest load that held in all repeats and was never missed.
	Capacity int
	// The largest load that held at all and was never missed: the best so far where there is no Capacity.
	Best int
	// Below From nothing was missed; To was missed in all repeats, and neither it nor anything above it ever held.
	From, To int
	// Why the fleet may bear more.
	Limit Limit
	// The generator gave up, and nothing was missed.
	OnlyGaveUp bool
}

// Result says what is known after these runs.
func (s Search) Result(trials []Trial) Result {
	t := s.tally(trials)
	_, more := s.next(trials)
	r := Result{Complete: !more, Capacity: s.heldAt(t), Best: -1, From: -1, To: -1}
	missed, gaveUp := false, false
	for i := len(t) - 1; i >= 0; i-- {
		c := t[i].all()
		if c.held > 0 && t[i].clean() {
			r.Best = max(r.Best, i)
		}
		if c.missed > 0 {
			r.From = i
		}
		missed, gaveUp = missed || c.missed > 0, gaveUp || c.gaveUp > 0
	}
	r.OnlyGaveUp = gaveUp && !missed && r.Best < 0
	if u, _ := s.never(t); u >= 0 && t[u].all().missed >= s.Repeats {
		r.To = u
	}
	if r.Capacity < 0 {
		return r
	}
	if r.From < 0 || r.From > r.Capacity {
		r.From = r.Capacity
	}
	r.Limit = s.limit(t, r)
	return r
}

// limit says what ended the search above the capacity: the lowest load that was not held decides.
func (s Search) limit(t []rung, r Result) Limit {
	if r.Capacity == len(t)-1 {
		return ByRange
	}
	for i := r.Capacity + 1; i < len(t); i++ {
		switch c := t[i].all(); {
		case c.missed > 0:
			return NoLimit
		case c.gaveUp > 1 || c.gaveUp == 1 && c.held == 0:
			return ByGenerator
		}
	}
	if r.To >= 0 {
		return NoLimit
	}
	if t[len(t)-1].all().held > 0 {
		return ByRange
	}
	return ByDoubt
}

// Ahead is what the search will probably still play, if the load that the fleet bears is in the middle of where it may be.
func (s Search) Ahead(trials []Trial) []Step {
	t := s.tally(trials)
	lo, hi, _ := s.find(t)
	guess := (lo + hi) / 2
	switch {
	case hi == len(t) && lo >= 0 && lo < len(t)-1:
		guess = s.doubled(lo)
	case hi == len(t):
		guess = max(lo, s.Start)
	}
	future := append([]Trial(nil), trials...)
	var steps []Step
	for {
		step, ok := s.Next(future)
		if !ok {
			return steps
		}
		steps = append(steps, step)
		outcome := Missed
		if step.Rung <= guess {
			outcome = Held
		}
		future = append(future, Trial{step.Rung, step.Kind, outcome})
	}
}
