package cascade

import (
	"fmt"
	"time"
)

// Variation is the study with one assumption changed, and all others as they were.
type Variation struct {
	// What is other, such as "forwards 1 % of views".
	Name string `json:"name"`
	// Without what happened over time, and without posts.
	Result Result `json:"result"`
}

// change is a variation before it is played.
type change struct {
	name  string
	apply func(*Params)
}

// sweep is the forward probability of a true post over the range that the scenario names.
func sweep() []change {
	var out []change
	for _, p := range []float64{0.001, 0.002, 0.003, 0.005, 0.01} {
		out = append(out, change{fmt.Sprintf("%.1f %% of views are forwarded", 100*p), func(to *Params) { to.Spread.ForwardTrue = p }})
	}
	return out
}

// others are the other assumptions, each moved to either end of what one might as well have taken.
func others() []change {
	scale := func(c Channels, by float64) Channels {
		return Channels{int(float64(c.Count) * by), int(float64(c.Subscriptions) * by)}
	}
	return []change{
		{"falsehoods are forwarded like the truth", func(p *Params) { p.Spread.FalseFactor = 1 }},
		{"the forewarned forward like everybody", func(p *Params) { p.Spread.Forewarned = 1 }},
		{"the forewarned never forward", func(p *Params) { p.Spread.Forewarned = 0 }},
		{"80 % of forwards stay in the community", func(p *Params) { p.Spread.Inside = 0.8 }},
		{"90 % of forwards stay in the community", func(p *Params) { p.Spread.Inside = 0.9 }},
		{"reaction in 2 min", func(p *Params) { p.Spread.ReactionMedianNs = 2 * time.Minute }},
		{"reaction in 15 min", func(p *Params) { p.Spread.ReactionMedianNs = 15 * time.Minute }},
		{"a delivery takes 1 s", func(p *Params) { p.Spread.DeliveryNs = time.Second }},
		{"a delivery takes 1 min", func(p *Params) { p.Spread.DeliveryNs = time.Minute }},
		{"always others are online", func(p *Params) { p.Crowd.OnlineByHabit = 0 }},
		{"always the same are online", func(p *Params) { p.Crowd.OnlineByHabit = 1 }},
		{"half as much outside of the coalition", func(p *Params) { p.Crowd.Outside = scale(p.Crowd.Outside, 0.5) }},
		{"twice as much outside of the coalition", func(p *Params) { p.Crowd.Outside = scale(p.Crowd.Outside, 2) }},
		{"a quarter of the communities", func(p *Params) { p.Crowd.Communities = max(1, p.Crowd.Communities/4) }},
		{"sizes more alike (exponent 2)", func(p *Params) { p.Crowd.SizeExponent = 2 }},
	}
}

// Sensitivity plays the study again with each of its assumptions changed in turn: first the forward probability over the scenario's range, then
// all others. It takes the time of Study about once a variation.
func Sensitivity(p Params) ([]Variation, error) {
	changes := append(sweep(), others()...)
	out, runs := make([]Variation, len(changes)), make([][]Seed, len(changes))
	for i, c := range changes {
		changed := p
		c.apply(&changed)
		if err := changed.Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		out[i].Name, out[i].Result.Params, runs[i] = c.name, changed, make([]Seed, p.Seeds)
	}
	each(p.Seeds, func(seed int) {
		var w *world
		for i := range out {
			changed := out[i].Result.Params
			// Most variations have the same people, whom it takes longer to make than to play.
			if w == nil || w.Crowd != changed.Crowd {
				w = newWorld(changed.Crowd, p.Seed+uint64(seed))
			}
			runs[i][seed] = runsOf(newFates(w, changed.Spread), changed, nil, false)
		}
	})
	for i := range out {
		out[i].Result = Summarise(out[i].Result.Params, runs[i])
	}
	return out, nil
}
