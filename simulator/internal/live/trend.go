package live

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
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
	held map[string][]holding // by process
	// By role, what all its processes held together at moments at which all were there. Work that moves from one to another, as
	// it does with each restart, is no growth.
	together map[string][]holding
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
		sums, missing := map[string]holding{}, map[string]bool{}
		for _, p := range f.Processes() {
			role := string(p.Role)
			stats, err := p.Stats()
			if err != nil || stats.RSSBytes == 0 {
				missing[role] = true // It is being restarted.
				continue
			}
			metrics, err := p.Metrics(ctx)
			if err != nil {
				missing[role] = true
				continue
			}
			h := holding{time.Since(began), float64(stats.RSSBytes), metrics[metricGoroutines], float64(stats.FileDescriptors)}
			t.add(&t.held, p.Name, h)
			sums[role] = sums[role].and(h)
		}
		for role, sum := range sums {
			if !missing[role] {
				t.add(&t.together, role, sum)
			}
		}
	}
}

func (h holding) and(o holding) holding {
	return holding{o.at, h.memory + o.memory, h.goroutines + o.goroutines, h.files + o.files}
}

func (t *trend) add(to *map[string][]holding, whose string, h holding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if *to == nil {
		*to = map[string][]holding{}
	}
	(*to)[whose] = append((*to)[whose], h)
}

// growth compares, for each process and for each role, the middle of what was held in a late part of the measure phase with that in an
// early one. The beginning is left out: buffers find their size and heaps their level then.
func (t *trend) growth(early, late span) (processes, roles map[string]verdict.Growth) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return growthOf(t.held, early, late), growthOf(t.together, early, late)
}

// span is a part of the measure phase: from a moment to before another.
type span struct{ from, to time.Duration }

func (s span) holds(at time.Duration) bool { return at >= s.from && at < s.to }

// growthWindow is how long what is held at a moment is looked at.
const growthWindow = time.Minute

// spans says which parts of the measure phase a scenario compares.
func spans(s *v1alpha1.Scenario) (early, late span) {
	measure := s.Phases.Measure.Std()
	if g := s.Growth; g != nil {
		around := func(at v1alpha1.Duration) span { return span{at.Std() - growthWindow/2, at.Std() + growthWindow/2} }
		return around(g.From), around(g.To)
	}
	return span{measure / 5, measure * 2 / 5}, span{measure * 4 / 5, measure * 2}
}

func growthOf(all map[string][]holding, first, last span) map[string]verdict.Growth {
	out := map[string]verdict.Growth{}
	for name, held := range all {
		var early, late []holding
		for _, h := range held {
			switch {
			case first.holds(h.at):
				early = append(early, h)
			case last.holds(h.at):
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
