package cascade

import (
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// ParamsOf are those of a scenario with a cascade, its defaults filled in. Deliveries take no time in them: what a fleet takes for them is its
// model's matter.
func ParamsOf(s *v1alpha1.Scenario) Params {
	c := s.Cascade
	p := Params{
		Crowd: Crowd{
			People: s.Population.Subscribers, Communities: c.Communities,
			Coalition: Channels{c.Coalition.Channels, c.Coalition.Subscriptions}, Outside: Channels{c.Outside.Channels, c.Outside.Subscriptions},
			SizeExponent: c.SizeExponent, SizeRatio: c.SizeRatio, OnlineShare: s.Population.Online(), OnlineByHabit: c.OnlineByHabit,
		},
		Spread: Spread{
			ForwardTrue: c.ForwardShare, FalseFactor: c.FalseFactor, Forewarned: c.ForewarnedFactor, Inside: c.InsideShare,
			ReactionMedianNs: c.Reaction.Median.Std(), ReactionSigma: c.Reaction.Sigma,
		},
		HorizonNs: s.Phases.Measure.Std(), Seed: s.Seed, Seeds: max(c.Seeds, 2),
	}
	p.DelaysNs = make([]time.Duration, len(c.Delays))
	for i, d := range c.Delays {
		p.DelaysNs[i] = d.Std()
	}
	return p
}
