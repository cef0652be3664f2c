package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// panel of the picture: one figure of every target, as bars.
type panel struct {
	title string
	of    func(one, burst Round, bytes float64) float64
	unit  func(float64) string
	// log has bars as long as their logarithm, where figures lie far apart.
	log bool
}

const (
	panelWidth, barHeight, gap, labels = 300, 16, 6, 120
	margin, head                       = 16, 44
)

// picture is an SVG with a panel for each figure, in light and dark.
func (r *Results) picture() string {
	panels := []panel{
		{"CPU a delivery, µs", func(one, _ Round, _ float64) float64 { return one.CPU }, func(x float64) string { return fmt.Sprintf("%.1f", x) }, false},
		{"last subscriber has it, ms", func(one, _ Round, _ float64) float64 { return one.Last }, func(x float64) string { return fmt.Sprintf("%.0f", x) }, false},
		{fmt.Sprintf("burst of %d, deliveries a second (log)", r.Burst), func(_, burst Round, _ float64) float64 { return burst.perSecond(r.Sessions) },
			func(x float64) string { return fmt.Sprintf("%.0f k", x/1e3) }, true},
		{"memory a session, bytes (log)", func(_, _ Round, bytes float64) float64 { return bytes }, func(x float64) string { return fmt.Sprintf("%.0f", x) }, true},
	}
	width := 2*(labels+panelWidth+70) + 3*margin
	high := head + len(r.Results)*(barHeight+gap) + margin
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`, width, 2*high+margin)
	out.WriteString(`<style>text{fill:#222}.ours{fill:#0b6bcb}.floor{fill:#9aa5b1}.peer{fill:#d9822b}.back{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}.back{fill:#161b22}}</style>`)
	fmt.Fprintf(&out, `<rect class="back" width="%d" height="%d"/>`, width, 2*high+margin)
	for i, p := range panels {
		x, y := margin+i%2*(labels+panelWidth+70+margin), i/2*high
		fmt.Fprintf(&out, `<text x="%d" y="%d" font-size="14" font-weight="600">%s</text>`, x, y+28, html.EscapeString(p.title))
		r.bars(&out, p, x, y+head)
	}
	out.WriteString("</svg>\n")
	return out.String()
}

func (r *Results) bars(out *strings.Builder, p panel, x, y int) {
	var values []float64
	for _, t := range r.Results {
		one, burst := t.medians(-1)
		values = append(values, p.of(one, burst, median(t.BytesEach)))
	}
	most := slices.Max(values)
	least := most
	for _, v := range values {
		if v > 0 {
			least = min(least, v)
		}
	}
	for i, t := range r.Results {
		share := values[i] / most
		if p.log && most > least {
			share = 0.1 + 0.9*math.Log(max(values[i], least)/least)/math.Log(most/least)
		}
		class := "ours"
		if k := slices.IndexFunc(kinds, func(k kind) bool { return k.name == t.Target }); k >= 0 && kinds[k].floor {
			class = "floor"
		} else if k >= 0 && kinds[k].peer {
			class = "peer"
		}
		at := y + i*(barHeight+gap)
		long := max(1, int(share*panelWidth))
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="2"/><text x="%d" y="%d">%s</text>`,
			x+labels-6, at+barHeight-4, html.EscapeString(t.Target), class, x+labels, at, long, barHeight, x+labels+long+6, at+barHeight-4, html.EscapeString(p.unit(values[i])))
	}
}
