package doctor

import (
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// Needs is what a scenario asks of the machine. The zero Needs asks for nothing.
type Needs struct {
	Sessions int
	// As the scenario says; 0 is as many as it takes.
	Workers int
	Sources int
	// Of a local fleet; 0 where the fleet is elsewhere.
	Stores, Shards int
	// A shard can be away for a while, and the others have its sessions.
	LosesShard bool
	// Sessions that connect at once: after a cut, or in a second of the connect phase.
	AtOnce int
	// Sessions that are delayed, by proxies in the simulator's own process.
	Delayed int
	// Deliveries and posts a second on average, the most deliveries of one post, and when they must be there; 0: at no time.
	DeliveriesPerSecond, PostsPerSecond float64
	LargestPost                         int
	DeliverWithin                       time.Duration
}

// NeedsOf works out what a scenario asks for.
func NeedsOf(s *v1alpha1.Scenario) Needs {
	e := scenario.Expect(s)
	measure := s.Phases.Measure.Std().Seconds()
	n := Needs{
		Sessions: int(e.Sessions), Workers: int(s.Workers.Count), Sources: len(s.Workers.SourceAddresses),
		DeliveriesPerSecond: float64(e.Deliveries) / measure, PostsPerSecond: float64(e.Posts) / measure,
	}
	if l := s.Target.Local; l != nil {
		n.Stores, n.Shards = l.Stores, l.Shards
	}
	over := s.Phases.Connect.ConnectsOver(n.Sessions).Seconds()
	n.AtOnce = int(float64(n.Sessions) / max(over, 1))
	n.Delayed = int(s.Delayed() * float64(n.Sessions))
	for _, f := range s.Faults {
		switch {
		case f.Action == v1alpha1.Cut:
			n.AtOnce = max(n.AtOnce, int(f.Share*float64(n.Sessions)))
		case f.Action != v1alpha1.Delay && f.Action != v1alpha1.Clock && !f.Target.OnStore():
			n.LosesShard = true
		}
	}
	for _, b := range s.Broadcasts {
		if within := b.DeliverWithin.Std(); n.DeliverWithin == 0 || within < n.DeliverWithin {
			n.DeliverWithin = within
		}
		n.LargestPost = n.Sessions
	}
	return n
}
