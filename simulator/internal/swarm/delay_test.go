package swarm

import (
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// Deliveries go by the moment at which their post was intended, and by whose they are; those at the edges of a delay to neither part.
func TestDelayedDeliveriesAreApart(t *testing.T) {
	windows := []Window{{BeforeNs: 90, FromNs: 100, ToNs: 200, AfterNs: 250}, {BeforeNs: 290, FromNs: 300, ToNs: 400, AfterNs: 450}}
	m := newMeter(newGrouping([]Group{{Name: "warm-up"}, {Name: "measured", Measured: true}}, []PostRange{{First: 1, Count: 1, Group: 1}}), 0, 1)
	m.delays, m.windows = []DelayResult{newDelayResult()}, &windows
	far, near := &session{flags: flagFar}, &session{}
	for i, intended := range []int64{50, 90, 100, 199, 200, 250, 300, 449, 450} {
		for range i + 1 {
			m.from(0, far)
			m.delivered(content{post: 1, intendedNs: intended}, intended+int64(time.Second))
		}
		m.from(0, near)
		m.delivered(content{post: 1, intendedNs: intended}, intended+int64(time.Millisecond))
	}
	m.delivered(content{post: 0, intendedNs: 100}, 200) // of the warm-up
	m.delivered(content{post: stamp.NoPost}, 200)
	var r Result
	r.mergeDelays(m.delayResults())
	r.mergeDelays(m.delayResults())
	for i, want := range []struct{ far, others int64 }{{1 + 6 + 9, 3}, {3 + 4, 2}, {7, 1}} {
		if d := r.Delays[i]; d.Far.Count() != 2*want.far || d.Others.Count() != 2*want.others || d.Far.Min() < time.Second || d.Others.Max() > 2*time.Millisecond {
			t.Errorf("window %d: %d to delayed, %d to others; want %d, %d", i, d.Far.Count(), d.Others.Count(), 2*want.far, 2*want.others)
		}
	}
}

// As many sessions as the share says are far, and none of them reads slowly.
func TestFarSessions(t *testing.T) {
	far, slow := 0, 0
	for i := range 10000 {
		f, s := picked(i, 0.3, farSalt), readsSlowly(i, 0.3)
		if f {
			far++
		}
		if f && s {
			slow++
		}
	}
	if far < 2999 || far > 3001 || slow == far {
		t.Errorf("%d of 10000 are far, %d of them would read slowly", far, slow)
	}
}
