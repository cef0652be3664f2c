package live

import (
	"context"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/plain"
)

// progressEvery is how often a line says where a run is.
const progressEvery = 2 * time.Second

// Phase is a part of a run, from its start.
type Phase struct {
	Name     string
	From, To time.Duration
}

// progress tells people where a run is and how long it will still take.
type progress struct {
	say func(format string, args ...any)
	// Phases that are still to come, the one that goes on first, with how long each is meant to take.
	plan []planned
	// When the phase that goes on began.
	since time.Time
}

type planned struct {
	name  string
	takes time.Duration
}

// enter begins the named phase; those planned before it are over.
func (p *progress) enter(name string) {
	for len(p.plan) > 0 && p.plan[0].name != name {
		p.plan = p.plan[1:]
	}
	p.since = time.Now()
}

// left is how long the run will still take if all goes as planned.
func (p *progress) left() time.Duration {
	var left time.Duration
	for i, phase := range p.plan {
		if i == 0 {
			left += max(0, phase.takes-time.Since(p.since))
			continue
		}
		left += phase.takes
	}
	return left
}

// during prints a line every two seconds, of the phase's name, what status says and the time left, until ctx ends.
func (p *progress) during(ctx context.Context, name string, status func() string) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.say("%-8s %s, %s left", name, status(), plain.Lasting(p.left()))
		}
	}
}
