package capacity

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// Dimension is what of a load is varied.
type Dimension string

// The dimensions.
const (
	// Rate is the chatter's posts a second, and with them the deliveries a second.
	Rate Dimension = "rate"
	// Subscribers is how many there are. They come at the scenario's pace, so that connecting takes as much longer as they are more.
	Subscribers Dimension = "subscribers"
)

// Dimensions are all of them.
func Dimensions() []Dimension { return []Dimension{Rate, Subscribers} }

// Unit says what a load of it is counted in, for people.
func (d Dimension) Unit() string {
	if d == Rate {
		return "posts a second"
	}
	return "subscribers"
}

// whole says that there is nothing between one load and the next whole one.
func (d Dimension) whole() bool { return d == Subscribers }

// Of is the load of a scenario as it stands.
func (d Dimension) Of(s *v1alpha1.Scenario) (float64, error) {
	switch {
	case d == Subscribers:
		return float64(s.Population.Subscribers), nil
	case d != Rate:
		return 0, fmt.Errorf("%q cannot be varied; what can is %s and %s", string(d), Rate, Subscribers)
	case s.Chatter == nil:
		return 0, errors.New("the scenario has no chatter whose rate could be varied; vary its subscribers, or give it chatter")
	}
	return s.Chatter.RatePerSecond, nil
}

// With is a scenario with another load, and for a longer measure phase if there is a hold: broadcasts that come again and again then go on to its
// end, and faults come as often as before. Where the scenario demands a number of samples that a smaller load does not have, it demands as much
// less as the load is less. An error says why there can be no such scenario.
func (d Dimension) With(base *v1alpha1.Scenario, load float64, hold time.Duration) (*v1alpha1.Scenario, error) {
	s, err := changed(base, func(s *v1alpha1.Scenario) {
		if d == Subscribers {
			if c := &s.Phases.Connect; c.Duration > 0 {
				c.RatePerSecond, c.Duration = float64(s.Population.Sessions())/c.Duration.Std().Seconds(), 0
			}
			s.Population.Subscribers = int(load)
		} else {
			s.Chatter.RatePerSecond = load
		}
		if hold > 0 {
			lasts(s, hold)
		}
		lessSamples(s, base)
	})
	if err != nil {
		return nil, fmt.Errorf("with %g %s: %w", load, d.Unit(), err)
	}
	return s, nil
}

// changed is a copy of a scenario that was changed and still is one by all rules.
func changed(base *v1alpha1.Scenario, change func(s *v1alpha1.Scenario)) (*v1alpha1.Scenario, error) {
	text, err := json.Marshal(base)
	if err != nil {
		return nil, err
	}
	var s v1alpha1.Scenario
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	change(&s)
	if text, err = json.Marshal(s); err != nil {
		return nil, err
	}
	out, err := scenario.Read("scenario", strings.NewReader(string(text)))
	var problems scenario.Problems
	if errors.As(err, &problems) && len(problems) > 0 { // Lines of what nobody has written say nothing.
		return nil, fmt.Errorf("%s: %s", problems[0].Path, problems[0].Message)
	}
	return out, err
}

// lasts gives a scenario another measure phase.
func lasts(s *v1alpha1.Scenario, measure time.Duration) {
	before := s.Phases.Measure.Std()
	s.Phases.Measure = v1alpha1.Duration(measure)
	for i := range s.Broadcasts {
		b := &s.Broadcasts[i]
		if moments := b.Moments(); b.Every > 0 {
			rest := before - moments[len(moments)-1]
			b.Count = max(int((measure-rest-b.At.Std())/b.Every.Std())+1, 1)
			if b.Count == 1 {
				b.Every = 0
			}
		}
	}
}

// lessSamples lowers the samples that thresholds demand where what is posted, or delivered, is less than in the scenario that they are of. Of broadcasts and
// faults there are as many as before.
func lessSamples(s, base *v1alpha1.Scenario) {
	now, before := scenario.Expect(s), scenario.Expect(base)
	share := min(float64(now.Deliveries)/float64(max(before.Deliveries, 1)), float64(now.Posts)/float64(max(before.Posts, 1)))
	few := before.Broadcasts
	for _, n := range before.Faults {
		few = max(few, n)
	}
	for i := range s.Thresholds {
		if t := &s.Thresholds[i]; share < 1 && t.MinSamples > few {
			t.MinSamples = max(int64(math.Floor(float64(t.MinSamples)*share)), 1)
		}
	}
}

// DeliveriesPerSecond is what a scenario asks of a fleet in its measure phase.
func DeliveriesPerSecond(s *v1alpha1.Scenario) float64 {
	return float64(scenario.Expect(s).Deliveries) / s.Phases.Measure.Std().Seconds()
}

// within is how far up and down from a load a search may go where nobody says: as far as reach, and as the scenario still is one by all rules, hold and all.
func (d Dimension) within(base *v1alpha1.Scenario, from float64, hold time.Duration) (least, most float64) {
	fits := func(load float64) bool { return d.fits(base, load, hold) == nil }
	for least, most = from/reach, from*reach; least < from && !fits(d.rounded(least)); {
		least *= 2
	}
	for most > from && !fits(d.rounded(most)) {
		most /= 2
	}
	return min(d.rounded(least), from), max(d.rounded(most), from)
}

// fits says why a load can be no scenario, be it played or held.
func (d Dimension) fits(base *v1alpha1.Scenario, load float64, hold time.Duration) error {
	if _, err := d.With(base, load, 0); err != nil {
		return err
	}
	_, err := d.With(base, load, hold)
	return err
}

func (d Dimension) rounded(load float64) float64 {
	if d.whole() {
		return math.Ceil(load)
	}
	return load
}
