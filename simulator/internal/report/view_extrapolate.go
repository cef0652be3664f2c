package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// fanView is the first answer against the size of the audience: from what was measured to what is asked.
type fanView struct {
	Plot template.HTML
	Says string
}

// fan draws the answers of smaller audiences, logarithmic both ways: a line, its 95 % interval around it, hatched beyond what was measured, and the bound. It
// holds numbers and units only. nil if the model has no such answers.
func fan(r Report) *fanView {
	m := r.Model
	if m == nil || len(m.Fan) < 2 {
		return nil
	}
	const width, height, left, bottom = 640.0, 250.0, 56.0, 26.0
	xs, ys := logAxis{m.Fan[0].Sessions, m.Fan[len(m.Fan)-1].Sessions}, logAxis{math.Inf(1), 0}
	for _, p := range m.Fan {
		if p.LowMs <= 0 || p.HighMs.Infinite() {
			return nil // Nothing to draw: somebody never gets it.
		}
		ys.low, ys.high = min(ys.low, float64(p.LowMs)), max(ys.high, float64(p.HighMs))
	}
	bound := fanBound(r)
	if bound > 0 {
		ys.low, ys.high = min(ys.low, bound), max(ys.high, bound)
	}
	ys.low, ys.high = ys.low/1.25, ys.high*1.25
	x := func(sessions float64) float64 { return left + (width-left-8)*xs.at(sessions) }
	y := func(ms float64) float64 { return 6 + (height-bottom-6)*(1-ys.at(ms)) }
	foot := height - bottom
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" class="fan" aria-hidden="true"><defs><pattern id="beyond" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="3" height="6"/></pattern></defs>`, width, height)
	for ms := math.Pow(10, math.Ceil(math.Log10(ys.low))); ms <= ys.high; ms *= 10 {
		fmt.Fprintf(&b, `<line class="tick" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="y" x="%g" y="%.1f">%s</text>`, left, width-8, y(ms), y(ms), left-8, y(ms)+4, timeText(ms))
	}
	for n := math.Pow(10, math.Ceil(math.Log10(xs.low))); n <= xs.high; n *= 10 {
		fmt.Fprintf(&b, `<line class="tick" x1="%.1f" x2="%.1f" y1="6" y2="%g"/><text x="%.1f" y="%g">%s</text>`, x(n), x(n), foot, x(n), height-8, numberText(n))
	}
	edge := min(max(m.FanMeasuredTo, xs.low), xs.high)
	fmt.Fprintf(&b, `<rect class="known" x="%g" y="6" width="%.1f" height="%g"/>`, left, x(edge)-left, foot-6)
	var low, high, line []string
	for i, p := range m.Fan {
		at := x(p.Sessions)
		line = append(line, fmt.Sprintf("%c%.1f %.1f", "ML"[min(i, 1)], at, y(float64(p.ValueMs))))
		high = append(high, fmt.Sprintf("%.1f %.1f", at, y(float64(p.HighMs))))
		low = append([]string{fmt.Sprintf("%.1f %.1f", at, y(float64(p.LowMs)))}, low...)
	}
	fmt.Fprintf(&b, `<path class="spread" fill="url(#beyond)" d="M%sZ"/><path class="line" d="%s"/>`, strings.Join(append(high, low...), "L"), strings.Join(line, ""))
	for _, p := range m.Fan {
		fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.1f" r="4"/>`, map[bool]string{true: "within", false: "beyond"}[p.Sessions <= m.FanMeasuredTo], x(p.Sessions), y(float64(p.ValueMs)))
	}
	if bound > 0 {
		fmt.Fprintf(&b, `<line class="bound" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="bound" x="%g" y="%.1f">objective %s</text>`, left, width-8, y(bound), y(bound), left+8, y(bound)-6, timeText(bound))
	}
	fmt.Fprintf(&b, `<line class="edge" x1="%.1f" x2="%.1f" y1="6" y2="%g"/></svg>`, x(edge), x(edge), foot)
	first, last := m.Fan[0], m.Fan[len(m.Fan)-1]
	return &fanView{template.HTML(b.String()), fmt.Sprintf("With %s sessions %s (%s to %s), with %s sessions %s (%s to %s). Measured were audiences up to %s; what is to the right of that is extrapolated.",
		numberText(first.Sessions), timeText(float64(first.ValueMs)), timeText(float64(first.LowMs)), timeText(float64(first.HighMs)),
		numberText(last.Sessions), timeText(float64(last.ValueMs)), timeText(float64(last.LowMs)), timeText(float64(last.HighMs)), numberText(m.FanMeasuredTo))}
}

// fanBound is the bound of the first answer's metric, in milliseconds; 0 if there is none.
func fanBound(r Report) float64 {
	for _, t := range r.Thresholds {
		if t.Metric == r.Model.FanMetric && t.Unit == "ms" {
			return t.Bound
		}
	}
	return 0
}

// rangeBars puts what was measured of each dimension and what is asked on one axis: how many times the largest that was measured, logarithmic.
func rangeBars(ranges []ModelRange) (bars []rangeBar) {
	axis := logAxis{1, 1}
	for _, r := range ranges {
		if r.To > 0 {
			axis.low, axis.high = min(axis.low, max(min(r.From, r.Asked)/r.To, 1e-3)), max(axis.high, r.Asked/r.To)
		}
	}
	axis.low, axis.high = axis.low/1.3, axis.high*1.3
	for _, r := range ranges {
		if r.To <= 0 {
			bars = append(bars, rangeBar{})
			continue
		}
		from, to, asked := 100*axis.at(r.From/r.To), 100*axis.at(1), 100*axis.at(r.Asked/r.To)
		bar := rangeBar{Left: from, Width: max(to-from, .8), At: asked}
		if r.Factor > 1 {
			bar.BeyondLeft, bar.Beyond = min(to, asked), math.Abs(asked-to)
			if asked < from {
				bar.BeyondLeft, bar.Beyond = asked, from-asked
			}
		}
		bars = append(bars, bar)
	}
	return bars
}

// rangeBar is in percent of the width.
type rangeBar struct{ Left, Width, At, BeyondLeft, Beyond float64 }

// heldOutPlot draws what was predicted against what was measured, logarithmic both ways: on the diagonal it is right. It holds numbers and units only; "" if there
// is nothing to draw.
func heldOutPlot(rows []heldOutPoint) template.HTML {
	axis := logAxis{math.Inf(1), 0}
	for _, p := range rows {
		axis.low, axis.high = min(axis.low, p.predicted, p.least), max(axis.high, p.predicted, p.largest)
	}
	if len(rows) == 0 || axis.low <= 0 {
		return ""
	}
	axis.low, axis.high = axis.low/1.5, axis.high*1.5
	const side, left, bottom = 300.0, 56.0, 26.0
	x := func(ms float64) float64 { return left + (side-8)*axis.at(ms) }
	y := func(ms float64) float64 { return 4 + (side-8)*(1-axis.at(ms)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" class="fan square" aria-hidden="true">`, side+left, side+bottom)
	for ms := math.Pow(10, math.Ceil(math.Log10(axis.low))); ms <= axis.high; ms *= 10 {
		fmt.Fprintf(&b, `<line class="tick" x1="%.1f" x2="%.1f" y1="4" y2="%g"/><text x="%.1f" y="%g">%s</text>`, x(ms), x(ms), side-4, x(ms), side+16, timeText(ms))
		fmt.Fprintf(&b, `<line class="tick" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="y" x="%g" y="%.1f">%s</text>`, left, left+side-8, y(ms), y(ms), left-8, y(ms)+4, timeText(ms))
	}
	fmt.Fprintf(&b, `<line class="edge" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x(axis.low), y(axis.low), x(axis.high), y(axis.high))
	for _, p := range rows {
		fmt.Fprintf(&b, `<line class="spreadline" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><circle class="within" cx="%.1f" cy="%.1f" r="4.5"/>`, x(p.least), x(p.largest), y(p.predicted), y(p.predicted), x(p.measured), y(p.predicted))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

type heldOutPoint struct{ predicted, measured, least, largest float64 }

// usedRow is how much of something the fleet used, in percent.
type usedRow struct {
	Name, Figure string
	Width        float64
	Binding      bool
}

// usedRows shows what is used up first when everything grows alike: the longest bar.
func usedRows(used ...Used) (rows []usedRow) {
	most := MostUsed(used...).Share
	for _, u := range used {
		rows = append(rows, usedRow{u.Name, usedText(100 * u.Share), min(100*u.Share, 100), most > 0 && u.Share == most})
	}
	return rows
}

// used is how much of what the modelled fleet used, by the names that pages have for it.
func (u ModelUse) used() []Used {
	return []Used{{"busiest shard’s processors", u.BusiestShard}, {"stores’ processors", u.BusiestStore}, {"busiest shard’s network", u.BusiestNetwork}}
}

// usedText is a share in percent, with two digits.
func usedText(percent float64) string {
	if percent > 0 && percent < 0.01 {
		return "under 0.01 %"
	}
	return fmt.Sprintf("%.2g %%", percent)
}

// costStep is a part of a cost, which begins where the one before ends; in percent of the whole.
type costStep struct {
	Name, Figure, Share string
	Left, Width         float64
	Whole               bool
}

func costSteps(c *Cost) []costStep {
	if c == nil || c.Total <= 0 {
		return nil
	}
	var steps []costStep
	at := 0.0
	for _, part := range []struct {
		name  string
		value float64
	}{{"cores", c.Cores}, {"memory", c.Memory}, {"sent to sessions", c.Egress}} {
		width := 100 * part.value / c.Total
		steps = append(steps, costStep{Name: part.name, Figure: numberText(math.Round(part.value)), Share: digits(width, 1) + " %", Left: at, Width: width})
		at += width
	}
	return append(steps, costStep{Name: "together", Figure: numberText(math.Round(c.Total)), Width: 100, Whole: true})
}
