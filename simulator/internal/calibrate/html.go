package calibrate

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

//go:embed page.html.tmpl
var pageTemplate string

// page is what the template shows.
type page struct {
	Result
	Style       template.CSS
	Tone, Word  string
	Plot        template.HTML
	HeldOutRows []heldOutRow
	Parameters  []parameterRow
	Law         string
	Groups      []groupRow
}

type heldOutRow struct {
	Sessions, Figure, Measured, Spread, Predicted, Interval, Error, Law, Tone string
}

type parameterRow struct{ Name, Help, Value, Interval, Before string }

// groupRow is how far the fitted figures of one name are off.
type groupRow struct {
	Name, Median, Worst string
	N                   int
}

// RenderHTML writes the result as one page that needs nothing else.
func RenderHTML(w io.Writer, r Result) error {
	p := page{Result: r, Style: template.CSS(report.Style()), Tone: "bad", Word: "Beyond 15 %", Plot: plot(r)} // our own file, not input
	switch {
	case !r.Tested:
		p.Tone, p.Word = "open", "Untested"
	case r.Within:
		p.Tone, p.Word = "good", "Within 15 %"
	}
	for _, h := range r.HeldOut {
		row := heldOutRow{
			Sessions: count(h.Sessions), Figure: h.Figure, Measured: fmt.Sprintf("%s, median of %d", millisecs(h.MeasuredMs), h.Runs),
			Spread: between(h.LeastMs, h.LargestMs), Predicted: millisecs(h.PredictedMs.Value), Interval: between(h.PredictedMs.Low, h.PredictedMs.High),
			Error: fmt.Sprintf("%+.1f %%", 100*h.Error), Law: "–", Tone: "good",
		}
		if h.LawMs != nil {
			row.Law = h.LawMs.ms()
		}
		if math.Abs(h.Error) > Target {
			row.Tone = "bad"
		}
		p.HeldOutRows = append(p.HeldOutRows, row)
	}
	for _, k := range r.Fit.Parameters {
		unit := r.calibration.Get(k.Name).Unit
		p.Parameters = append(p.Parameters, parameterRow{string(k.Name), k.Name.Help(), number(k.Value) + " " + string(unit), number(k.Low) + " to " + number(k.High), number(k.Began)})
	}
	if u := r.Law; u != nil {
		p.Law = fmt.Sprintf("λ %s deliveries a second of a thousand at once, σ %s, κ %s; %d broadcasts of %d runs", u.Lambda.text(), u.Sigma.text(), u.Kappa.text(), u.Broadcasts, u.Runs)
	}
	for _, g := range groupsOf(r.Fit.Figures) {
		p.Groups = append(p.Groups, groupRow{g.name, fmt.Sprintf("%+.1f %%", 100*g.median), fmt.Sprintf("%+.1f %%, %s", 100*g.worst.Error(), g.worst.Run), g.n})
	}
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	return t.Execute(w, p)
}

// The plot: predicted against measured, both logarithmic, in the units of an SVG.
const (
	plotSide   = 460.0
	plotMargin = 46.0
)

// plot draws every time of broadcasts as a dot, the held-out ones as rings with the spread of their runs; on the line both are equal, and between the
// others they differ by at most Target.
func plot(r Result) template.HTML {
	low, high := math.Inf(1), 0.0
	see := func(values ...float64) {
		for _, v := range values {
			low, high = min(low, v), max(high, v)
		}
	}
	for _, f := range r.Fit.Figures {
		if f.Unit == "ms" {
			see(f.Measured, f.Predicted)
		}
	}
	for _, h := range r.HeldOut {
		see(h.LeastMs, h.LargestMs, h.PredictedMs.Value)
	}
	if high == 0 {
		return ""
	}
	low, high = low/1.2, high*1.2
	at := func(v float64) float64 {
		return math.Log(max(min(v, high), low)/low) / math.Log(high/low) * (plotSide - plotMargin)
	}
	x := func(v float64) float64 { return plotMargin + at(v) }
	y := func(v float64) float64 { return plotSide - plotMargin - at(v) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="fit" viewBox="0 0 %g %g" role="img" aria-label="Predicted against measured">`, plotSide, plotSide)
	for ms := math.Pow(10, math.Ceil(math.Log10(low))); ms <= high; ms *= 10 {
		fmt.Fprintf(&b, `<line class="tick" x1="%.1f" x2="%.1f" y1="0" y2="%g"/><line class="tick" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`,
			x(ms), x(ms), plotSide-plotMargin, plotMargin, plotSide, y(ms), y(ms))
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%g</text><text x="%g" y="%.1f" text-anchor="end">%g</text>`,
			x(ms), plotSide-plotMargin+16, ms, plotMargin-6, y(ms)+4, ms)
	}
	for _, factor := range []float64{1, 1 + Target, 1 - Target} {
		class := "band"
		if factor == 1 {
			class = "even"
		}
		from, to := max(low, low/factor), min(high, high/factor)
		fmt.Fprintf(&b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x(from), y(from*factor), x(to), y(to*factor))
	}
	for _, f := range r.Fit.Figures {
		if f.Unit != "ms" {
			continue
		}
		class := "other"
		if f.Bytes > 0 {
			class = "dot"
		}
		fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.1f" r="3"><title>%s, %s: measured %s, predicted %s</title></circle>`,
			class, x(f.Measured), y(f.Predicted), template.HTMLEscapeString(f.Run), template.HTMLEscapeString(f.Name), millisecs(f.Measured), millisecs(f.Predicted))
	}
	for _, h := range r.HeldOut {
		fmt.Fprintf(&b, `<line class="spread" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x(h.LeastMs), x(h.LargestMs), y(h.PredictedMs.Value), y(h.PredictedMs.Value))
		fmt.Fprintf(&b, `<circle class="ring" cx="%.1f" cy="%.1f" r="6"><title>%s sessions, held out, %s: measured %s, predicted %s</title></circle>`,
			x(h.MeasuredMs), y(h.PredictedMs.Value), count(h.Sessions), template.HTMLEscapeString(h.Figure), millisecs(h.MeasuredMs), millisecs(h.PredictedMs.Value))
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">measured, ms</text><text x="12" y="%g" text-anchor="middle" transform="rotate(-90 12 %g)">predicted, ms</text></svg>`,
		plotMargin+(plotSide-plotMargin)/2, plotSide-8, (plotSide-plotMargin)/2, (plotSide-plotMargin)/2)
	return template.HTML(b.String()) // numbers, and names that are escaped
}
