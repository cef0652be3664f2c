package report

import (
	"fmt"

	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// worstCut is the cut whose sessions took longest to come back.
func worstCut(faults []Fault) (worst Fault, ok bool) {
	for _, f := range faults {
		if f.Action == "cut" && f.Reconnects != nil && (!ok || f.Reconnects.AllBackMs > worst.Reconnects.AllBackMs) {
			worst, ok = f, true
		}
	}
	return worst, ok
}

func reconnectTile(f Fault) tile {
	r := f.Reconnects
	if r.AllBackMs.Infinite() {
		return tile{"Time until all were back", "never", countText(r.Sessions) + " sessions had been cut", "bad", -1}
	}
	note := fmt.Sprintf("%s sessions, %s of them by resume token", countText(r.Sessions), countText(r.Resumed))
	if r.AllBackMs >= 1000 { // Within a second there is no rate a second to speak of.
		note += fmt.Sprintf("; %s sign-ins a second, %s in the busiest", countText(int64(r.SignInsPerSecond)), countText(int64(r.PeakSignInsPerSecond)))
	}
	if r.CPUMicrosPerSignIn > 0 {
		note += fmt.Sprintf("; %s of the fleet’s processors each", timeText(r.CPUMicrosPerSignIn/1000))
	}
	if r.AddedCPUMicrosPerSignIn > 0 {
		note += fmt.Sprintf(", %s more than without", timeText(r.AddedCPUMicrosPerSignIn/1000))
	}
	return tile{"Time until all were back", timeText(float64(r.AllBackMs)), note, "good", -1}
}

// reconnectsText says how many lost their connection by a fault, and when they had one again.
func reconnectsText(r *Reconnects) string {
	switch {
	case r == nil:
		return "–"
	case r.AllBackMs.Infinite():
		return countText(r.Sessions) + ", not all back"
	}
	return fmt.Sprintf("%s, back within %s, %s by resume token", countText(r.Sessions), timeText(float64(r.AllBackMs)), countText(r.Resumed))
}

// slowFacts is the account of the slow readers, if there were any.
func slowFacts(s *SlowReaders) []group {
	if s == nil {
		return nil
	}
	facts := []fact{
		{"sessions", countText(s.Sessions)}, {"events for them", countText(s.Expected)}, {"delivered", countText(s.Delivered)},
		{"told that they are left out", countText(s.Told)}, {"lost without a word", countText(s.Lost)},
		{"told to be too far behind", countText(s.TooLong) + " times"}, {"connections lost", countText(s.Dropped)},
	}
	if e := s.Effect; e != nil {
		facts = append(facts, fact{"others’ time to the last", verdict.Effect{Pairs: e.Pairs, Change: e.Change, Low: e.Low, High: e.High}.String()})
	}
	return []group{{"Slow readers", facts}}
}
