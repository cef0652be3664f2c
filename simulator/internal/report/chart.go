package report

import (
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// Bounds on what a page carries, so that a long run is as quick to look at as a short one.
const (
	maxPoints     = 600
	maxCurves     = 40
	maxHeatPoints = 400
	reachPoints   = 240
)

// chartData is what the page's script draws, as JSON in the page. Times are milliseconds; null is never.
type chartData struct {
	Phases   []Phase       `json:"phases"`
	Faults   []faultMark   `json:"faults"`
	EndMs    Millis        `json:"endMs"`
	Reach    *reachChart   `json:"reach"`
	Spectrum *spectrumData `json:"spectrum"`
	Heat     *heatChart    `json:"heat"`
	Sessions *timeChart    `json:"sessions"`
	Posts    *timeChart    `json:"posts"`
	Arrivals *timeChart    `json:"arrivals"`
	// null where all sessions signed in once.
	SignIns *timeChart `json:"signIns"`
}

type faultMark struct {
	AtMs   Millis  `json:"atMs"`
	BackMs *Millis `json:"backMs"`
	Action string  `json:"action"`
	What   string  `json:"what"`
}

// timeChart is counts over time: one value for each step of widthMs from 0.
type timeChart struct {
	WidthMs Millis     `json:"widthMs"`
	FromMs  Millis     `json:"fromMs"`
	Lines   []timeLine `json:"lines"`
}

type timeLine struct {
	Name   string    `json:"name"`
	Key    string    `json:"key"`
	Values []float64 `json:"values"`
}

// reachChart is, for each broadcast, the share of its recipients that had it after a time.
type reachChart struct {
	BoundMs Millis       `json:"boundMs"`
	StepMs  Millis       `json:"stepMs"`
	Curves  []reachCurve `json:"curves"`
	Omitted int          `json:"omitted"`
}

type reachCurve struct {
	Number int       `json:"number"`
	Worst  bool      `json:"worst"`
	Shares []float64 `json:"shares"`
}

type spectrumData struct {
	Lines  []spectrumLine  `json:"lines"`
	Bounds []spectrumBound `json:"bounds"`
}

type spectrumLine struct {
	Name   string          `json:"name"`
	Key    string          `json:"key"`
	Points []SpectrumPoint `json:"points"`
}

type spectrumBound struct {
	Percentile float64 `json:"percentile"`
	Ms         float64 `json:"ms"`
	Title      string  `json:"title"`
}

// heatChart is a heat map with [column, row, count] cells; the last row is what never came.
type heatChart struct {
	WidthMs Millis     `json:"widthMs"`
	FromMs  Millis     `json:"fromMs"`
	TopMs   []Millis   `json:"topMs"`
	Cells   [][3]int64 `json:"cells"`
	BoundMs Millis     `json:"boundMs"`
}

func charts(r Report) chartData {
	c := chartData{Phases: r.Phases, Faults: []faultMark{}, EndMs: r.DurationMs, Reach: reach(r), Spectrum: spectrumChart(r), Heat: heat(r)}
	for _, f := range r.Faults {
		if f.Error == "" {
			c.Faults = append(c.Faults, faultMark{f.AtMs, f.BackAtMs, f.Action, f.What})
		}
	}
	s := r.Series
	c.Sessions = levels(r, named{"wanted", "wanted", s.Wanted}, named{"established", "established", s.Established}, named{"signed in", "signedIn", s.SignedIn})
	c.Posts = rates(r, named{"offered", "offered", s.Offered}, named{"sent", "sent", s.Sent}, named{"acknowledged", "acknowledged", s.Acknowledged})
	c.Arrivals = rates(r, named{"delivered", "delivered", s.Delivered})
	if r.Sessions.ReconnectMs.Count > 0 {
		c.SignIns = rates(r, named{"sign-ins", "signIns", s.SignIns})
	}
	return c
}

type named struct {
	name, key string
	series    *measure.Series
}

// levels draws series of changes as what they add up to.
func levels(r Report, lines ...named) *timeChart {
	return timeline(r, maxPoints, lines, func(s *measure.Series, buckets, by int) []float64 {
		all := s.Levels()
		values := make([]float64, 0, buckets/by+1)
		last := int64(0)
		for i := range buckets {
			if i < len(all) {
				last = all[i]
			}
			if i%by == by-1 || i == buckets-1 {
				values = append(values, float64(last))
			}
		}
		return values
	})
}

// rates draws series of counts as counts a second.
func rates(r Report, lines ...named) *timeChart {
	const points = 300
	return timeline(r, points, lines, func(s *measure.Series, buckets, by int) []float64 {
		counts := s.Counts()
		perSecond := float64(time.Second) / float64(s.Width()) / float64(by)
		values := make([]float64, (buckets+by-1)/by)
		for i, n := range counts {
			values[min(i/by, len(values)-1)] += float64(n) * perSecond
		}
		return values
	})
}

// timeline puts by buckets together so that there are at most so many points; nil if there is nothing to draw.
func timeline(r Report, points int, lines []named, values func(s *measure.Series, buckets, by int) []float64) *timeChart {
	var width time.Duration
	buckets := 0
	for _, l := range lines {
		if n := len(l.series.Counts()); n > 0 {
			width, buckets = l.series.Width(), max(buckets, n)
		}
	}
	if buckets == 0 {
		return nil
	}
	if whole := int(float64(r.DurationMs) / float64(millis(width))); whole > buckets && whole < 10*buckets {
		buckets = whole
	}
	by := (buckets + points - 1) / points
	c := &timeChart{WidthMs: millis(width) * Millis(by)}
	for _, l := range lines {
		if len(l.series.Counts()) > 0 && l.series.Width() == width {
			c.Lines = append(c.Lines, timeLine{l.name, l.key, values(l.series, buckets, by)})
		}
	}
	return c
}

// reach shows the slowest broadcasts and, of the others, evenly chosen ones.
func reach(r Report) *reachChart {
	worst, slowest := -1, -1.0
	longest, bound := 0.0, 0.0
	for i, b := range r.Broadcasts {
		if b.Recipients == 0 || b.Latency.Count() == 0 {
			continue
		}
		if t := float64(b.TimeTo999Ms); t > slowest {
			worst, slowest = i, t
		}
		longest = max(longest, float64(millis(b.Latency.Max())))
		bound = max(bound, float64(b.DeliverWithinMs))
	}
	if worst < 0 {
		return nil
	}
	c := &reachChart{BoundMs: Millis(bound), StepMs: Millis(max(longest*1.05, bound*1.12) / reachPoints)}
	every := (len(r.Broadcasts) + maxCurves - 1) / maxCurves
	for i, b := range r.Broadcasts {
		if b.Recipients == 0 || i != worst && i%every != 0 {
			c.Omitted++
			continue
		}
		c.Curves = append(c.Curves, reachCurve{i + 1, i == worst, shares(b.Latency, b.Recipients, float64(c.StepMs), reachPoints)})
	}
	return c
}

// shares returns which share of n had a latency of at most 0, 1, 2, … steps.
func shares(h *measure.Histogram, n int64, stepMs float64, points int) []float64 {
	steps := h.Steps()
	out := make([]float64, points+1)
	var had int64
	for i, next := 0, 0; i <= points; i++ {
		for next < len(steps) && float64(millis(steps[next].Latency)) <= float64(i)*stepMs {
			had += steps[next].Count
			next++
		}
		out[i] = math.Round(float64(had)/float64(max(n, 1))*1e5) / 1e5
	}
	return out
}

func spectrumChart(r Report) *spectrumData {
	h := r.Histograms
	c := &spectrumData{Bounds: []spectrumBound{}}
	add := func(name, key string, points []SpectrumPoint) {
		if len(points) > 0 {
			c.Lines = append(c.Lines, spectrumLine{name, key, points})
		}
	}
	add("delivery", "delivery", r.Spectrum)
	add("post: response", "response", Spectrum(h.Response, r.Posts.ResponseMs.Lost))
	if r.Model == nil { // In a model every post is sent when it is due.
		add("post: service", "service", Spectrum(h.Service, r.Posts.ServiceMs.Lost))
		add("post: send lag", "sendLag", Spectrum(h.SendLag, 0))
	}
	for _, t := range r.Thresholds {
		if p, ok := percentileOf(t.Aggregation); ok && t.Metric == "delivery" {
			c.Bounds = append(c.Bounds, spectrumBound{p, t.Bound, t.Title})
		}
	}
	if len(c.Lines) == 0 {
		return nil
	}
	return c
}

func heat(r Report) *heatChart {
	cells := r.Series.Heat.Cells()
	if len(cells) == 0 {
		return nil
	}
	first, last := cells[0].Column, cells[len(cells)-1].Column
	by := (last-first)/maxHeatPoints + 1
	first -= first % by
	c := &heatChart{WidthMs: millis(r.Series.Heat.Width()) * Millis(by), FromMs: millis(r.Series.Heat.Width()) * Millis(first)}
	for row := range measure.HeatRows {
		c.TopMs = append(c.TopMs, millis(measure.HeatRowTop(row)))
	}
	sums := map[[2]int]int64{}
	var order [][2]int
	for _, cell := range cells {
		at := [2]int{(cell.Column - first) / by, cell.Row}
		if _, seen := sums[at]; !seen {
			order = append(order, at)
		}
		sums[at] += cell.Count
	}
	for _, at := range order {
		c.Cells = append(c.Cells, [3]int64{int64(at[0]), int64(at[1]), sums[at]})
	}
	for _, t := range r.Thresholds {
		if t.Metric == "delivery" && (c.BoundMs == 0 || Millis(t.Bound) < c.BoundMs) {
			c.BoundMs = Millis(t.Bound)
		}
	}
	if c.BoundMs == 0 && len(r.Broadcasts) > 0 {
		c.BoundMs = r.Broadcasts[0].DeliverWithinMs
	}
	return c
}
