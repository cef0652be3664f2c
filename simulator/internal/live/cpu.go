package live

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// cpuEvery is how often the fleet's processor time is looked at: as often as deliveries are counted, so that the two can be held against each
// other for any part of a run. A look takes some microseconds a process.
const cpuEvery = measure.DefaultWidth

// cpuSeries is the processor time of a local fleet over the measure phase.
type cpuSeries struct {
	mu sync.Mutex
	// Microseconds; nil: nobody has looked.
	series *measure.Series
}

// follow looks until ctx ends, and once more then. The clock is that of the run.
func (c *cpuSeries) follow(ctx context.Context, now func() time.Duration, used func() time.Duration) {
	tick := time.NewTicker(cpuEvery)
	defer tick.Stop()
	from, before := now(), used()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		to, after := now(), used()
		c.add(from, to, (after - before).Microseconds())
		// What is left of a microsecond is not lost.
		from, before = to, before+(after-before).Truncate(time.Microsecond)
	}
}

// add spreads what was used between two looks evenly over the time between them: one look may be late.
func (c *cpuSeries) add(from, to time.Duration, micros int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.series == nil {
		c.series = measure.NewSeries(cpuEvery)
	}
	given := int64(0)
	for at := from; at < to; {
		next := min(at.Truncate(cpuEvery)+cpuEvery, to)
		upTo := int64(math.Round(float64(micros) * float64(next-from) / float64(to-from)))
		c.series.Add(at, upTo-given)
		given, at = upTo, next
	}
	if given != micros { // no time went by
		c.series.Add(to, micros-given)
	}
}

// over is what was used when, nil if that is not known.
func (c *cpuSeries) over() *measure.Series {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.series
}

// fleetCPU reads the processor time of all processes of a fleet so far. It never goes back, though that of a process may for the moment between
// its end and its settling.
func fleetCPU(f *fleet.Fleet) func() time.Duration {
	most := map[string]time.Duration{}
	return func() (sum time.Duration) {
		for _, p := range f.Processes() {
			most[p.Name] = max(most[p.Name], p.CPU())
			sum += most[p.Name]
		}
		return sum
	}
}
