package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Compared is one figure of two runs.
type Compared struct {
	Name, A, B string
	// How much more B is than A, as a share; nil where it cannot be said.
	Change *float64
	// Over the blocks of the runs, such as their broadcasts; nil for figures that a run has one of.
	Effect *verdict.Effect
	// What it says of a change that matters, and where it cannot be told, why; "" for figures that are not judged.
	Finding verdict.Finding
	Why     string
}

// Comparison is one run held against another.
type Comparison struct {
	A, B Report
	// The least change that matters, a share.
	LeastEffect float64
	// The broadcasts of one run are compared with the same ones of the other, since both had the same schedule.
	Paired bool
	Rows   []Compared
	// Fail: something that is judged is worse. Inconclusive: of something it cannot be told. Else Pass.
	Verdict  verdict.Verdict
	ExitCode int
	Reasons  []string
}

// CompareOptions say what of a comparison matters.
type CompareOptions struct {
	// The least change that matters, as a share: 0.05 is 5 %.
	LeastEffect float64
	// The figures that are judged, of CompareMetrics; nil: DefaultCompared.
	Judged []string
}

// DefaultCompared is what is judged where nothing else is asked for. Times are not: between two runs of one build they differ by more than
// most changes do, since they hang on all else that a machine does.
var DefaultCompared = []string{"deliveryCPU"}

// Compare holds one run against another: figures that a run has many of, block by block with an interval; the others as they are. An error says
// why the two cannot be compared, or that there is no such figure.
//
// What is judged has intervals that all hold the truth at once in 95 % of cases (Bonferroni). They know what differs from block to block and
// not what differs from run to run, such as where memory happens to lie: the least effect has to be above that.
func Compare(a, b Report, o CompareOptions) (Comparison, error) {
	if err := mayCompare(a, b); err != nil {
		return Comparison{}, err
	}
	judged := o.Judged
	if judged == nil {
		judged = DefaultCompared
	}
	for _, name := range judged {
		if !slices.Contains(CompareMetrics(), name) {
			return Comparison{}, fmt.Errorf("there is no figure %q to compare; there are %s", name, strings.Join(CompareMetrics(), ", "))
		}
	}
	c := Comparison{A: a, B: b, LeastEffect: o.LeastEffect, Paired: a.Spec.Seed == b.Spec.Seed && len(a.Broadcasts) == len(b.Broadcasts)}
	confidence := 1 - 0.05/float64(max(len(judged), 1))
	for _, m := range blockMetrics {
		if row, ok := c.blocks(m, confidence, slices.Contains(judged, m.name)); ok {
			c.Rows = append(c.Rows, row)
		}
	}
	c.judge()
	c.Rows = append(c.Rows, wholes(a, b)...)
	return c, nil
}

// blocks compares a figure that a run has many of. It is false where neither run has it and nobody asked for it.
func (c *Comparison) blocks(m blockMetric, confidence float64, judged bool) (Compared, bool) {
	as, bs := m.of(c.A, c.A), m.of(c.B, c.A)
	row := Compared{Name: m.title, A: "–", B: "–"}
	lacks := lacking(present(as), present(bs))
	var e verdict.Effect
	if c.Paired {
		var ratios []float64
		as, bs, ratios = pairs(as, bs)
		e = verdict.EffectOfPairs(ratios, confidence)
	} else {
		as, bs = present(as), present(bs)
		e = verdict.EffectBetween(as, bs, confidence)
	}
	if len(as) > 0 {
		row.A = m.text(geometricMean(as))
	}
	if len(bs) > 0 {
		row.B = m.text(geometricMean(bs))
	}
	if e.Pairs > 0 {
		row.Change, row.Effect = &e.Change, &e
	}
	if judged {
		row.Finding, row.Why = e.Against(c.LeastEffect)
		if lacks != "" {
			row.Why = m.name + " is not known in " + lacks + m.lacks
		}
		if why := m.doubt(c.A, c.B); why != "" && row.Finding != verdict.Unclear {
			row.Finding, row.Why = verdict.Unclear, why
		}
	}
	return row, judged || e.Pairs > 0
}

// lacking says which runs have nothing to compare.
func lacking(as, bs []float64) string {
	switch {
	case len(as)+len(bs) == 0:
		return "A and B"
	case len(as) == 0:
		return "A"
	case len(bs) == 0:
		return "B"
	}
	return ""
}

// judge makes a verdict of the findings.
func (c *Comparison) judge() {
	c.Verdict, c.ExitCode = verdict.Pass, verdict.ExitPass
	for _, row := range c.Rows {
		switch row.Finding {
		case verdict.Worse:
			c.Verdict, c.ExitCode = verdict.Fail, verdict.ExitFail
			c.Reasons = append(c.Reasons, fmt.Sprintf("%s: %+.1f %%, at least %+.1f %%", row.Name, 100**row.Change, 100*row.Effect.Low))
		case verdict.Unclear:
			if c.Verdict == verdict.Pass {
				c.Verdict, c.ExitCode = verdict.Inconclusive, verdict.ExitInconclusive
			}
			c.Reasons = append(c.Reasons, row.Name+": "+row.Why)
		}
	}
}

// wholes compares what a run has one of.
func wholes(a, b Report) []Compared {
	var out []Compared
	figure := func(name string, x, y float64, text func(float64) string) {
		c := Compared{Name: name, A: text(x), B: text(y)}
		if change := y/x - 1; x > 0 && !math.IsInf(change, 0) && !math.IsNaN(change) {
			c.Change = &change
		}
		out = append(out, c)
	}
	figure("delivery, median", float64(a.LatencyMs.P50), float64(b.LatencyMs.P50), timeText)
	figure("delivery, p99.9", float64(a.LatencyMs.P999), float64(b.LatencyMs.P999), timeText)
	figure("acknowledgement, p99.9", float64(a.Posts.ResponseMs.P999), float64(b.Posts.ResponseMs.P999), timeText)
	figure("lost deliveries", float64(a.Deliveries.Lost), float64(b.Deliveries.Lost), numberText)
	figure("memory a session", a.Fleet.RSSBytesPerSession, b.Fleet.RSSBytesPerSession, bytesText)
	figure("processor time a delivery, all in all", a.Fleet.CPUMicrosPerDelivery/1000, b.Fleet.CPUMicrosPerDelivery/1000, microsText)
	if slow := slowEffects(a.SlowReaders, b.SlowReaders); slow != nil {
		out = append(out, *slow)
	}
	return append(out, bounded(a.Thresholds, b.Thresholds)...)
}

// slowEffects is what the slow readers did to the others in each of the runs, by its own pairs; nil if neither compared itself.
func slowEffects(a, b *SlowReaders) *Compared {
	text := func(s *SlowReaders) string {
		if s == nil || s.Effect == nil {
			return "–"
		}
		return verdict.Effect{Pairs: s.Effect.Pairs, Change: s.Effect.Change, Low: s.Effect.Low, High: s.Effect.High}.String()
	}
	c := Compared{Name: "slow readers’ effect on the others", A: text(a), B: text(b)}
	if c.A == "–" && c.B == "–" {
		return nil
	}
	return &c
}

// bounded is what the thresholds of either run bound, whatever their bounds, in the order of the first run and then of the second.
func bounded(a, b []Threshold) []Compared {
	var out []Compared
	find := func(in []Threshold, t Threshold) (Threshold, bool) {
		i := slices.IndexFunc(in, func(o Threshold) bool { return measured(o) == measured(t) })
		if i < 0 {
			return Threshold{}, false
		}
		return in[i], true
	}
	done := map[string]bool{}
	for _, t := range slices.Concat(a, b) {
		if done[measured(t)] {
			continue
		}
		done[measured(t)] = true
		c := Compared{Name: measured(t), A: "–", B: "–"}
		x, inA := find(a, t)
		y, inB := find(b, t)
		if inA {
			c.A = x.text() + ", " + string(x.Verdict)
		}
		if inB {
			c.B = y.text() + ", " + string(y.Verdict)
		}
		if change := float64(y.Value/x.Value - 1); inA && inB && x.Samples > 0 && y.Samples > 0 && x.Value > 0 && !math.IsInf(change, 0) && !math.IsNaN(change) {
			c.Change = &change
		}
		out = append(out, c)
	}
	return out
}

// measured says what a threshold bounds, without the bound.
func measured(t Threshold) string {
	aggregation := t.Aggregation
	if m, ok := verdict.FindMetric(t.Metric); ok && aggregation == "" {
		aggregation = m.Aggregation
	}
	name := strings.TrimSpace(t.Metric + " " + aggregation)
	if t.Fault != "" {
		name += " after " + t.Fault
	}
	return name
}
