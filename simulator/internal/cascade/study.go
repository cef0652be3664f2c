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
	// From the first post of the correction until half of all whom it ever reaches were shown it, in seconds: what people take, and no delivery.
	HalfSeconds Interval `json:"halfSeconds"`
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
	seeds := make([]Seed, p.Seeds)
	each(p.Seeds, func(i int) {
		seeds[i] = runsOf(newFates(newWorld(p.Crowd, p.Seed+uint64(i)), p.Spread), p, moments(p.HorizonNs), i == 0)
	})
	return Summarise(p, seeds), nil
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

// Seed is all runs of one seed: both arms with all delays, and what the falsehood does by itself.
type Seed struct {
	never     Run
	cells     []Run // as Result.Cells
	coalition int
}

// People are those of one seed, to play with.
type People struct {
	params Params
	fates  *fates
}

// NewPeople makes the people of one of a study's seeds, the first of which is 0. It takes some 250 MB for eight million of them. The parameters must have passed
// Check. They are for one goroutine.
func NewPeople(p Params, seed int) *People {
	return &People{p, newFates(newWorld(p.Crowd, p.Seed+uint64(seed)), p.Spread)}
}

// Play plays both arms with all delays, where each delivery takes so long. The same people see, and would forward, the same, however long that is.
func (p *People) Play(delivery time.Duration) Seed {
	f := *p.fates
	f.DeliveryNs = delivery
	return runsOf(&f, p.params, moments(p.params.HorizonNs), true)
}

// Cells are the runs by arm and then by delay, as the cells of a Result.
func (s Seed) Cells() []Run { return s.cells }

// Forget lets the posts go, which take most of the room.
func (s Seed) Forget() {
	for i := range s.cells {
		s.cells[i].Posts = nil
	}
}

// Arms are how the correction is posted, in the order of a Result.
func Arms() []Arm { return slices.Clone(arms) }

// Change is by how much two runs of the same people differ, in points of a share, by the cells of a Result.
type Change struct {
	CorrectionFirst Interval `json:"correctionFirst"`
	Forewarned      Interval `json:"forewarned"`
}

// Changes says what became of each cell from before to after, seed by seed.
func Changes(before, after []Seed) []Change {
	out := make([]Change, len(before[0].cells))
	for i := range out {
		was, is := cellRuns(before, i), cellRuns(after, i)
		out[i] = Change{firstShare(is).less(firstShare(was)), forewarnedShare(is).less(forewarnedShare(was))}
	}
	return out
}

// cellRuns is a cell of every seed.
func cellRuns(seeds []Seed, i int) []Run {
	runs := make([]Run, len(seeds))
	for s := range seeds {
		runs[s] = seeds[s].cells[i]
	}
	return runs
}

// runsOf plays all of a seed. Posts are kept if they are wanted; those of all seeds and variations would be a gigabyte.
func runsOf(f *fates, p Params, moments []time.Duration, posts bool) Seed {
	out := Seed{never: play(f, Never, 0, p.HorizonNs, nil), coalition: f.audience(0, f.Coalition.Count)}
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

// Summarise puts the seeds of a study together, two at least.
func Summarise(p Params, seeds []Seed) Result {
	out := Result{Params: p, ForwardsPerPost: p.forwardsPerPost()}
	never, coalition := make([]Run, len(seeds)), make(figure, len(seeds))
	for i, s := range seeds {
		never[i], coalition[i] = s.never, float64(s.coalition)
	}
	out.Uncorrected, out.CoalitionPeople = of(never, falsehood).count(), coalition.count()
	cell := func(i int) []Run { return cellRuns(seeds, i) }
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
		HalfSeconds:             halfSeconds(runs).count(), Posts: runs[0].Posts,
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

// halfSeconds leaves nobody out: the correction's first post, at least, is in every run.
func halfSeconds(runs []Run) figure {
	out := make(figure, len(runs))
	for i, r := range runs {
		if r.HalfNs != nil {
			out[i] = r.HalfNs.Seconds()
		}
	}
	return out
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
