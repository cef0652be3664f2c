package report

import "fmt"

// delayRow is one delay: how long deliveries took to those that it was of, and to the others.
type delayRow struct {
	At, What, Whom          string
	P50, P999, Longest      string
	OthersP50, OthersP999   string
	ElseP50, OthersElseP50  string
	Deliveries, OthersCount string
}

func delayRows(faults []Fault) []delayRow {
	var out []delayRow
	for _, f := range faults {
		d := f.Delay
		if d == nil {
			continue
		}
		text := func(n int64, ms Millis) string {
			if n == 0 {
				return "–"
			}
			return timeText(float64(ms))
		}
		out = append(out, delayRow{
			At: momentText(float64(f.AtMs)), What: f.What, Whom: delayText(d),
			P50: text(d.DelayedMs.Count, d.DelayedMs.P50), P999: text(d.DelayedMs.Count, d.DelayedMs.P999), Longest: text(d.DelayedMs.Count, d.DelayedMs.Max),
			OthersP50: text(d.OthersMs.Count, d.OthersMs.P50), OthersP999: text(d.OthersMs.Count, d.OthersMs.P999),
			ElseP50: text(d.DelayedElseMs.Count, d.DelayedElseMs.P50), OthersElseP50: text(d.OthersElseMs.Count, d.OthersElseMs.P50),
			Deliveries: countText(d.DelayedMs.Count), OthersCount: countText(d.OthersMs.Count),
		})
	}
	return out
}

// delayText says who was delayed, and by how much.
func delayText(d *Delay) string {
	by := timeText(float64(d.ByMs))
	if d.JitterMs > 0 {
		by += " to " + timeText(float64(d.ByMs+d.JitterMs))
	}
	return fmt.Sprintf("%s sessions, %s each way", countText(d.Sessions), by)
}
