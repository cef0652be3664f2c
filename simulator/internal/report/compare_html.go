package report

import (
	"cmp"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// comparePage is what the page of a comparison shows.
type comparePage struct {
	Tone, Word, Label, Says string
	A, B                    string
	Paired                  bool
	Least                   string
	// The least effect that matters, from where to where on the axis of the effects, in percent.
	BandLeft, BandWidth float64
	Effects             []effectRow
	Spectrum            template.HTML
	SpectrumSays        string
	Rows                []compareRow
	Styling             template.CSS
}

// effectRow is a change with its interval as a bar on one axis for all, in percent of its width; the middle is no change.
type effectRow struct {
	Name, Figure, Finding, Why, Tone string
	Left, Width, At                  float64
}

type compareRow struct{ Name, A, B, Change, Interval, Finding string }

// findingTones are the colours of findings; the words beside them say the same.
var findingTones = map[verdict.Finding]string{verdict.Worse: "bad", verdict.Better: "good", verdict.Same: "good", verdict.Unclear: "open"}

// RenderComparisonHTML writes a comparison as one page that needs nothing else.
func RenderComparisonHTML(w io.Writer, c Comparison) error {
	p := comparePageOf(c)
	return renderStill(w, "comparison", "compare.html.tmpl", &p.Styling, &p)
}

// renderStill writes a page without scripts: what the template makes of the page, whose styling it sets. what it is stands in errors.
func renderStill(w io.Writer, what, file string, styling *template.CSS, page any) error {
	css, err := assets.ReadFile("assets/page.css")
	if err != nil {
		return fmt.Errorf("render %s: %w", what, err)
	}
	*styling = template.CSS(css) // our own file
	t, err := template.ParseFS(assets, "assets/"+file)
	if err != nil {
		return fmt.Errorf("render %s: %w", what, err)
	}
	return t.Execute(w, page)
}

func comparePageOf(c Comparison) comparePage {
	tone := tones[c.Verdict]
	p := comparePage{
		Tone: cmp.Or(tone.tone, "open"), Word: cmp.Or(tone.word, string(c.Verdict)), Label: c.A.Label, Says: sentence(c.conclusion()), Paired: c.Paired,
		A: runName(c.A), B: runName(c.B), Least: digits(100*c.LeastEffect, 1) + " %",
	}
	most := 2 * c.LeastEffect
	for _, r := range c.Rows {
		if r.Effect != nil {
			most = max(most, math.Abs(r.Effect.Low), math.Abs(r.Effect.High))
		}
	}
	most = max(min(most*1.1, 10), 1e-3) // beyond ten times as much it is off the axis
	x := func(share float64) float64 { return 50 + 50*min(max(share/most, -1), 1) }
	p.BandLeft, p.BandWidth = x(-c.LeastEffect), x(c.LeastEffect)-x(-c.LeastEffect)
	for _, r := range c.Rows {
		row := compareRow{Name: r.Name, A: r.A, B: r.B, Change: "–", Interval: "–", Finding: cmp.Or(string(r.Finding), "–")}
		if r.Change != nil {
			row.Change = fmt.Sprintf("%+.1f %%", 100**r.Change)
		}
		if e := r.Effect; e != nil {
			row.Interval = c.intervalText(e)
			p.Effects = append(p.Effects, effectRow{
				Name: r.Name, Figure: row.Change, Finding: cmp.Or(string(r.Finding), "not judged"), Why: r.Why, Tone: findingTones[r.Finding],
				Left: x(e.Low), Width: max(x(e.High)-x(e.Low), .5), At: x(e.Change),
			})
		}
		p.Rows = append(p.Rows, row)
	}
	p.Spectrum, p.SpectrumSays = twoSpectra(c.A.Spectrum, c.B.Spectrum)
	return p
}

func runName(r Report) string {
	when := "in simulated time"
	if !r.StartedAt.IsZero() {
		when = r.StartedAt.UTC().Format("2 January 2006, 15:04 UTC")
	}
	return fmt.Sprintf("%s, %s, %s", r.Scenario, r.Verdict, when)
}

// twoSpectra draws the latencies of deliveries of both runs against the percentile, logarithmic, each further nine with the same room. It holds numbers and
// units only; "" if one of them timed nothing.
func twoSpectra(a, b []SpectrumPoint) (plot template.HTML, says string) {
	const width, height, left, bottom = 640.0, 250.0, 56.0, 26.0
	ys, end := logAxis{math.Inf(1), 0}, 1.0
	for _, points := range [][]SpectrumPoint{a, b} {
		for _, p := range points {
			if !p.Ms.Infinite() && p.Ms > 0 {
				ys.low, ys.high = min(ys.low, float64(p.Ms)), max(ys.high, float64(p.Ms))
			}
			if p.Percentile < 100 {
				end = max(end, nines(p.Percentile))
			}
		}
	}
	if len(a) == 0 || len(b) == 0 || ys.high == 0 {
		return "", ""
	}
	ys.low, ys.high = ys.low/1.3, ys.high*1.3
	x := func(p float64) float64 { return left + (width-left-8)*nines(p)/end }
	y := func(ms float64) float64 { return 6 + (height-bottom-6)*(1-ys.at(ms)) }
	var out strings.Builder
	fmt.Fprintf(&out, `<svg viewBox="0 0 %g %g" class="fan" aria-hidden="true">`, width, height)
	for ms := math.Pow(10, math.Ceil(math.Log10(ys.low))); ms <= ys.high; ms *= 10 {
		fmt.Fprintf(&out, `<line class="tick" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="y" x="%g" y="%.1f">%s</text>`, left, width-8, y(ms), y(ms), left-8, y(ms)+4, timeText(ms))
	}
	for i, name := range []string{"0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"} {
		if float64(i) <= end {
			fmt.Fprintf(&out, `<text x="%.1f" y="%g">%s</text>`, left+(width-left-8)*float64(i)/end, height-8, name)
		}
	}
	for k, points := range [][]SpectrumPoint{a, b} {
		var d strings.Builder
		for _, p := range points {
			if p.Percentile < 100 && !p.Ms.Infinite() {
				fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(d.Len(), 1)], x(p.Percentile), y(float64(p.Ms)))
			}
		}
		fmt.Fprintf(&out, `<path class="run%c" d="%s"/>`, "AB"[k], d.String())
	}
	out.WriteString("</svg>")
	return template.HTML(out.String()), fmt.Sprintf("Median %s in A and %s in B, 99.9 %% %s and %s.", timeText(pointAt(a, 50)), timeText(pointAt(b, 50)), timeText(pointAt(a, 99.9)), timeText(pointAt(b, 99.9)))
}

// nines maps a percentile below 100 to how many nines it has.
func nines(percentile float64) float64 { return -math.Log10(1 - percentile/100) }
