package scenario

import (
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// Expected is what a scenario comes to when everything goes well. Poisson arrivals make the chatter's part a mean. Of a cascade it is the least
// that it can be, since how far messages are forwarded only playing it shows: what the hub posts after each delay, which is one broadcast.
type Expected struct {
	Sessions   int64
	Broadcasts int64
	// Groups are the kinds of posts that are told apart: the warm-up, slices of the chatter, and each broadcast.
	Groups int64
	// Posts of the measure phase, broadcasts included.
	Posts int64
	// Their deliveries, without those of slow readers.
	Deliveries int64
	// Faults by title.
	Faults map[string]int64
	// From the first dial to the end of the settle phase.
	Duration time.Duration
}

// Expect computes what a scenario comes to.
func Expect(s *v1alpha1.Scenario) Expected {
	sessions := s.Population.Sessions()
	e := Expected{Sessions: int64(sessions), Faults: map[string]int64{}}
	for _, b := range s.Broadcasts {
		e.Broadcasts += int64(max(b.Count, 1))
	}
	_, parts := schedule.ChatterSlices(s)
	e.Groups = 1 + int64(parts) + e.Broadcasts
	e.Posts = e.Broadcasts
	// What slow readers get depends on how far behind they fall.
	if slow := s.Population.SlowReaders; slow != nil {
		sessions -= int(math.Ceil(slow.Share * float64(sessions)))
	}
	e.Deliveries = e.Broadcasts * int64(sessions)
	if c := s.Chatter; c != nil && s.Population.Channels > 0 {
		posts := c.RatePerSecond * max(0, s.ChatterEnds()-s.Phases.Warmup.Std()).Seconds()
		e.Posts += int64(posts)
		e.Deliveries += int64(posts * float64(sessions) * float64(s.Population.AttachPerSession) / float64(s.Population.Channels))
	}
	if c := s.Cascade; c != nil {
		n := int64(len(c.Delays))
		e.Broadcasts, e.Groups = n, 1+int64(parts)+n
		e.Posts = n * int64(c.Coalition.Channels)
		e.Deliveries = int64(float64(n*int64(c.Coalition.Subscriptions)) * s.Population.Online())
	}
	for _, f := range s.Faults {
		e.Faults[f.Title()] += int64(max(f.Count, 1))
	}
	e.Duration = s.Phases.Connect.ConnectsOver(s.Population.Sessions()) + s.Phases.Warmup.Std() + s.Phases.Measure.Std() + settle(s)
	return e
}

func settle(s *v1alpha1.Scenario) time.Duration {
	if s.Phases.Settle == nil {
		return defaultSettle
	}
	return s.Phases.Settle.Std()
}
