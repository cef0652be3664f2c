package command

import (
	"fmt"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// headline is the last line of a run: the verdict, what it stands on, and where there is more.
func headline(r report.Report, path string) string {
	facts := []string{plain.Count(r.Deliveries.Expected) + " deliveries", "lost " + plain.Count(r.Deliveries.Lost)}
	if r.LatencyMs.Count > 0 {
		facts = append(facts, "p99.9 "+plain.Millis(r.LatencyMs.P999))
	}
	if len(r.Broadcasts) > 0 {
		facts = append(facts, "slowest broadcast complete in "+plain.Millis(slowestBroadcast(r.Broadcasts)))
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
