package cascade

import (
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Result is what the assumptions of a study come to. Figures of people are of those who exist in it; none is measured.
type Result struct {
	Params Params `json:"params"`
	// What one post of a message leads to on average while nearly nobody has it: forwards × the channels they reach. Above 1 it may spread
	// without end, below 1 it dies out.
	ForwardsPerPost [2]float64 `json:"forwardsPerPost"`
	// How many people the falsehood reaches when nobody corrects it; and how many different people the coalition's channels have.
	Uncorrected     Interval `json:"uncorrected"`
	CoalitionPeople Interval `json:"coalitionPeople"`
	// By arm and then by delay.
	Cells []Cell `json:"cells"`
	// By delay.
	Gains []Gain `json:"gains"`
}

// Cell is an arm and a delay, over all seeds.
type Cell struct {
	Arm     Arm           `json:"arm"`
	DelayNs time.Duration `json:"delayNs"`
	// Of the people whom either message reached, the share that saw the correction and not, or only later, the falsehood.
	CorrectionFirst Interval `json:"correctionFirst"`
	// Of the people whom the falsehood reached, the share that had seen the correction before.
	Forewarned Interval `json:"forewarned"`
	// How many people each message reached.
	Correction Interval `json:"correction"`
	Falsehood  Interval `json:"falsehood"`
	Ahead      Ahead    `json:"ahead"`
	// What the fleet is asked for: deliveries in all, and in the busiest second if each post were delivered in no time.
	Deliveries              Interval `json:"deliveries"`
	PeakDeliveriesPerSecond Interval `json:"peakDeliveriesPerSecond"`
	// How many people each had reached by when.
	Over []Moment `json:"over,omitempty"`
	// The posts of the first seed, in their order: what a fleet, or its model, can be given to play.
	Posts []Post `json:"posts,omitempty"`
}

// Moment is how far both had come, from the first post of the falsehood.
type Moment struct {
	AtNs            time.Duration `json:"atNs"`
	Correction      Interval      `json:"correction"`
	Falsehood       Interval      `json:"falsehood"`
	CorrectionFirst Interval      `json:"correctionFirst"`
}

// Ahead is when the correction has reached more people than the falsehood, and stays ahead until the end.
type Ahead struct {
	// In so many of all seeds.
	Seeds int `json:"seeds"`
	// From the first post of the falsehood: the first, the middle and the last of those seeds; absent if there are none.
	EarliestNs *time.Duration `json:"earliestNs,omitempty"`
	MedianNs   *time.Duration `json:"medianNs,omitempty"`
	LatestNs   *time.Duration `json:"latestNs,omitempty"`
}

// Gain is what the hub changes, seed by seed: with it less without it.
type Gain struct {
	DelayNs         time.Duration `json:"delayNs"`
	CorrectionFirst Interval      `json:"correctionFirst"`
	Forewarned      Interval      `json:"forewarned"`
	// People that the falsehood reaches.
	Falsehood Interval `json:"falsehood"`
}

// Study plays both arms with all delays and seeds. The result is the same on any number of cores, which each play a seed at a time and take
// some 250 MB for it. An error is of parameters that cannot be studied.
func Study(p Params) (Result, error) {
	if err := p.Check(); err != nil {
		return Result{}, err
	}
	seeds := make([]seedRuns, p.Seeds)
	each(p.Seeds, func(i int) {
		seeds[i] = runsOf(newWorld(p.Crowd, p.Seed+uint64(i)), p, moments(p.HorizonNs), i == 0)
	})
	return summarise(p, seeds), nil
}

// each does something for every index, on as many cores as there are.
func each(n int, do func(i int)) {
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		all.Go(func() error { do(i); return nil })
	}
	_ = all.Wait() // none returns an error
}

// seedRuns is all runs of a seed.
type seedRuns struct {
	never     Run
	cells     []Run // as Result.Cells
	coalition int
}

// runsOf plays all of a seed. Posts are kept if they are wanted; those of all seeds and variations would be a gigabyte.
func runsOf(w *world, p Params, moments []time.Duration, posts bool) seedRuns {
	f := newFates(w, p.Spread)
	out := seedRuns{never: play(f, Never, 0, p.HorizonNs, nil), coalition: w.audience(0, w.Coalition.Count)}
	out.never.Posts = nil
	for _, arm := range arms {
		for _, delay := range p.DelaysNs {
			run := play(f, arm, delay, p.HorizonNs, moments)
			if !posts {
				run.Posts = nil
			}
			out.cells = append(out.cells, run)
		}
	}
	return out
}

var arms = []Arm{ByForwards, ByHub}

// audience is how many different people subscribe to some channels, from one to before another.
func (w *world) audience(from, to int) (n int) {
	subscribed := newBitset(w.Communities * w.perCommunity())
	for _, person := range w.members[w.first[from]:w.first[to]] {
		if subscribed.set(person) {
			n++
		}
	}
	return n
}

// moments is when the reach is looked at: often while it changes quickly.
func moments(horizon time.Duration) []time.Duration {
	var out []time.Duration
	for at := time.Duration(0); at <= horizon; {
		out = append(out, at)
		switch {
		case at < time.Hour:
			at += time.Minute
		case at < 4*time.Hour:
			at += 5 * time.Minute
		default:
			at += 30 * time.Minute
		}
	}
	return out
}

func summarise(p Params, seeds []seedRuns) Result {
	out := Result{Params: p, ForwardsPerPost: p.forwardsPerPost()}
	never, coalition := make([]Run, len(seeds)), make(figure, len(seeds))
	for i, s := range seeds {
		never[i], coalition[i] = s.never, float64(s.coalition)
	}
	out.Uncorrected, out.CoalitionPeople = of(never, falsehood).count(), coalition.count()
	cell := func(i int) []Run {
		runs := make([]Run, len(seeds))
		for s := range seeds {
			runs[s] = seeds[s].cells[i]
		}
		return runs
	}
	for a, arm := range arms {
		for d, delay := range p.DelaysNs {
			out.Cells = append(out.Cells, cellOf(arm, delay, moments(p.HorizonNs), cell(a*len(p.DelaysNs)+d)))
		}
	}
	for d, delay := range p.DelaysNs {
		without, with := cell(d), cell(len(p.DelaysNs)+d)
		out.Gains = append(out.Gains, Gain{
			delay, firstShare(with).less(firstShare(without)), forewarnedShare(with).less(forewarnedShare(without)),
			of(with, falsehood).less(of(without, falsehood)),
		})
	}
	return out
}

func cellOf(arm Arm, delay time.Duration, moments []time.Duration, runs []Run) Cell {
	c := Cell{
		Arm: arm, DelayNs: delay, CorrectionFirst: firstShare(runs).share(), Forewarned: forewarnedShare(runs).share(),
		Correction: of(runs, correction).count(), Falsehood: of(runs, falsehood).count(), Ahead: aheadOf(runs),
		Deliveries:              of(runs, func(r Run) int { return r.Deliveries }).count(),
		PeakDeliveriesPerSecond: of(runs, func(r Run) int { return r.PeakDeliveriesPerSecond }).count(),
		Posts:                   runs[0].Posts,
	}
	if len(runs[0].Over) == 0 {
		return c
	}
	for i, at := range moments {
		then := make([]Run, len(runs))
		for s := range runs {
			then[s] = Run{Reached: runs[s].Over[i]}
		}
		c.Over = append(c.Over, Moment{at, of(then, correction).count(), of(then, falsehood).count(), firstShare(then).share()})
	}
	return c
}

func correction(r Run) int { return r.Correction }
func falsehood(r Run) int  { return r.Falsehood }

func firstShare(runs []Run) figure {
	return pooled(of(runs, func(r Run) int { return r.CorrectionFirst }), of(runs, func(r Run) int { return r.Either() }))
}

func forewarnedShare(runs []Run) figure {
	return pooled(of(runs, func(r Run) int { return r.Forewarned() }), of(runs, falsehood))
}

func aheadOf(runs []Run) Ahead {
	var at []time.Duration
	for _, r := range runs {
		if r.Ahead != nil {
			at = append(at, *r.Ahead)
		}
	}
	if len(at) == 0 {
		return Ahead{}
	}
	slices.Sort(at)
	return Ahead{len(at), &at[0], &at[(len(at)-1)/2], &at[len(at)-1]}
}

// forwardsPerPost is the mean number of posts that a post in an average channel leads to while no other has the message.
func (p Params) forwardsPerPost() [2]float64 {
	size := func(c ...Channels) float64 {
		var n, sum int
		for _, c := range c {
			n, sum = n+c.Count, sum+c.Subscriptions
		}
		return float64(sum) / float64(n)
	}
	views := p.Crowd.OnlineShare * p.Spread.ForwardTrue
	return [2]float64{
		Falsehood:  views * p.Spread.FalseFactor * size(p.Crowd.Outside),
		Correction: views * size(p.Crowd.Coalition, p.Crowd.Outside),
	}
}

// Cell finds an arm and a delay of the study; it is false if the study has no such.
func (r Result) Cell(arm Arm, delay time.Duration) (Cell, bool) {
	for _, c := range r.Cells {
		if c.Arm == arm && c.DelayNs == delay {
			return c, true
		}
	}
	return Cell{}, false
}
