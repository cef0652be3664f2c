package scenario

import (
	"cmp"
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
)

// maxCascadePosts is how many posts a cascade may come to over all delays, ways and seeds: each channel posts each message once at most.
const maxCascadePosts = maxPosts

// cascade checks what the parts of a cascade may not say together.
func (r *rules) cascade() {
	c := r.s.Cascade
	if c == nil {
		return
	}
	for path, is := range map[string]bool{
		"chatter": r.s.Chatter != nil, "broadcasts": len(r.s.Broadcasts) > 0, "faults": len(r.s.Faults) > 0, "phases.windows": r.s.Phases.Windows != nil,
		"population.slowReaders": r.s.Population.SlowReaders != nil, "population.channels": r.given("population.channels"),
		"population.attachPerSession": r.given("population.attachPerSession"),
	} {
		if is {
			r.report(path, "the posts and channels of this scenario are the cascade's; remove it, or the cascade")
		}
	}
	p := r.s.Population
	if p.DevicesPerUser > 1 {
		r.report("population.devicesPerUser", "in a cascade a person is one session; remove it")
	}
	if m := r.s.Target.Model; m != nil && m.Cells > 1 {
		r.report("target.model.cells", "a cascade is of one fleet, and what goes from one to another is not played; remove it")
	}
	r.content("cascade", c.MessageBytes, c.DeliverWithin)
	r.channelKinds()
	if c.ForwardShare*c.FalseFactor > 1 {
		r.report("cascade.falseFactor", "%g times forwardShare, %g, is no probability; lower one of them", c.FalseFactor, c.ForwardShare)
	}
	if c.Reaction.Median == 0 {
		r.report("cascade.reaction.median", "it must be above 0s")
	}
	r.delays()
	posts := int64(2*(c.Coalition.Channels+c.Outside.Channels)) * int64(2*len(c.Delays)) * int64(cmp.Or(c.Seeds, defaultCascadeSeeds))
	if posts > maxCascadePosts {
		r.report("cascade", "that may be %d posts over all delays and seeds; at most %d are played", posts, maxCascadePosts)
	}
	if len(r.problems) > 0 {
		return
	}
	if err := cascade.ParamsOf(r.s).Check(); err != nil {
		r.report("cascade", "%s", err)
	}
}

// channelKinds finds channels with more subscribers than there are people to draw them from.
func (r *rules) channelKinds() {
	c := r.s.Cascade
	people := r.s.Population.Subscribers / max(c.Communities, 1)
	if people == 0 {
		r.report("cascade.communities", "%d people in %d communities; there must be somebody in each", r.s.Population.Subscribers, c.Communities)
		return
	}
	for _, kind := range []struct {
		name string
		v1alpha1.ChannelKind
	}{{"coalition", c.Coalition}, {"outside", c.Outside}} {
		if kind.Subscriptions < kind.Channels {
			r.report(fmt.Sprintf("cascade.%s.subscriptions", kind.name), "%d in %d channels; each has one at least", kind.Subscriptions, kind.Channels)
		}
		if each := kind.Subscriptions / kind.Channels; each >= people {
			r.report(fmt.Sprintf("cascade.%s.subscriptions", kind.name), "that is %d a channel, and a channel has at most the %d people of its community: take fewer subscriptions, fewer communities or more people",
				each, people)
		}
	}
}

func (r *rules) delays() {
	c := r.s.Cascade
	before := time.Duration(-1)
	for i, d := range c.Delays {
		path := fmt.Sprintf("cascade.delays[%d]", i)
		switch {
		case d.Std() <= before:
			r.report(path, "%s is not after %s; name them ascending", d.Std(), before)
		case d >= r.s.Phases.Measure:
			r.report(path, "%s is after the measure phase, which is %s long", d.Std(), r.s.Phases.Measure.Std())
		}
		before = d.Std()
	}
}
