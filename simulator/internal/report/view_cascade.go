package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
)

// cascadeView is what a page shows of a falsehood and its correction: first what people do, then what the fleet takes.
type cascadeView struct {
	Seeds       int
	Assumptions []string
	Findings    []string
	Shares      []shareRow
	Reach       []reachCard
	Rows        []surgeRow
	Together    string
}

// shareRow is a share as a bar, in percent of the width.
type shareRow struct {
	Name, Figure    string
	Left, Width, At float64
	Hub             bool
}

// reachCard is one small multiple: the people whom each message has reached, against time.
type reachCard struct {
	Title, Says string
	Curves      template.HTML
}

// surgeRow is an arm and a delay, of the fleet.
type surgeRow struct {
	Delay, Arm, People, Fleet       string
	Due, Busiest, To999, Last, P999 spread
}

// spread is a mean and its interval.
type spread struct{ Mean, Range string }

func countSpread(i cascade.Interval) spread {
	return spread{cascade.Count(i.Mean), cascade.Count(i.Low) + " to " + cascade.Count(i.High)}
}

func timeSpread(ms cascade.Interval) spread {
	return spread{timeText(ms.Mean), timeText(ms.Low) + " to " + timeText(ms.High)}
}

func cascadeViewOf(r Report) *cascadeView {
	c := r.Cascade
	if c == nil {
		return nil
	}
	p := c.Study.Params
	v := &cascadeView{Seeds: p.Seeds, Assumptions: cascade.Assumptions(p), Findings: cascade.Findings(c.Study), Together: Together(*c)}
	most := 1.0
	for _, cell := range c.Study.Cells {
		for _, m := range cell.Over {
			most = max(most, m.Falsehood.Mean, m.Correction.Mean)
		}
	}
	for _, delay := range p.DelaysNs {
		var cells []cascade.Cell
		for _, arm := range []cascade.Arm{cascade.ByHub, cascade.ByForwards} {
			i := c.place(arm, delay)
			if i < 0 {
				continue
			}
			cell, of := c.Study.Cells[i], c.Cases[i]
			cells = append(cells, cell)
			v.Shares = append(v.Shares, shareRow{
				Name: fmt.Sprintf("after %s, by %s", cascade.Span(delay), armName(arm)), Figure: cell.Forewarned.Shares(), Hub: arm == cascade.ByHub,
				Left: 100 * cell.Forewarned.Low, Width: 100 * (cell.Forewarned.High - cell.Forewarned.Low), At: 100 * cell.Forewarned.Mean,
			})
			row := surgeRow{
				Delay: cascade.Span(delay), Arm: armName(arm), Due: countSpread(cell.PeakDeliveriesPerSecond), Busiest: countSpread(of.BusiestSecond),
				People: spanText(cell.HalfSeconds.Mean), Fleet: timeText(of.DeliveryP50Ms.Mean), To999: spread{Mean: "–"}, Last: spread{Mean: "–"}, P999: timeSpread(of.DeliveryP999Ms),
			}
			if of.HubTo999Ms != nil {
				row.Fleet, row.To999, row.Last = timeText(of.HubTo50Ms.Mean), timeSpread(*of.HubTo999Ms), timeSpread(*of.HubToLastMs)
			}
			v.Rows = append(v.Rows, row)
		}
		if len(cells) == 2 && len(cells[0].Over) > 0 {
			v.Reach = append(v.Reach, reachCardOf(delay, cells, most))
		}
	}
	return v
}

// place finds the case of an arm and a delay; -1 if there is none.
func (c Cascade) place(arm cascade.Arm, delay time.Duration) int {
	for i, of := range c.Cases {
		if of.Arm == arm && of.DelayNs == delay && i < len(c.Study.Cells) {
			return i
		}
	}
	return -1
}

func armName(a cascade.Arm) string {
	if a == cascade.ByHub {
		return "the hub"
	}
	return string(a)
}

// spanText is a time that people take; 0 is none at all.
func spanText(seconds float64) string {
	if seconds == 0 {
		return "none"
	}
	return cascade.Span(time.Duration(seconds * float64(time.Second)))
}

// Together says whether the fleet's time changes what people come to see first.
func Together(c Cascade) string {
	most, furthest := 0.0, cascade.Interval{}
	for _, of := range c.Cases {
		for _, i := range []cascade.Interval{of.WithDelivery.Forewarned, of.WithDelivery.CorrectionFirst} {
			if size := math.Max(math.Abs(i.Low), math.Abs(i.High)); size >= most {
				most, furthest = size, i
			}
		}
	}
	s := fmt.Sprintf("When every delivery takes %s, as long as the slowest thousandth of the fleet’s, the share of who saw what first that changes most changes by %s.", timeText(c.DeliveryMs.Mean), furthest.Points())
	const matters = 0.01
	if most < matters {
		return s + " With these assumptions it is people’s time that decides, and not the fleet’s."
	}
	return s + " So the fleet’s time is a part of the answer."
}

// reachCardOf draws how many people each message had reached, by the hub (solid) and by forwards (dashed), on a logarithmic axis of time. It holds numbers and
// units only.
func reachCardOf(delay time.Duration, cells []cascade.Cell, most float64) reachCard {
	const width, height = 260.0, 110.0
	end := cells[0].Over[len(cells[0].Over)-1].AtNs
	axis := logAxis{float64(time.Minute.Milliseconds()), max(float64(end.Milliseconds()), 2*float64(time.Minute.Milliseconds()))}
	x := func(at time.Duration) float64 { return width * axis.at(float64(at.Milliseconds())) }
	y := func(people float64) float64 { return 2 + (height-4)*(1-people/most) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" class="curve people" aria-hidden="true">`, width, height+14)
	for _, tick := range []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 48 * time.Hour} {
		if tick <= end {
			fmt.Fprintf(&b, `<line class="tick" x1="%.1f" x2="%.1f" y1="0" y2="%g"/><text x="%.1f" y="%g">%s</text>`, x(tick), x(tick), height, min(max(x(tick), 12), width-10), height+12, cascade.Span(tick))
		}
	}
	fmt.Fprintf(&b, `<line class="delay" x1="%.1f" x2="%.1f" y1="0" y2="%g"/>`, x(delay), x(delay), height)
	for i, cell := range cells {
		b.WriteString(peopleLine(cell, fmt.Sprintf("correction arm%d", i), x, y, func(m cascade.Moment) float64 { return m.Correction.Mean }))
		b.WriteString(peopleLine(cell, fmt.Sprintf("falsehood arm%d", i), x, y, func(m cascade.Moment) float64 { return m.Falsehood.Mean }))
	}
	b.WriteString("</svg>")
	return reachCard{
		Title: "after " + cascade.Span(delay), Curves: template.HTML(b.String()),
		Says: fmt.Sprintf("in the end the correction has reached %s people by the hub and %s by forwards, the falsehood %s and %s",
			cascade.Count(cells[0].Correction.Mean), cascade.Count(cells[1].Correction.Mean), cascade.Count(cells[0].Falsehood.Mean), cascade.Count(cells[1].Falsehood.Mean)),
	}
}

func peopleLine(cell cascade.Cell, class string, x func(time.Duration) float64, y func(float64) float64, of func(cascade.Moment) float64) string {
	var d strings.Builder
	for i, m := range cell.Over {
		fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(i, 1)], x(m.AtNs), y(of(m)))
	}
	return fmt.Sprintf(`<path class="%s" d="%s"/>`, class, d.String())
}
