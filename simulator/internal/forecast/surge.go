package forecast

import (
	"fmt"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// night is one seed of a cascade: what people do, what the fleet makes of the posts, and what people do when every delivery takes as long as the fleet's
// slowest thousandth.
type night struct {
	people, late cascade.Seed
	fleet        model.Outcome
	// What each delivery took in late.
	delivery time.Duration
}

// surge plays a scenario with a cascade: all arms and delays of as many seeds as the configuration names, 2 at least.
func surge(c Config, fleet model.Fleet) (report.Run, error) {
	p := cascade.ParamsOf(c.Scenario)
	p.Seeds = c.Seeds
	if err := p.Check(); err != nil {
		return report.Run{}, err
	}
	first := model.Input{Scenario: c.Scenario, Fleet: fleet, Calibration: c.Calibration, Seed: c.Scenario.Seed, PerSession: c.PerSession, Shown: shown(p)}
	nights := make([]night, p.Seeds)
	err := each(len(nights), func(i int) (err error) {
		people := cascade.NewPeople(p, i)
		nights[i].people = people.Play(0)
		in := first
		in.Seed += uint64(i)
		in.Brief = i > 0
		in.Cases = casesOf(c.Scenario, p, nights[i].people)
		if nights[i].fleet, err = model.Play(in); err != nil {
			return err
		}
		nights[i].delivery = nights[i].fleet.Measurements.Deliveries.Latency.Percentile(99.9)
		nights[i].late = people.Play(nights[i].delivery)
		if i > 0 { // Posts of one seed are enough to keep.
			nights[i].people.Forget()
		}
		nights[i].late.Forget()
		return nil
	})
	if err != nil {
		return report.Run{}, err
	}
	brief := first
	brief.Brief, brief.Cases = true, casesOf(c.Scenario, p, nights[0].people)
	nights[0].people.Forget()
	moves := movesOf(brief)
	plays := []model.Input{brief}
	for _, m := range moves {
		plays = append(plays, m.input)
	}
	outcomes, err := playAll(plays)
	if err != nil {
		return report.Run{}, err
	}
	base := answersOf(outcomes[0])
	spread := [][]answer{base}
	for _, n := range nights[1:] {
		spread = append(spread, answersOf(n.fleet))
	}
	for k := range moves {
		moves[k].answers = answersOf(outcomes[1+k])
	}
	run := runOf(c, fleet, nights[0].fleet)
	assess(&run, c, fleet, assessment{shown: answersOf(nights[0].fleet), base: base, seeds: spread, moves: moves})
	run.Model.Events = nights[0].fleet.Events
	run.Cascade = cascadeOf(p, nights)
	return run, nil
}

// shown is the number of the case that is shown over time: the hub's, after the first delay.
func shown(p cascade.Params) int {
	return slices.Index(cascade.Arms(), cascade.ByHub) * len(p.DelaysNs)
}

// casesOf are the posts of a seed as a fleet gets them, in the order of its cells. What the hub posts is one broadcast.
func casesOf(s *v1alpha1.Scenario, p cascade.Params, people cascade.Seed) []model.Case {
	var out []model.Case
	runs := people.Cells()
	for a, arm := range cascade.Arms() {
		for d, delay := range p.DelaysNs {
			run := runs[a*len(p.DelaysNs)+d]
			c := model.Case{Name: fmt.Sprintf("%s after %s", arm, delay), Posts: make([]schedule.Post, 0, len(run.Posts))}
			for _, post := range run.Posts {
				if post.Online == 0 {
					continue // Nobody is there to get it.
				}
				broadcast := schedule.NoBroadcast
				if arm == cascade.ByHub && post.Message == cascade.Correction && post.Generation == 0 {
					broadcast = d
				}
				c.Posts = append(c.Posts, schedule.Post{
					Due: s.Phases.Warmup.Std() + post.AtNs, Log: 1 + int(post.Channel), Bytes: int(s.Cascade.MessageBytes), Broadcast: broadcast,
					DeliverWithin: s.Cascade.DeliverWithin.Std(), Readers: post.Online,
				})
			}
			out = append(out, c)
		}
	}
	return out
}

// cascadeOf puts the nights together for the report.
func cascadeOf(p cascade.Params, nights []night) *report.Cascade {
	var people, late []cascade.Seed
	for _, n := range nights {
		people, late = append(people, n.people), append(late, n.late)
	}
	out := &report.Cascade{Study: cascade.Summarise(p, people), DeliveryMs: over(nights, func(n night) float64 { return nanos(n.delivery) / 1e6 })}
	changes := cascade.Changes(people, late)
	for i, cell := range out.Study.Cells {
		of := func(value func(model.CaseOutcome) float64) cascade.Interval {
			return over(nights, func(n night) float64 { return value(n.fleet.Cases[i]) })
		}
		c := report.CascadeCase{
			Arm: cell.Arm, DelayNs: cell.DelayNs, WithDelivery: changes[i],
			BusiestSecond:  of(func(o model.CaseOutcome) float64 { return float64(o.BusiestSecond) }),
			DeliveryP50Ms:  of(func(o model.CaseOutcome) float64 { return nanos(o.Latency.Percentile(50)) / 1e6 }),
			DeliveryP999Ms: of(func(o model.CaseOutcome) float64 { return nanos(o.Latency.Percentile(99.9)) / 1e6 }),
		}
		if cell.Arm == cascade.ByHub {
			to := func(share float64) *cascade.Interval {
				i := of(func(o model.CaseOutcome) float64 { return nanos(o.Broadcast.Latency.Percentile(share)) / 1e6 })
				return &i
			}
			c.HubTo50Ms, c.HubTo999Ms, c.HubToLastMs = to(50), to(99.9), to(100)
		}
		out.Cases = append(out.Cases, c)
	}
	return out
}

// over is a figure of every night.
func over(nights []night, value func(night) float64) cascade.Interval {
	values := make([]float64, len(nights))
	for i, n := range nights {
		values[i] = value(n)
	}
	return cascade.IntervalOf(values).Count()
}
