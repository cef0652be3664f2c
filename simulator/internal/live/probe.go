package live

import (
	"context"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// probeEvery is how often the hiccup probe wants to run: as often as the loops of package swarm.
const probeEvery = swarm.HiccupEvery

// probe measures hiccups of this process until ctx ends: by how much later than it wanted a goroutine that does nothing runs.
func probe(ctx context.Context, clock stamp.Clock) *measure.Histogram {
	hiccups := measure.NewHistogram()
	timer := time.NewTimer(probeEvery)
	defer timer.Stop()
	for {
		wanted := clock() + int64(probeEvery)
		timer.Reset(probeEvery)
		select {
		case <-ctx.Done():
			return hiccups
		case <-timer.C:
			hiccups.Record(max(0, time.Duration(clock()-wanted)))
		}
	}
}

const (
	// watchEvery is how often the wall clock is held against the monotonic one.
	watchEvery = 100 * time.Millisecond
	// stepBound is what the two may drift apart from one look to the next. A clock that is slewed moves by 50 µs in that time
	// (500 parts in a million), and the looks themselves are some microseconds off.
	stepBound = 5 * time.Millisecond
)

// clockWatch notices when somebody sets the wall clock. Moments are taken by the monotonic clock, which that does not move; but
// a machine whose clock is set is being migrated, resumed or repaired, and no place to measure a second in.
type clockWatch struct {
	wall func() time.Time
	mono stamp.Clock

	mu   sync.Mutex
	step time.Duration
}

// run watches until ctx ends.
func (w *clockWatch) run(ctx context.Context) {
	before, _ := w.offset()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, unsure := w.offset()
		if unsure > stepBound/2 {
			continue // The machine is too busy to tell; a step is still there at the next look.
		}
		w.note((now - before).Round(time.Microsecond))
		before = now
	}
}

func (w *clockWatch) note(moved time.Duration) {
	if moved.Abs() < stepBound {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if moved.Abs() > w.step.Abs() {
		w.step = moved
	}
}

// largest is the largest step so far, 0 if there was none.
func (w *clockWatch) largest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.step
}

// offset is how far the wall clock is ahead of the monotonic one, and by how much that may be wrong. Of some looks the quickest
// counts: the process may be put aside between the two readings of a look.
func (w *clockWatch) offset() (offset, unsure time.Duration) {
	unsure = time.Duration(1<<63 - 1)
	for range 5 {
		before := w.mono()
		wall := w.wall().UnixNano()
		after := w.mono()
		if took := time.Duration(after - before); took < unsure {
			unsure, offset = took, time.Duration(wall-before)
		}
	}
	return offset, unsure
}
