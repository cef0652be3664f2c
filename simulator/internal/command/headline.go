package command

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// headline is the last line of a run: the verdict, what it stands on, and where there is more.
func headline(r report.Report, path string) string {
	facts := []string{grouped(r.Deliveries.Expected) + " deliveries", "lost " + grouped(r.Deliveries.Lost)}
	if r.LatencyMs.Count > 0 {
		facts = append(facts, "p99.9 "+inMillis(r.LatencyMs.P999))
	}
	if len(r.Broadcasts) > 0 {
		facts = append(facts, "slowest broadcast complete in "+inMillis(slowestBroadcast(r.Broadcasts)))
	}
	name := r.Scenario
	if r.Model != nil {
		name = fmt.Sprintf("%s (%s, grade %s)", name, r.Label, r.Model.Grade)
	}
	line := fmt.Sprintf("%s %s: %s", word(r), name, strings.Join(facts, ", "))
	if len(r.Reasons) > 0 {
		line += " · " + r.Reasons[0]
		if more := len(r.Reasons) - 1; more > 0 {
			line += fmt.Sprintf(" (and %d more)", more)
		}
	}
	return line + " · report " + path
}

func word(r report.Report) string {
	switch r.Verdict {
	case verdict.Pass:
		return "PASS"
	case verdict.Fail:
		return "FAIL"
	case verdict.GeneratorUnhealthy:
		return "GENERATOR UNHEALTHY"
	}
	return "INCONCLUSIVE"
}

func slowestBroadcast(broadcasts []report.Broadcast) report.Millis {
	var slowest report.Millis
	for _, b := range broadcasts {
		slowest = max(slowest, b.TimeToLastMs)
	}
	return slowest
}

func inMillis(ms report.Millis) string {
	switch {
	case ms.Infinite():
		return "never"
	case ms >= 600:
		return strconv.FormatFloat(float64(ms)/1000, 'f', 2, 64) + " s"
	case ms >= 10:
		return strconv.FormatFloat(float64(ms), 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(float64(ms), 'f', 1, 64) + " ms"
}

// grouped writes a number with its thousands apart: 12,400.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
