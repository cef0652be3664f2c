package live

import (
	"context"
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/fault"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// audience is the crowd as one whose connections are cut.
type audience struct {
	crowd Crowd
	// Sessions that were cut so far. What the crowd last said of its progress may be older than that.
	aborted int64
}

func (a *audience) Cut(ctx context.Context, order int, share float64) (int64, error) {
	n, err := a.crowd.Cut(ctx, order, share)
	a.aborted += n
	return n, err
}

func (a *audience) Back(ctx context.Context, within time.Duration) error {
	away := int64(0)
	back := func() bool {
		c := a.crowd.Progress().Counters
		away = c.AwayNow
		return c.Aborted >= a.aborted && c.AwayNow == 0
	}
	if until(ctx, within, back); !back() {
		return fmt.Errorf("%s sessions are not back after %s", plain.Count(away), within)
	}
	return nil
}

// reconnects fills in what became of the sessions that lost their connection from a moment of the run until the next fault.
func (e *engine) reconnects(f *verdict.Fault, until time.Duration, r fault.Record) {
	if !e.verified {
		return
	}
	result := e.result
	width := result.Losses.Width()
	from, to := int(f.At/width), int(min(until, e.now())/width)
	if until == measure.Never {
		to++
	}
	f.Sessions = sum(result.Losses.Counts(), from, to)
	if f.Sessions == 0 {
		return
	}
	f.LongestReturn = result.Waits.Longest(time.Duration(from)*width, time.Duration(to)*width)
	if sum(result.LostForGood.Counts(), from, to) > 0 {
		f.LongestReturn = measure.Never
		return
	}
	back := to + int(f.LongestReturn/width) + 1
	f.PeakSignInsPerSecond = float64(most(result.SignIns.Counts(), from, back, int(time.Second/width)))
	f.Resumed = min(sum(result.Resumed.Counts(), from, back), f.Sessions)
	// Others lose their connections one after the other.
	if f.Action == string(v1alpha1.Cut) {
		f.SignInsPerSecond = float64(f.Sessions) / max(f.LongestReturn, width).Seconds()
		f.CPUPerSignIn = r.CPU / time.Duration(f.Sessions)
		if r.CPUAnyway > 0 {
			f.AddedCPUPerSignIn = max(0, r.CPU-r.CPUAnyway) / time.Duration(f.Sessions)
		}
	}
}

// sum adds up the counts from one index to before another.
func sum(counts []int64, from, to int) (n int64) {
	for i := max(from, 0); i < min(to, len(counts)); i++ {
		n += counts[i]
	}
	return n
}

// most is the largest sum of so many counts in a row, between two indices.
func most(counts []int64, from, to, together int) (n int64) {
	for i := from; i < to; i++ {
		n = max(n, sum(counts, i, min(i+together, to)))
	}
	return n
}
