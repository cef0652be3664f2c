package scenario

import (
	"fmt"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

const (
	// maxLiveChannels is how many channels a run makes at most.
	maxLiveChannels = 100_000
	// minWindow is long enough that a post of its start is delivered in it.
	minWindow  = 10 * time.Millisecond
	maxWindows = 10_000
)

// model checks what only the model plays, and that the scenario says that it is for it.
func (r *rules) model() {
	if r.s.Engine != v1alpha1.ModelEngine {
		r.modelOnly()
	}
	r.places()
	r.windows()
	if m := r.s.Target.Model; m != nil && r.given("target.model.networkPerSecond") && m.NetworkPerSecond == 0 {
		r.report("target.model.networkPerSecond", "0B a second is no network; remove it for the default")
	}
}

func (r *rules) modelOnly() {
	const only = "only the model plays it; say engine: model, or remove it"
	for _, path := range []string{"population.onlineShare", "population.places", "phases.windows", "chatter.shape", "cascade"} {
		if r.given(path) {
			r.report(path, only)
		}
	}
	if r.s.Population.Channels > maxLiveChannels {
		r.report("population.channels", "more than %d: %s", maxLiveChannels, only)
	}
}

func (r *rules) places() {
	places := r.s.Population.Places
	if len(places) == 0 {
		return
	}
	sum, named := 0.0, map[string]bool{}
	for i, p := range places {
		path := fmt.Sprintf("population.places[%d]", i)
		sum += p.Share
		switch {
		case named[p.Name]:
			r.report(path+".name", "%q is given twice", p.Name)
		case p.RoundTrip == 0:
			r.report(path+".roundTrip", "it must be above 0s")
		case r.given(path+".roundTripP99") && p.RoundTripP99 <= p.RoundTrip:
			r.report(path+".roundTripP99", "%s is not above the median, %s", p.RoundTripP99.Std(), p.RoundTrip.Std())
		}
		named[p.Name] = true
	}
	if math.Abs(sum-1) > 1e-6 {
		r.report("population.places", "their shares sum to %g, not to 1", sum)
	}
}

func (r *rules) windows() {
	if c := r.s.Chatter; c != nil && c.Shape != nil {
		r.factors("chatter.shape.hours", c.Shape.Hours)
		r.factors("chatter.shape.days", c.Shape.Days)
		if r.s.Phases.Windows == nil {
			r.report("chatter.shape", "it needs phases.windows: which parts of so long a time are played")
		}
	}
	w := r.s.Phases.Windows
	if w != nil && r.given("chatter.for") {
		r.report("chatter.for", "with phases.windows the chatter goes on to the end; remove it")
	}
	switch {
	case w == nil:
	case w.For.Std() < minWindow:
		r.report("phases.windows.for", "%s is too short; at least %s", w.For.Std(), minWindow)
	case w.For > w.Every:
		r.report("phases.windows.for", "%s is longer than every, %s", w.For.Std(), w.Every.Std())
	case w.Count(r.s.Phases.Measure.Std()) > maxWindows:
		r.report("phases.windows.every", "that is %d windows; at most %d", w.Count(r.s.Phases.Measure.Std()), maxWindows)
	case r.s.Chatter == nil:
		r.report("phases.windows", "there is no chatter to play in them; broadcasts and faults are not played in windows")
	case len(r.s.Broadcasts)+len(r.s.Faults) > 0:
		r.report("phases.windows", "between windows nothing is played, so they are for chatter alone; remove broadcasts and faults")
	}
}

func (r *rules) factors(path string, factors []float64) {
	sum := 0.0
	for _, f := range factors {
		if f < 0 {
			sum = math.Inf(-1)
		}
		sum += f
	}
	if len(factors) > 0 && sum <= 0 {
		r.report(path, "factors must be at least 0, and some above")
	}
}
