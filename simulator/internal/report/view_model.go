package report

import (
	"fmt"
	"html/template"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

// modelView is what a page shows of a model: how far to trust it, and what it stands on.
type modelView struct {
	Grade, Tone, Says, Seeds string
	Answers                  []answerRow
	Ranges                   []rangeRow
	Inputs                   []inputRow
	Unmodelled               []string
	// Whose figures they are, and how it was tested.
	Calibration, Notes string
	Coefficients       []coefficientRow
	HeldOut            []heldOutRow
	HeldOutPlot        template.HTML
	Fan                *fanView
	Used               []usedRow
	Binding            string
	Steps              []costStep
	Prices             string
}

// answerRow is an answer as a bar on the axis of all answers, in percent of it.
type answerRow struct {
	Name, Value, Low, High string
	Left, Width, At        float64
}

type rangeRow struct {
	Name, Measured, Asked, Factor, Tone string
	rangeBar
}

// inputRow is a bar from the middle, in percent of the width.
type inputRow struct {
	Name, Help, Moved, Change, Basis string
	Width                            float64
	Up                               bool
}

type coefficientRow struct{ Name, Help, Value, Basis, Source string }

type heldOutRow struct{ Run, Figure, Predicted, Measured, Spread, Error string }

var dimensionNames = map[calibration.Dimension]string{
	calibration.Sessions: "sessions", calibration.SessionsPerShard: "sessions a shard", calibration.Shards: "shards", calibration.Stores: "stores",
	calibration.MessageBytes: "bytes of a post", calibration.PostsPerSecond: "posts a second", calibration.SignInsPerSecond: "sign-ins a second",
}

// gradeTones are the colours of the grades; the letter says the same.
var gradeTones = map[string]string{"A": "good", "B": "good", "C": "open", "D": "bad"}

func modelViewOf(m *Model) *modelView {
	if m == nil {
		return nil
	}
	c := m.Calibration
	v := &modelView{
		Grade: m.Grade, Tone: gradeTones[m.Grade], Says: sentence(m.GradeSays), Seeds: plural(m.Seeds, "play"), Unmodelled: m.Unmodelled, Notes: c.Notes,
		Calibration: fmt.Sprintf("%s: %s, commit %s, %s", c.Name, c.Machine.Description, c.Commit, c.Date.Format(time.DateOnly)),
		Answers:     answerRows(m.Answers),
	}
	bars := rangeBars(m.Ranges)
	for i, r := range m.Ranges {
		row := rangeRow{
			rangeBar: bars[i],
			Name:     dimensionNames[calibration.Dimension(r.Dimension)], Measured: numberText(r.From) + " to " + numberText(r.To), Asked: numberText(round3(r.Asked)),
			Factor: "within", Tone: "good",
		}
		if r.From == r.To {
			row.Measured = numberText(r.From)
		}
		if r.Factor > 1 {
			row.Factor, row.Tone = "× "+digits(r.Factor, 1)+" beyond", "open"
		}
		if r.Factor > 20 {
			row.Tone = "bad"
		}
		v.Ranges = append(v.Ranges, row)
	}
	most := 0.0
	for _, in := range m.Inputs {
		most = max(most, math.Abs(in.Change))
	}
	for _, in := range m.Inputs {
		v.Inputs = append(v.Inputs, inputRow{in.Name, in.Help, in.Moved, fmt.Sprintf("%+.1f %%", 100*in.Change), in.Basis, 50 * math.Abs(in.Change) / max(most, 1e-9), in.Change >= 0})
	}
	for _, k := range c.Coefficients {
		v.Coefficients = append(v.Coefficients, coefficientRow{string(k.Name), k.Name.Help(), fmt.Sprintf("%g ± %g %s", k.Value, k.StandardError, k.Unit), string(k.Basis), k.Source})
	}
	var points []heldOutPoint
	for _, h := range c.HoldOut {
		points = append(points, heldOutPoint{h.PredictedMs, h.MeasuredMs, h.LeastMs, h.LargestMs})
		v.HeldOut = append(v.HeldOut, heldOutRow{
			h.Run, h.Figure, timeText(h.PredictedMs), fmt.Sprintf("%s, median of %d", timeText(h.MeasuredMs), h.Runs),
			timeText(h.LeastMs) + " to " + timeText(h.LargestMs), fmt.Sprintf("%+.1f %%", 100*h.Error()),
		})
	}
	v.HeldOutPlot = heldOutPlot(points)
	v.Used, v.Binding, v.Steps = usedRows(m.Use.used()...), sentence(m.Use.Binding), costSteps(m.Use.Cost)
	if m.Use.Cost != nil {
		v.Prices = m.Use.Cost.Source
	}
	return v
}

// answerRows puts all answers on one logarithmic axis.
func answerRows(answers []Answer) (rows []answerRow) {
	axis := logAxis{math.Inf(1), 0}
	for _, a := range answers {
		if !a.HighMs.Infinite() && a.LowMs > 0 {
			axis.low, axis.high = min(axis.low, float64(a.LowMs)), max(axis.high, float64(a.HighMs))
		}
	}
	axis.low /= 1.1
	axis.high = max(axis.high*1.1, axis.low*2)
	for _, a := range answers {
		row := answerRow{Name: a.Name, Value: timeText(float64(a.ValueMs)), Low: timeText(float64(a.LowMs)), High: timeText(float64(a.HighMs))}
		if !a.HighMs.Infinite() && a.LowMs > 0 {
			row.Left, row.At = 100*axis.at(float64(a.LowMs)), 100*axis.at(float64(a.ValueMs))
			row.Width = 100*axis.at(float64(a.HighMs)) - row.Left
		}
		rows = append(rows, row)
	}
	return rows
}

// round3 keeps whole numbers, and three digits of others.
func round3(v float64) float64 {
	if v >= 100 {
		return math.Round(v)
	}
	return v
}

// sentence begins with a capital and ends with a stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if first := s[0]; first >= 'a' && first <= 'z' {
		s = string(first-'a'+'A') + s[1:]
	}
	return s + "."
}

// modelChips say that nobody measured it, and what it stands on.
func modelChips(r Report) []chip {
	c := r.Model.Calibration
	tested := "never held against a run"
	if worst, ok := c.Worst(); ok {
		tested = fmt.Sprintf("wrong by %+.0f %% at worst", 100*worst.Error())
	}
	return []chip{
		{r.Label, "how", "Computed by the model. Nobody measured these figures."},
		{"grade " + r.Model.Grade, gradeTones[r.Model.Grade], r.Model.GradeSays},
		{"95 %: ÷ and × " + digits(1+r.Model.ErrorShare, 1), "", "The prediction interval of the first answer. A bound inside an interval is inconclusive."},
		{"calibrated " + c.Date.Format(time.DateOnly) + ", " + tested, "", c.Name},
	}
}

// modelFacts are what the modelled fleet has, and what of it is used.
func modelFacts(r Report) []group {
	u := r.Model.Use
	share := func(v float64) string { return digits(100*v, 1) + " %" }
	fleet := []fact{
		{"shards", countText(int64(u.Shards))}, {"stores", countText(int64(u.Stores))}, {"cores", numberText(math.Round(u.Cores))},
		{"memory of all sessions", bytesText(u.MemoryBytes)}, {"sent to sessions", bytesText(u.EgressBytes)},
		{"deliveries a post", digits(u.DeliveriesPer, 1)}, {"processor time a delivery", known(r.Fleet.CPUMicrosPerDelivery, digits(r.Fleet.CPUMicrosPerDelivery, 1)+" µs")},
	}
	if u.Cells > 1 {
		fleet = append([]fact{{"cells, each a fleet of its own", countText(int64(u.Cells))}}, fleet...)
	}
	used := group{"Used in the measure phase", []fact{
		{"busiest shard’s processors", share(u.BusiestShard)}, {"stores’ processors", share(u.BusiestStore)}, {"a shard’s network", share(u.BusiestNetwork)},
		{"used up first", u.Binding}, {"events played", countText(r.Model.Events)},
	}}
	groups := []group{{"Modelled fleet", fleet}, used, accounts(r)}
	if c := u.Cost; c != nil {
		groups = append(groups, group{"Cost of the measure phase", []fact{
			{"cores", numberText(math.Round(c.Cores))}, {"memory", numberText(math.Round(c.Memory))}, {"sent to sessions", numberText(math.Round(c.Egress))},
			{"together", numberText(math.Round(c.Total))}, {"prices", c.Source},
		}})
	}
	return groups
}
