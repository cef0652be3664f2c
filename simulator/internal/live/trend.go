package live

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// metricGoroutines is what a Go process shows of itself.
const metricGoroutines = "go_goroutines"

const (
	// trendSamples is about how many samples a measure phase has, at a distance of trendFastest to trendSlowest: they cost the
	// fleet a reading of its metrics each.
	trendSamples = 60
	trendFastest = time.Second
	trendSlowest = 10 * time.Second
	// minTrend is the fewest samples in a fifth of the phase that say anything.
	minTrend = 3
)

// trend keeps what the processes of a local fleet hold over the measure phase, to see whether it grows.
type trend struct {
	mu   sync.Mutex
	held map[string][]holding
}

// holding is what a process held at a moment of the measure phase.
type holding struct {
	at                        time.Duration
	memory, goroutines, files float64
}

// follow takes samples until ctx ends.
func (t *trend) follow(ctx context.Context, f *fleet.Fleet, measure time.Duration) {
	began := time.Now()
	tick := time.NewTicker(min(max(measure/trendSamples, trendFastest), trendSlowest))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range f.Processes() {
			stats, err := p.Stats()
			if err != nil || stats.RSSBytes == 0 {
				continue // It is being restarted.
			}
			metrics, err := p.Metrics(ctx)
			if err != nil {
				continue
			}
			t.add(p.Name, holding{time.Since(began), float64(stats.RSSBytes), metrics[metricGoroutines], float64(stats.FileDescriptors)})
		}
	}
}

func (t *trend) add(process string, h holding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[string][]holding{}
	}
	t.held[process] = append(t.held[process], h)
}

// growth compares, for each process, the middle of what it held in the last fifth of the measure phase with that in the second fifth.
// The first is left out: buffers find their size and heaps their level then.
func (t *trend) growth(measure time.Duration) map[string]verdict.Growth {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]verdict.Growth{}
	for name, held := range t.held {
		var early, late []holding
		for _, h := range held {
			switch {
			case h.at >= measure/5 && h.at < measure*2/5:
				early = append(early, h)
			case h.at >= measure*4/5:
				late = append(late, h)
			}
		}
		if len(early) < minTrend || len(late) < minTrend {
			continue
		}
		ratio := func(of func(h holding) float64) float64 {
			return middle(late, of) / max(middle(early, of), 1)
		}
		out[name] = verdict.Growth{
			Memory:     ratio(func(h holding) float64 { return h.memory }),
			Goroutines: ratio(func(h holding) float64 { return h.goroutines }),
			OpenFiles:  ratio(func(h holding) float64 { return h.files }),
		}
	}
	return out
}

func middle(held []holding, of func(h holding) float64) float64 {
	values := make([]float64, len(held))
	for i, h := range held {
		values[i] = of(h)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
