package report

import (
	"math"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// blockMetric is a figure that a run has many of, one a block. Blocks are broadcasts, or where there are too few, parts of the measure phase:
// what happens within one is correlated, and what happens in different ones hardly.
type blockMetric struct {
	name, title string
	// Milliseconds, NaN where a block has none. Where both runs have the same broadcasts, those of the second are laid as in the first.
	of   func(r, as Report) []float64
	text func(ms float64) string
	// Why these runs do not show it, "" if they do.
	doubt func(a, b Report) string
	// Where it is not known, why that may be.
	lacks string
}

var blockMetrics = []blockMetric{
	{"deliveryCPU", "processor time a delivery", cpuPerDelivery, microsText, func(a, b Report) string { return "" }, ": its fleet was elsewhere, or its simulator older; run it with --local"},
	{"timeTo50", "time to half of a broadcast", broadcasts(func(b Broadcast) Millis { return b.TimeTo50Ms }), timeText, lateLoad, ": no broadcast came to everybody"},
	{"timeTo999", "time to 99.9 % of a broadcast", broadcasts(func(b Broadcast) Millis { return b.TimeTo999Ms }), timeText, lateLoad, ": no broadcast came to everybody"},
	{"timeToLast", "time to the last of a broadcast", broadcasts(func(b Broadcast) Millis { return b.TimeToLastMs }), timeText, lateLoad, ": no broadcast came to everybody"},
}

func microsText(ms float64) string { return digits(1000*ms, 1) + " µs" }

// CompareMetrics are the figures that can be judged, by name.
func CompareMetrics() []string {
	var names []string
	for _, m := range blockMetrics {
		names = append(names, m.name)
	}
	return names
}

// lateLoad is why times say nothing of the fleet. What it spent on a delivery is known all the same.
func lateLoad(a, b Report) string {
	for _, r := range []struct {
		name string
		Report
	}{{"A", a}, {"B", b}} {
		switch {
		case r.Verdict == verdict.GeneratorUnhealthy:
			return "the load of " + r.name + " was late itself, so its times say nothing of the fleet; run it again on a machine that has less to do"
		case r.Clock.StepMs != 0:
			return "a clock stepped in " + r.name + ", so its times are not to be trusted; run it again"
		}
	}
	return ""
}

func broadcasts(of func(Broadcast) Millis) func(r, as Report) []float64 {
	return func(r, _ Report) []float64 {
		var out []float64
		for _, b := range r.Broadcasts {
			// One that somebody never got has no time to compare; it is lost, which says more.
			if v := float64(of(b)); v > 0 && !math.IsInf(v, 0) {
				out = append(out, v)
			} else {
				out = append(out, math.NaN())
			}
		}
		return out
	}
}

const (
	// cpuBlocks is how many parts the measure phase is cut into where there are too few broadcasts.
	cpuBlocks = 20
	// minBlock is the shortest block. Both series have buckets of 100 ms, of which one at each end belongs to both neighbours.
	minBlock = time.Second
)

// cpuPerDelivery is the fleet's processor time a delivery in each block, from a broadcast to the next one; NaN for one without either.
func cpuPerDelivery(r, as Report) []float64 {
	cpu, delivered := r.Series.CPUMicros, r.Series.Delivered
	if cpu == nil || delivered == nil || cpu.Width() != delivered.Width() {
		return nil
	}
	edges := blockEdges(r, as)
	used, came := between(cpu, edges), between(delivered, edges)
	out := make([]float64, len(used))
	for i := range out {
		out[i] = math.NaN()
		if used[i] > 0 && came[i] > 0 {
			out[i] = float64(used[i]) / 1000 / float64(came[i])
		}
	}
	return out
}

// blockEdges are the moments between blocks. Which broadcasts begin one is decided by the other run, so that both have the same blocks.
func blockEdges(r, as Report) []time.Duration {
	from, to, ok := r.MeasurePhase()
	if !ok {
		return nil
	}
	var edges []time.Duration
	last := Millis(math.Inf(-1))
	for i, b := range as.Broadcasts {
		if i >= len(r.Broadcasts) || !last.Infinite() && moment(b.AtMs-last) < minBlock {
			continue
		}
		last = b.AtMs
		// A phase is noted as begun when it has, a little after it was to.
		if at := moment(r.Broadcasts[i].AtMs); at >= from-measure.DefaultWidth && at <= to-minBlock {
			edges = append(edges, at)
		}
	}
	if len(edges) >= verdict.MinPairs {
		return append(edges, to)
	}
	length := max((to-from)/cpuBlocks, minBlock)
	edges = nil
	for at := from; at <= to; at += length {
		edges = append(edges, at)
	}
	return edges
}

// MeasurePhase is from when to when the measure phase was; ok is false if there was none.
func (r Report) MeasurePhase() (from, to time.Duration, ok bool) {
	for _, p := range r.Phases {
		if p.Name == PhaseMeasure {
			return moment(p.FromMs), moment(p.ToMs), true
		}
	}
	return 0, 0, false
}

func moment(ms Millis) time.Duration { return time.Duration(float64(ms) * float64(time.Millisecond)) }

// between sums a series up from each edge to the next one. A bucket belongs to where it begins.
func between(s *measure.Series, edges []time.Duration) []int64 {
	counts := s.Counts()
	at := func(edge time.Duration) int { return min(int(edge/s.Width()), len(counts)) }
	var out []int64
	for i := 1; i < len(edges); i++ {
		var sum int64
		for _, n := range counts[at(edges[i-1]):at(edges[i])] {
			sum += n
		}
		out = append(out, sum)
	}
	return out
}

// pairs are the blocks that both runs have a figure of, and the ratios of these.
func pairs(a, b []float64) (as, bs, ratios []float64) {
	for i := range min(len(a), len(b)) {
		if !math.IsNaN(a[i]) && !math.IsNaN(b[i]) {
			as, bs, ratios = append(as, a[i]), append(bs, b[i]), append(ratios, b[i]/a[i])
		}
	}
	return as, bs, ratios
}

func present(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), math.IsNaN)
}

func geometricMean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}
