package report

import (
	"fmt"
	"slices"
	"strings"
)

// alternatives says in words what each plot shows, for who does not see it.
func alternatives(r Report, c chartData) map[string]string {
	out := map[string]string{}
	if c.Reach != nil {
		worst := slices.IndexFunc(c.Reach.Curves, func(l reachCurve) bool { return l.Worst })
		b := r.Broadcasts[c.Reach.Curves[worst].Number-1]
		out["reach"] = fmt.Sprintf("Lines of the share of recipients against time. The slowest broadcast, number %d, was with half of them after %s, with 99.9 %% after %s and with the last after %s; the bound is %s.",
			c.Reach.Curves[worst].Number, timeText(float64(b.TimeTo50Ms)), timeText(float64(b.TimeTo999Ms)), timeText(float64(b.TimeToLastMs)), timeText(float64(b.DeliverWithinMs)))
	}
	if c.Heat != nil {
		l := r.LatencyMs
		out["heat"] = fmt.Sprintf("Heat map of %s deliveries, by when their post was due and by how long they took: half at most %s, 99 %% at most %s, 99.9 %% at most %s, the longest %s.%s",
			countText(l.Count+l.Lost), timeText(float64(l.P50)), timeText(float64(l.P99)), timeText(float64(l.P999)), timeText(float64(l.Max)), faultsInWords(r.Faults))
	}
	if c.Spectrum != nil {
		var lines []string
		for _, l := range c.Spectrum.Lines {
			lines = append(lines, fmt.Sprintf("%s: median %s, 99 %% %s, longest %s", l.Name, timeText(pointAt(l.Points, 50)), timeText(pointAt(l.Points, 99)), timeText(pointAt(l.Points, 100))))
		}
		out["spectrum"] = "Lines of latency against percentile. " + strings.Join(lines, "; ") + "."
	}
	for _, chart := range []struct {
		key, what string
		*timeChart
	}{{"sessions", "sessions", c.Sessions}, {"posts", "posts a second", c.Posts}, {"signIns", "sign-ins a second", c.SignIns}, {"arrivals", "deliveries a second", c.Arrivals}} {
		if chart.timeChart == nil {
			continue
		}
		var lines []string
		for _, l := range chart.Lines {
			lines = append(lines, fmt.Sprintf("%s at most %s", l.Name, numberText(round3(slices.Max(l.Values)))))
		}
		out[chart.key] = fmt.Sprintf("Lines of %s over the run: %s.%s", chart.what, strings.Join(lines, ", "), faultsInWords(r.Faults))
	}
	return out
}

// pointAt is the first point at a percentile or above it.
func pointAt(points []SpectrumPoint, percentile float64) float64 {
	i := slices.IndexFunc(points, func(p SpectrumPoint) bool { return p.Percentile >= percentile-1e-6 })
	if i < 0 {
		i = len(points) - 1
	}
	return float64(points[i].Ms)
}

// faultsInWords says when the first faults were, for plots that have them drawn in.
func faultsInWords(faults []Fault) string {
	const most = 5
	var out []string
	for _, f := range faults {
		if f.Error == "" {
			out = append(out, fmt.Sprintf("%s at %s", f.What, momentText(float64(f.AtMs))))
		}
	}
	if len(out) == 0 {
		return ""
	}
	more := ""
	if n := len(out) - most; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
		out = out[:most]
	}
	return " Faults: " + strings.Join(out, ", ") + more + "."
}

// meanOver says what the points of rates are means over, where that is long enough to hide a peak.
func meanOver(c *timeChart) string {
	if c == nil || c.WidthMs < 1000 {
		return ""
	}
	return fmt.Sprintf("Each point is the mean over %s.", timeText(float64(c.WidthMs)))
}
