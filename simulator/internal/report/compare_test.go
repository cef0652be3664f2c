package report

import (
	"math"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// Runs with the same broadcasts are compared pair by pair; with others, as wholes alone. A broadcast that somebody never got is in no pair.
func TestCompare(t *testing.T) {
	run := func(factor float64, size v1alpha1.Size) Report {
		r := Report{Scenario: "x", Spec: &v1alpha1.Scenario{Broadcasts: []v1alpha1.Broadcast{{MessageBytes: size}}}, LatencyMs: Latency{P50: Millis(10 * factor)}}
		for i := range 12 {
			r.Broadcasts = append(r.Broadcasts, Broadcast{TimeTo999Ms: Millis(float64(40+i) * factor), TimeToLastMs: Millis(float64(50+i) * factor)})
		}
		return r
	}
	a, b := run(1, 200), run(1.2, 200)
	b.Broadcasts[3].TimeToLastMs = Millis(math.Inf(1))
	rows, err := Compare(a, b)
	if err != nil || len(rows) != 8 || rows[0].Effect == nil || rows[0].Effect.Pairs != 12 || rows[1].Effect.Pairs != 11 || math.Abs(*rows[1].Change-0.2) > 1e-6 {
		t.Fatalf("%+v, %v", rows, err)
	}
	var text strings.Builder
	if err := RenderComparison(&text, a, b, rows); err != nil || !strings.Contains(text.String(), "| +20.0 % | +20.0 to +20.0 %, 11 pairs |") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if rows, err := Compare(a, run(1, 4096)); err != nil || len(rows) != 6 || rows[0].Effect != nil {
		t.Errorf("other broadcasts: %+v, %v", rows, err)
	}
	if _, err := Compare(a, Report{}); err == nil {
		t.Error("a report without a scenario was compared")
	}
}
