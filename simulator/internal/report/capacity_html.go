package report

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// capacityPage is what the page of a search for a capacity shows.
type capacityPage struct {
	Tone, Word, Label, Scenario, When, Finding string
	Reasons, Chips                             []string
	Curve, Achieved                            loadPlot
	Keys                                       []plotKey
	Binding, UsedOf                            string
	Used, Processors                           []usedRow
	Unit, Figure                               string
	Steps                                      []capacityRow
	Machine                                    string
	Styling                                    template.CSS
}

type capacityRow struct {
	Number                                                                         int
	Tone, Sign, Outcome, Amount, Asked, Came, Value, Processors, Kind, Why, Reason string
}

// outcomes are the signs, words and colours of what a run says of its load. Signs and shapes differ, so that nobody needs to see colours.
var outcomes = []struct{ name, class, sign, words string }{
	{"held", "good", "●", "held"}, {"missed", "bad", "✕", "missed"}, {"unclear", "open", "◇", "inconclusive"}, {"gaveUp", "sick", "▲", "the generator gave up"},
}

// RenderCapacityHTML writes a search as one page that needs nothing else.
func RenderCapacityHTML(w io.Writer, c Capacity) error {
	p := capacityPageOf(c)
	return renderStill(w, "capacity", "capacity.html.tmpl", &p.Styling, &p)
}

func capacityPageOf(c Capacity) capacityPage {
	tone := tones[c.Verdict]
	p := capacityPage{
		Tone: cmp.Or(tone.tone, "open"), Word: capacityWord(c), Label: c.Label, Scenario: c.Scenario, Finding: sentence(c.Finding),
		When: c.StartedAt.UTC().Format("2 January 2006, 15:04 UTC"), Reasons: c.Reasons, Unit: c.Unit, Figure: "p99",
		Curve: latencyPlot(c), Achieved: achievedPlot(c), Binding: sentence(c.Binding),
		UsedOf: c.UsedIn, Used: usedRows(c.Used...), Processors: usedRows(c.Processors...),
	}
	if f := figureOf(c); f != nil {
		p.Figure = f.Title
	}
	p.Chips = []string{
		plural(len(c.Steps), "run") + " in " + timeText(float64(c.DurationMs)), "held " + plural(c.Repeats, "time") + " to count",
		"neighbouring loads differ by " + digits(100*c.Tolerance, 1) + " % at most",
	}
	seen := map[string]bool{}
	for _, s := range c.Steps {
		p.Steps = append(p.Steps, capacityRowOf(s))
		seen[s.Outcome] = true
	}
	for _, o := range outcomes {
		if seen[o.name] {
			p.Keys = append(p.Keys, plotKey{o.words, template.HTML(fmt.Sprintf(`<svg class="fan mark-key" viewBox="0 0 16 16" aria-hidden="true">%s</svg>`, mark(o.name, 8, 8)))})
		}
	}
	p.Machine = strings.Join(slices.DeleteFunc([]string{capacityFleet(c.Fleet), c.Simulator.CPU, known(float64(c.Simulator.Cores), plural(c.Simulator.Cores, "processor")), c.Simulator.Kernel, c.Simulator.Version}, func(s string) bool { return s == "" || s == "not known" }), " · ")
	return p
}

func capacityFleet(f Fleet) string {
	if f.Stores == 0 {
		return f.Where
	}
	return fmt.Sprintf("%s and %s, %s", plural(f.Stores, "store"), plural(f.Shards, "shard"), f.Where)
}

// capacityWord is the first of the page: the figure, or that there is none.
func capacityWord(c Capacity) string {
	if c.Capacity == nil {
		if c.Verdict == verdict.GeneratorUnhealthy {
			return "The generator gave up"
		}
		return "No capacity"
	}
	word := countText(int64(math.Round(c.Capacity.DeliveriesPerSecond))) + " deliveries a second"
	if c.Vary != "rate" {
		word = numberText(c.Capacity.Amount) + " " + c.Unit
	}
	if c.AtLeast {
		word = "≥ " + word
	}
	return word
}

func capacityRowOf(s CapacityStep) capacityRow {
	row := capacityRow{
		Number: s.Number, Outcome: s.Outcome, Amount: numberText(s.Load.Amount), Asked: countText(int64(math.Round(s.Load.DeliveriesPerSecond))), Came: "–",
		Value: timeText(float64(s.P99Ms)), Processors: "–", Kind: s.Kind, Why: s.Why, Reason: s.Reason,
	}
	for _, o := range outcomes {
		if o.name == s.Outcome {
			row.Tone, row.Sign, row.Outcome = o.class, o.sign, o.words
		}
	}
	if s.DeliveredPerSecond > 0 {
		row.Came = countText(int64(s.DeliveredPerSecond))
	}
	switch f := s.Figure; {
	case f != nil && !f.Known:
		row.Value = "–"
	case f != nil:
		row.Value = timeText(float64(f.ValueMs))
		if f.ErrorMs > 0 && !f.ValueMs.Infinite() {
			row.Value += " ± " + timeText(f.ErrorMs)
		}
	}
	if len(s.Used) > 0 {
		row.Processors = usedText(100 * s.Used[0].Share)
	}
	return row
}

// figureOf is the threshold that the curve is of, as the last run that has it has it; nil if none has.
func figureOf(c Capacity) *CapacityFigure {
	for _, s := range slices.Backward(c.Steps) {
		if s.Figure != nil {
			return s.Figure
		}
	}
	return nil
}

// loadPlot is a plot against the load: for a wide page and for a narrow one, and what it shows, in words.
type loadPlot struct {
	Title, Says  string
	Wide, Narrow template.HTML
}

type plotKey struct {
	Name string
	Plot template.HTML
}

// point is a run in a plot.
type point struct {
	x, y    float64
	outcome string
}

// latencyPlot draws the figure that the thresholds bound, or the p99, against the load. What never came is at the top.
func latencyPlot(c Capacity) loadPlot {
	f := figureOf(c)
	title, bound := "delivery p99", 0.0
	if f != nil {
		title, bound = f.Title, f.BoundMs
	}
	var points []point
	for _, s := range c.Steps {
		v := s.P99Ms
		if f != nil {
			if s.Figure == nil || !s.Figure.Known {
				continue
			}
			v = s.Figure.ValueMs
		}
		if v > 0 {
			points = append(points, point{s.Load.Amount, float64(v), s.Outcome})
		}
	}
	p := loadPlot{Title: "Capacity curve: " + title, Says: kneeSays(c) + " Each mark is a run, the line goes through their medians; both axes are logarithmic."}
	p.Wide, p.Narrow = drawLoads(c, points, bound, timeText, false)
	return p
}

// achievedPlot draws what came within the measure phase against what was asked for.
func achievedPlot(c Capacity) loadPlot {
	var points []point
	last, most := 0.0, 0.0
	for _, s := range c.Steps {
		if s.DeliveredPerSecond > 0 {
			points = append(points, point{s.Load.Amount, s.DeliveredPerSecond, s.Outcome})
			if s.DeliveredPerSecond > most {
				last, most = s.Load.DeliveriesPerSecond, s.DeliveredPerSecond
			}
		}
	}
	p := loadPlot{Title: "Deliveries: asked for and come"}
	if most > 0 {
		p.Says = fmt.Sprintf("The most that came in a second, as a mean over a run's measure phase, was %s, where %s were asked for. On the dashed line all comes while it is asked for; below it the rest came later, or never. Both axes begin with 0.", countText(int64(most)), countText(int64(math.Round(last))))
	}
	p.Wide, p.Narrow = drawLoads(c, points, 0, numberText, true)
	return p
}

func kneeSays(c Capacity) string {
	if c.Capacity == nil {
		return "No load has held in all repeats."
	}
	says := fmt.Sprintf("The knee is at %s %s, the largest load that held each time.", numberText(c.Capacity.Amount), c.Unit)
	if c.From != nil && c.To != nil {
		says += fmt.Sprintf(" Below %s nothing was missed, from %s on nothing held: that is the band.", numberText(c.From.Amount), numberText(c.To.Amount))
	}
	return says
}

// drawLoads draws runs against their load, logarithmic both ways; with asked it is linear, and has the line on which as many deliveries come as are asked for. It
// holds numbers and units only; "" if there are no points.
func drawLoads(c Capacity, points []point, bound float64, text func(float64) string, asked bool) (wide, narrow template.HTML) {
	if len(points) == 0 {
		return "", ""
	}
	return drawLoadsIn(900, 340, c, points, bound, text, asked), drawLoadsIn(350, 270, c, points, bound, text, asked)
}

func drawLoadsIn(width, height float64, c Capacity, points []point, bound float64, text func(float64) string, asked bool) template.HTML {
	const left, bottom, top = 62.0, 40.0, 18.0
	xs, ys := loadAxis{logAxis{math.Inf(1), 0}, asked}, loadAxis{logAxis{math.Inf(1), bound}, asked}
	if bound > 0 {
		ys.low = bound
	}
	include := func(axis *loadAxis, v float64) {
		if v > 0 && !math.IsInf(v, 0) {
			axis.low, axis.high = min(axis.low, v), max(axis.high, v)
		}
	}
	for _, p := range points {
		include(&xs, p.x)
		include(&ys, p.y)
	}
	for _, s := range c.Steps {
		if asked {
			include(&ys, s.Load.DeliveriesPerSecond)
		}
	}
	if ys.high == 0 { // Nothing ever came.
		ys.logAxis = logAxis{1, 1000}
	}
	xs.low, xs.high, ys.low, ys.high = xs.low/1.15, xs.high*1.15, ys.low/1.3, ys.high*1.4
	foot := height - bottom
	x := func(v float64) float64 { return left + (width-left-10)*xs.at(v) }
	y := func(v float64) float64 {
		if math.IsInf(v, 0) {
			return top - 6
		}
		return top + (foot-top)*(1-ys.at(v))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" class="fan loads" aria-hidden="true">`, width, height)
	for _, v := range ys.ticks(6) {
		fmt.Fprintf(&b, `<line class="tick" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="y" x="%g" y="%.1f">%s</text>`, left, width-10, y(v), y(v), left-8, y(v)+4, text(v))
	}
	for _, v := range xs.ticks(int(width / 90)) {
		fmt.Fprintf(&b, `<line class="tick" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text x="%.1f" y="%g">%s</text>`, x(v), x(v), top, foot, x(v), foot+16, numberText(v))
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g">%s</text>`, (left+width-10)/2, height-6, template.HTMLEscapeString(c.Unit))
	if c.From != nil && c.To != nil {
		from, to := x(c.From.Amount), x(c.To.Amount)
		fmt.Fprintf(&b, `<rect class="spanned" x="%.1f" y="%g" width="%.1f" height="%g"/>`, from, top, max(to-from, 2), foot-top)
	}
	if line := medians(points, x, y); line != "" {
		fmt.Fprintf(&b, `<path class="line" d="%s"/>`, line)
	}
	if asked {
		b.WriteString(askedLine(c, x, y))
	}
	if bound > 0 {
		fmt.Fprintf(&b, `<line class="bound" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="bound" x="%g" y="%.1f">bound %s</text>`, left, width-10, y(bound), y(bound), left+6, y(bound)-6, text(bound))
	}
	if c.Capacity != nil {
		at := x(c.Capacity.Amount)
		fmt.Fprintf(&b, `<line class="knee" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text class="knee" x="%.1f" y="%g">%s</text>`, at, at, top-4, foot, max(at-5, left+50), top-3, numberText(c.Capacity.Amount))
	}
	for _, p := range points {
		b.WriteString(mark(p.outcome, x(p.x), y(p.y)))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// askedLine is where as many deliveries come as are asked for.
func askedLine(c Capacity, x, y func(float64) float64) string {
	loads := map[float64]float64{}
	for _, s := range c.Steps {
		if s.Load.DeliveriesPerSecond > 0 {
			loads[s.Load.Amount] = s.Load.DeliveriesPerSecond
		}
	}
	var d strings.Builder
	for i, amount := range sortedKeys(loads) {
		fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(i, 1)], x(amount), y(loads[amount]))
	}
	return fmt.Sprintf(`<path class="asked" d="%s"/>`, d.String())
}

// medians is a line through the median of each load's runs; of an even number of runs the larger of the two in the middle.
func medians(points []point, x, y func(float64) float64) string {
	at := map[float64][]float64{}
	for _, p := range points {
		at[p.x] = append(at[p.x], p.y)
	}
	var d strings.Builder
	for i, load := range sortedKeys(at) {
		values := at[load]
		slices.Sort(values)
		fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(i, 1)], x(load), y(values[len(values)/2]))
	}
	return d.String()
}

func sortedKeys[V any](m map[float64]V) []float64 {
	keys := make([]float64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// loadAxis is logarithmic, or linear from 0.
type loadAxis struct {
	logAxis
	linear bool
}

func (a loadAxis) at(v float64) float64 {
	if a.linear {
		return min(v/a.high, 1)
	}
	return a.logAxis.at(v)
}

// ticks are at most so many round numbers on an axis, of 1, 2 and 5 times powers of ten: on a logarithmic one all of them, or fewer, and on a linear one the multiples of
// one of them.
func (a loadAxis) ticks(most int) (out []float64) {
	if a.linear {
		step := math.Pow(10, math.Floor(math.Log10(a.high))) / 10
		for _, by := range []float64{1, 2, 5, 10, 20, 50} {
			if a.high/(step*by) <= float64(most) {
				for i := 0.0; i*step*by <= a.high; i++ {
					out = append(out, i*step*by)
				}
				return out
			}
		}
		return nil
	}
	for _, steps := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
		out = nil
		for unit := math.Pow(10, math.Floor(math.Log10(a.low))); unit <= a.high; unit *= 10 {
			for _, s := range steps {
				if v := s * unit; v >= a.low && v <= a.high {
					out = append(out, v)
				}
			}
		}
		if len(out) <= most {
			return out
		}
	}
	return nil
}

// mark is a run, in the shape of its outcome.
func mark(outcome string, x, y float64) string {
	switch outcome {
	case "held":
		return fmt.Sprintf(`<circle class="held" cx="%.1f" cy="%.1f" r="5"/>`, x, y)
	case "missed":
		return fmt.Sprintf(`<path class="missed" d="M%.1f %.1fl9 9m0-9l-9 9"/>`, x-4.5, y-4.5)
	case "gaveUp":
		return fmt.Sprintf(`<path class="gaveUp" d="M%.1f %.1fl5.5 9.5h-11z"/>`, x, y-5.5)
	}
	return fmt.Sprintf(`<path class="unclear" d="M%.1f %.1fl5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>`, x, y-5.5)
}
