package report

import (
	"math"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
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

// What either run had a threshold on is in the comparison, whatever its bound; and what slow readers did in each, with its interval.
func TestCompareCarriesThresholdsAndEffects(t *testing.T) {
	run := func(thresholds ...Threshold) Report {
		return Report{Scenario: "x", Spec: &v1alpha1.Scenario{}, Thresholds: thresholds}
	}
	a := run(Threshold{Metric: "faultAckWait", Fault: "x", Value: 100, Unit: "ms", Samples: 3, Bound: 500, Verdict: verdict.Pass},
		Threshold{Metric: "memoryGrowth", Value: 1.25, Samples: 2, Bound: 1.1, Verdict: verdict.Fail})
	b := run(Threshold{Metric: "notResumed", Value: 0, Samples: 9, Verdict: verdict.Pass},
		Threshold{Metric: "faultAckWait", Aggregation: "max", Fault: "x", Value: 150, Unit: "ms", Samples: 3, Bound: 900, Verdict: verdict.Pass})
	b.SlowReaders = &SlowReaders{Effect: &Effect{Pairs: 31, Change: 0.01, Low: -0.005, High: 0.03}}
	rows, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := RenderComparison(&text, a, b, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| faultAckWait max after x | " + timeText(100) + ", Pass | " + timeText(150) + ", Pass | +50.0 % |", "| memoryGrowth | 1.25, Fail | – | – |", "| notResumed | – | 0, Pass | – |",
		"| slow readers’ effect on the others | – | +1.00 %, 95 % interval -0.50 to +3.00 %, 31 pairs | – |",
	} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}
