package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Compared is one figure of two runs.
type Compared struct {
	Name, A, B string
	// How much more B is than A, as a share; nil where it cannot be said.
	Change *float64
	// Over pairs of broadcasts, where the runs had the same; nil for other figures.
	Effect *verdict.Effect
}

// Compare holds one run against another. Broadcasts are compared pair by pair where both runs had the same schedule of them, with a
// 95 % interval over the pairs; a figure of a whole run is one number a run, and has none.
func Compare(a, b Report) ([]Compared, error) {
	if a.Spec == nil || b.Spec == nil {
		return nil, errors.New("a report does not say what the run was asked to be")
	}
	var out []Compared
	if len(a.Broadcasts) == len(b.Broadcasts) && reflect.DeepEqual(a.Spec.Broadcasts, b.Spec.Broadcasts) {
		out = append(out, pairs("time to 99.9 % of a broadcast", a, b, func(b Broadcast) Millis { return b.TimeTo999Ms })...)
		out = append(out, pairs("time to the last of a broadcast", a, b, func(b Broadcast) Millis { return b.TimeToLastMs })...)
	}
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
	figure("processor time a delivery", a.Fleet.CPUMicrosPerDelivery/1000, b.Fleet.CPUMicrosPerDelivery/1000, timeText)
	if slow := slowEffects(a.SlowReaders, b.SlowReaders); slow != nil {
		out = append(out, *slow)
	}
	return append(out, bounded(a.Thresholds, b.Thresholds)...), nil
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

// pairs compares the broadcasts that came to everybody in both runs; none are compared where there is no such pair.
func pairs(name string, a, b Report, of func(Broadcast) Millis) []Compared {
	var ratios, as, bs []float64
	for i := range a.Broadcasts {
		x, y := of(a.Broadcasts[i]), of(b.Broadcasts[i])
		if x > 0 && y > 0 && !x.Infinite() && !y.Infinite() {
			ratios, as, bs = append(ratios, float64(y/x)), append(as, math.Log(float64(x))), append(bs, math.Log(float64(y)))
		}
	}
	if len(ratios) == 0 {
		return nil
	}
	mean := func(logs []float64) string {
		var sum float64
		for _, l := range logs {
			sum += l
		}
		return timeText(math.Exp(sum / float64(len(logs))))
	}
	e := verdict.EffectOf(ratios)
	return []Compared{{Name: name, A: mean(as), B: mean(bs), Change: &e.Change, Effect: &e}}
}

// RenderComparison writes a comparison as a table in Markdown, which people can read as it stands.
func RenderComparison(w io.Writer, a, b Report, rows []Compared) error {
	text := fmt.Sprintf("| | A: %s, %s | B: %s, %s | B against A | 95 %% interval |\n|---|---|---|---|---|\n", a.Scenario, a.Verdict, b.Scenario, b.Verdict)
	for _, r := range rows {
		change, interval := "–", "–"
		if r.Change != nil {
			change = fmt.Sprintf("%+.1f %%", 100**r.Change)
		}
		if e := r.Effect; e != nil {
			interval = fmt.Sprintf("%+.1f to %+.1f %%, %d pairs", 100*e.Low, 100*e.High, e.Pairs)
		}
		text += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", r.Name, r.A, r.B, change, interval)
	}
	_, err := io.WriteString(w, text)
	return err
}
