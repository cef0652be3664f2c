package live

import (
	"context"
	"time"
)

// showEvery is how often a Status is given to who watches.
const showEvery = 200 * time.Millisecond

// Status is where a run is, for a view that shows it. Counts are of the whole run so far, some 300 ms old.
type Status struct {
	Phase string
	// Since the beginning, and until the end if all goes as planned.
	Elapsed, Left time.Duration
	// Sessions that there should be, that are signed in now, and that have been so and are on their way back.
	Wanted, SignedIn, Away int64
	// Posts of the schedule, and what became of those that were due.
	Posts, Acknowledged, Failed int64
	Delivered                   int64
	// What is wrong already. Losses are known at the end.
	Duplicate, Unordered int64
}

// show gives statuses to who watches until ctx ends. With counts the crowd is there, and the poster if it ever is in this phase.
func (e *engine) show(ctx context.Context, phase string, counts bool) {
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	for {
		s := &e.shown // Without counts of its own, a phase shows what the one before has left.
		s.Phase, s.Elapsed, s.Left, s.Wanted = phase, time.Since(e.began), e.progress.left(), int64(e.Scenario.Population.Sessions())
		if counts {
			e.counts(s)
		}
		e.Watch(*s)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *engine) counts(s *Status) {
	c := e.crowd.Progress().Counters
	s.SignedIn, s.Away, s.Delivered, s.Duplicate, s.Unordered = c.SignedInNow, c.AwayNow, c.Delivered, c.Duplicate, c.Unordered
	if e.poster != nil {
		p := e.poster.Counts()
		s.Posts, s.Acknowledged, s.Failed = p.Intended, p.Acknowledged, p.Failed
	}
}
