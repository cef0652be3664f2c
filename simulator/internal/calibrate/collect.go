package calibrate

import (
	"context"
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// Collection runs the points of a grid that have not been run.
type Collection struct {
	// Where the observations are, and those that are there already.
	Dir  string
	Done []Observation
	// In the order in which they are run.
	Points []Point
	Seed   uint64
	// Of chatd.
	Commit string
	// No run is begun that would end later than this from now; 0 is no bound.
	For time.Duration

	// Play plays a scenario against a fleet of its own.
	Play func(ctx context.Context, s *v1alpha1.Scenario) (report.Report, error)
	// Quiet waits until nobody else uses the machine, for a while at most.
	Quiet func(ctx context.Context)
	Say   func(format string, args ...any)
	Now   func() time.Time
}

// mostAttempts is how often a point is run that gives no sample: after that it is left out, which the fit says.
const mostAttempts = 3

// Run runs what is left, writes each run down as it ends, and returns all observations. whole is false if something is left: the time was over, or ctx
// ended. A run that ctx cuts short is not written down.
func (c Collection) Run(ctx context.Context) (all []Observation, whole bool, err error) {
	all = c.Done
	began := c.Now()
	for {
		p, ok := c.next(all)
		if !ok {
			return all, true, nil
		}
		if c.For > 0 && c.Now().Sub(began)+p.Lasts() > c.For {
			c.Say("stopping: %s takes about %s, and the time is over; the same command goes on from here", p.Name, p.Lasts())
			return all, false, nil
		}
		if c.Quiet != nil {
			c.Quiet(ctx)
		}
		o, err := c.one(ctx, p)
		if ctx.Err() != nil {
			return all, false, nil //nolint:nilerr // cut short on purpose; what was done is kept
		}
		if err != nil {
			return all, false, fmt.Errorf("run %s: %w", p.Name, err)
		}
		if err := Append(c.Dir, o); err != nil {
			return all, false, err
		}
		all = append(all, o)
		c.Say("%s", o.line())
	}
}

func (c Collection) one(ctx context.Context, p Point) (Observation, error) {
	s, err := p.Scenario(c.Seed)
	if err != nil {
		return Observation{}, err
	}
	r, err := c.Play(ctx, s)
	if err != nil {
		return Observation{}, err
	}
	return Observe(p, c.Seed, c.Commit, r), nil
}

// next is the first point that has no sample; those that were tried and gave none come once all others were.
func (c Collection) next(all []Observation) (Point, bool) {
	over := c.over(all)
	tried := map[string]int{}
	for _, o := range ofGrid(all, c.Points) {
		tried[o.Point.Name]++
	}
	best, found := Point{}, false
	for _, p := range c.Points {
		if !over[p.Name] && (!found || tried[p.Name] < tried[best.Name]) {
			best, found = p, true
		}
	}
	return best, found
}

// over says which points are done: they have a sample, or were tried often enough.
func (c Collection) over(all []Observation) map[string]bool {
	tried, over := map[string]int{}, map[string]bool{}
	for _, o := range ofGrid(all, c.Points) {
		tried[o.Point.Name]++
		over[o.Point.Name] = over[o.Point.Name] || o.Unusable == "" || tried[o.Point.Name] >= mostAttempts
	}
	return over
}

// line is an observation for people.
func (o Observation) line() string {
	text := fmt.Sprintf("%-22s", o.Point.Name)
	if n := len(o.Broadcasts); n > 0 {
		text += fmt.Sprintf(" last %s (%d broadcasts)", span(o.Broadcasts), n)
	} else if o.Delivery != nil {
		text += fmt.Sprintf(" delivery p50 %s, p99 %s", millisecs(o.Delivery.P50Ms), millisecs(o.Delivery.P99Ms))
	}
	text += fmt.Sprintf(", acknowledged p50 %s; others %.1f %% of the cores", millisecs(o.Posts.Response.P50Ms), 100*o.Others)
	if o.Unusable != "" {
		text += "; no sample: " + o.Unusable
	}
	return text
}

func span(all []Broadcast) string {
	least, most := all[0].LastMs, all[0].LastMs
	for _, b := range all {
		least, most = min(least, b.LastMs), max(most, b.LastMs)
	}
	return between(least, most)
}
