package cascade

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Params is all that a study depends on: the same one gives the same result, to the byte.
type Params struct {
	Crowd  Crowd  `json:"crowd"`
	Spread Spread `json:"spread"`
	// From the first post of the falsehood to that of the correction.
	DelaysNs []time.Duration `json:"delaysNs"`
	// How long after the first post of the falsehood the study ends.
	HorizonNs time.Duration `json:"horizonNs"`
	// The seeds are Seed, Seed + 1 and so on.
	Seed  uint64 `json:"seed"`
	Seeds int    `json:"seeds"`
}

// Crowd is who there is.
type Crowd struct {
	People      int `json:"people"`
	Communities int `json:"communities"`
	// Channels where the hub can post, and those where the falsehood spreads.
	Coalition Channels `json:"coalition"`
	Outside   Channels `json:"outside"`
	// The exponent of the Pareto law of a channel's size, and how many times the smallest size the largest can be.
	SizeExponent  float64 `json:"sizeExponent"`
	SizeRatio     float64 `json:"sizeRatio"`
	OnlineShare   float64 `json:"onlineShare"`
	OnlineByHabit float64 `json:"onlineByHabit"`
}

// Channels is how many there are of a kind, and the sum of their subscribers: one who subscribes to three is counted three times.
type Channels struct {
	Count         int `json:"count"`
	Subscriptions int `json:"subscriptions"`
}

// Spread is what people do with what they see.
type Spread struct {
	// The probability that one view of the correction is forwarded to a channel, and by what that of the falsehood is larger.
	ForwardTrue float64 `json:"forwardTrue"`
	FalseFactor float64 `json:"falseFactor"`
	// What is left of the latter for a person who saw the correction before the falsehood.
	Forewarned float64 `json:"forewarned"`
	// The share of forwards to a channel of the community where the post was seen.
	Inside float64 `json:"inside"`
	// From a view to its forward: log-normal.
	ReactionMedianNs time.Duration `json:"reactionMedianNs"`
	ReactionSigma    float64       `json:"reactionSigma"`
	// From a post to its views: what the infrastructure adds to the social time.
	DeliveryNs time.Duration `json:"deliveryNs"`
}

// Default is the study of the scenario election-surge.
func Default() Params {
	return Params{
		Crowd: Crowd{
			People: 8_000_000, // no source
			// No source. So many people a community that its largest channels reach half of them.
			Communities: 20,
			Coalition:   Channels{2000, 8_000_000}, // the scenario's
			// No source: as much as the coalition. That the falsehood has channels of its own, and that the coalition's never post it, is an
			// assumption too.
			Outside: Channels{2000, 8_000_000},
			// No source. Shapes of audiences are usually given as heavy-tailed with an exponent of 1 to 2.
			SizeExponent: 1.2, SizeRatio: 200,
			OnlineShare: 0.2, // the scenario's
			// No source: half of the people are always there or never while this lasts, half come and go between posts. See Sensitivity for
			// what either end would do.
			OnlineByHabit: 0.5,
		},
		Spread: Spread{
			ForwardTrue: 0.003, // the scenario's; Sweep has 0.1 to 1 %
			FalseFactor: 1.7,   // Vosoughi et al. 2018
			Forewarned:  0.3,   // the scenario's
			Inside:      0.85,  // 0.8 to 0.9, for "largely localized" of Hoseini et al. 2024
			// The scenario's.
			ReactionMedianNs: 5 * time.Minute, ReactionSigma: 1.2,
		},
		DelaysNs:  []time.Duration{time.Minute, 15 * time.Minute, 2 * time.Hour, 13 * time.Hour},
		HorizonNs: 48 * time.Hour, Seed: 1, Seeds: 20,
	}
}

// Check says what cannot be studied, all of it.
func (p Params) Check() error {
	var errs []error
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("cascade: "+format, args...))
		}
	}
	share := func(name string, v float64) { demand(v >= 0 && v <= 1, "%s is %g; it is a share, 0 to 1", name, v) }
	c, s := p.Crowd, p.Spread
	demand(c.Communities > 0 && c.People >= c.Communities && c.People <= 1<<31, "%d people in %d communities; there must be somebody in each, and at most 2^31 in all", c.People, c.Communities)
	for _, kind := range []struct {
		name string
		Channels
	}{{"coalition", c.Coalition}, {"outside", c.Outside}} {
		demand(kind.Count > 0, "%s.count is %d; both kinds take a channel at least", kind.name, kind.Count)
		if c.Communities > 0 && kind.Count > 0 {
			demand(kind.Subscriptions > 0 && kind.Subscriptions/kind.Count < c.perCommunity(), "%s.subscriptions is %d, %d a channel; it must be positive, and a channel has at most the %d people of its community: take fewer subscriptions, fewer communities or more people",
				kind.name, kind.Subscriptions, kind.Subscriptions/kind.Count, c.perCommunity())
		}
	}
	demand(c.SizeExponent > 0, "sizeExponent is %g; it must be positive", c.SizeExponent)
	demand(c.SizeRatio >= 1, "sizeRatio is %g; the largest channel is no smaller than the smallest, so 1 at least", c.SizeRatio)
	share("onlineShare", c.OnlineShare)
	share("onlineByHabit", c.OnlineByHabit)
	share("forwardTrue", s.ForwardTrue)
	demand(s.FalseFactor >= 0 && s.ForwardTrue*s.FalseFactor <= 1, "falseFactor is %g; times forwardTrue it must be a probability, 0 to 1", s.FalseFactor)
	share("forewarned", s.Forewarned)
	share("inside", s.Inside)
	demand(s.ReactionMedianNs > 0 && s.ReactionSigma >= 0, "the reaction time has the median %s and sigma %g; it takes a positive median, and a sigma of 0 at least", s.ReactionMedianNs, s.ReactionSigma)
	demand(s.DeliveryNs >= 0, "deliveryNs is %s; nothing is seen before it is posted", s.DeliveryNs)
	demand(len(p.DelaysNs) > 0 && slices.Min(append([]time.Duration{0}, p.DelaysNs...)) == 0, "delaysNs is %v; name one at least, none below 0", p.DelaysNs)
	demand(p.HorizonNs > 0, "horizonNs is %s; it must be positive", p.HorizonNs)
	demand(p.Seeds >= 2, "seeds is %d; an interval takes 2 at least", p.Seeds)
	return errors.Join(errs...)
}

// perCommunity is how many people each community has; what is left of a division is nobody.
func (c Crowd) perCommunity() int { return c.People / c.Communities }
