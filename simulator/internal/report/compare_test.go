package report

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// broadcastRun is a run of some broadcasts, one every two seconds, 1000 deliveries each. Each is slower by a factor, and takes the fleet so many
// microseconds a delivery, all within the second after it.
func broadcastRun(n int, slower float64, micros func(i int) float64) Report {
	r := Report{
		Scenario: "x", Label: Measured, Spec: &v1alpha1.Scenario{Population: v1alpha1.Population{Subscribers: 1000}},
		LatencyMs: Latency{P50: Millis(10 * slower)},
		Fleet:     Fleet{Where: "local", Stores: 3, Shards: 2, Partitions: 16, Replicas: 3, Durability: "Fsync"},
		Simulator: Simulator{Platform: "linux/amd64", Cores: 2},
		Phases:    []Phase{{PhaseWarmup, 0, 5003}, {PhaseMeasure, 5003, Millis(5003 + 2000*n)}},
		Series:    Series{CPUMicros: measure.NewSeries(0), Delivered: measure.NewSeries(0)},
	}
	for i := range n {
		at := 5*time.Second + time.Duration(i)*2*time.Second
		r.Broadcasts = append(r.Broadcasts, Broadcast{
			AtMs: millis(at), TimeTo50Ms: Millis(float64(20+i) * slower), TimeTo999Ms: Millis(float64(40+i) * slower), TimeToLastMs: Millis(float64(50+i) * slower),
		})
		for part := range 10 {
			after := at + time.Duration(part)*100*time.Millisecond
			r.Series.Delivered.Add(after, 100)
			r.Series.CPUMicros.Add(after, int64(math.Round(micros(i)*100)))
		}
	}
	return r
}

func constant(micros float64) func(int) float64 { return func(int) float64 { return micros } }

func row(t *testing.T, c Comparison, name string) Compared {
	t.Helper()
	i := slices.IndexFunc(c.Rows, func(r Compared) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("no %q in %+v", name, c.Rows)
	}
	return c.Rows[i]
}

// Runs with the same broadcasts are compared pair by pair. A broadcast that somebody never got is in no pair. What is judged is what was asked for.
func TestCompare(t *testing.T) {
	a, b := broadcastRun(12, 1, constant(50)), broadcastRun(12, 1.2, constant(50.5))
	b.Broadcasts[3].TimeToLastMs = Millis(math.Inf(1))
	c, err := Compare(a, b, CompareOptions{LeastEffect: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	if last := row(t, c, "time to the last of a broadcast"); !c.Paired || last.Effect.Pairs != 11 || math.Abs(*last.Change-0.2) > 1e-6 || last.Finding != "" {
		t.Errorf("%+v", last)
	}
	if cpu := row(t, c, "processor time a delivery"); cpu.Effect.Pairs != 12 || math.Abs(*cpu.Change-0.01) > 1e-6 || cpu.Finding != verdict.Same || c.Verdict != verdict.Pass || c.ExitCode != 0 {
		t.Errorf("%+v, %s", cpu, c.Verdict)
	}
	c, err = Compare(a, b, CompareOptions{LeastEffect: 0.05, Judged: []string{"timeTo999", "deliveryCPU"}})
	if err != nil || c.Verdict != verdict.Fail || c.ExitCode != verdict.ExitFail {
		t.Fatalf("%+v, %v", c, err)
	}
	var text strings.Builder
	if err := RenderComparison(&text, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| time to 99.9 % of a broadcast | " + timeText(45.36) + " | " + timeText(54.43) + " | +20.0 % | +20.0 to +20.0 %, 12 pairs | worse |",
		"| processor time a delivery | " + microsText(0.05) + " | " + microsText(0.0505) + " | +1.0 % | +1.0 to +1.0 %, 12 pairs | no change |",
		"| delivery, median | " + timeText(10) + " | " + timeText(12) + " | +20.0 % | – | – |",
		"\nFail: time to 99.9 % of a broadcast: +20.0 %, at least +20.0 %.\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if _, err := Compare(a, b, CompareOptions{LeastEffect: 0.05, Judged: []string{"cpu"}}); err == nil || !strings.Contains(err.Error(), `no figure "cpu" to compare; there are deliveryCPU, `) {
		t.Errorf("%v", err)
	}
}

// A planted tenth more of processor time a delivery is found ten times of ten, and none is where both runs are of one build, though blocks vary by
// 3 % and runs by 1 %.
func TestCompareFindsAPlantedSlowdown(t *testing.T) {
	run := func(seed uint64, slower float64) Report {
		r := rand.New(rand.NewPCG(seed, 11))
		common := slower * math.Exp(0.01*r.NormFloat64())
		return broadcastRun(40, 1, func(int) float64 { return 50 * common * math.Exp(0.03*r.NormFloat64()) })
	}
	for seed := range uint64(10) {
		base := run(3*seed, 1)
		for _, tt := range []struct {
			other Report
			want  verdict.Verdict
		}{{run(3*seed+1, 1), verdict.Pass}, {run(3*seed+2, 1.1), verdict.Fail}} {
			c, err := Compare(base, tt.other, CompareOptions{LeastEffect: 0.05})
			if err != nil || c.Verdict != tt.want {
				t.Errorf("seed %d: %s %q, want %s; %v", seed, c.Verdict, c.Reasons, tt.want, err)
			}
		}
	}
}

// Blocks of processor time: from a broadcast to the next one, not shorter than a second, and parts of the phase where there are too few.
func TestBlocksOfProcessorTime(t *testing.T) {
	ramp := func(i int) float64 { return float64(10 + i) }
	r := broadcastRun(6, 1, ramp)
	// Before the measure phase and after it is no matter of a comparison.
	r.Series.CPUMicros.Add(time.Second, 1e6)
	r.Series.CPUMicros.Add(time.Hour, 1e6)
	if got, want := cpuPerDelivery(r, r), []float64{0.010, 0.011, 0.012, 0.013, 0.014, 0.015}; !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
		t.Errorf("%v", got)
	}
	dense := r
	dense.Broadcasts = slices.Clone(r.Broadcasts)
	for i := range 3 { // one of each two comes half a second after the other
		dense.Broadcasts[2*i+1].AtMs = dense.Broadcasts[2*i].AtMs + 500
	}
	if got := blockEdges(dense, dense); len(got) != 12+1 {
		t.Errorf("three broadcasts that are far enough apart make blocks of %v", got)
	}
	few := broadcastRun(4, 1, ramp)
	if got := present(cpuPerDelivery(few, few)); len(got) != 4 {
		t.Errorf("four broadcasts in eight seconds have %v", got)
	}
	unknown := r
	unknown.Series.CPUMicros = nil
	c, err := Compare(unknown, r, CompareOptions{LeastEffect: 0.05})
	if err != nil || c.Verdict != verdict.Inconclusive || c.ExitCode != verdict.ExitInconclusive || !strings.Contains(c.Reasons[0], "processor time a delivery: deliveryCPU is not known in A: its fleet was elsewhere") {
		t.Errorf("%s %q, %v", c.Verdict, c.Reasons, err)
	}
}

// Runs of different seeds have no pairs, and wider intervals.
func TestCompareWithoutPairs(t *testing.T) {
	a, b := broadcastRun(12, 1, constant(50)), broadcastRun(12, 1, constant(60))
	b.Spec = &v1alpha1.Scenario{Population: a.Spec.Population, Seed: 7}
	c, err := Compare(a, b, CompareOptions{LeastEffect: 0.05})
	if err != nil || c.Paired || c.Verdict != verdict.Fail {
		t.Fatalf("%+v, %v", c, err)
	}
	if last := row(t, c, "time to the last of a broadcast"); *last.Change != 0 || last.Effect.High-last.Effect.Low < 0.05 {
		t.Errorf("%+v", last.Effect)
	}
	var text strings.Builder
	if err := RenderComparison(&text, c); err != nil || !strings.Contains(text.String(), "12 blocks | worse |") || !strings.Contains(text.String(), "give both the same seed") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// Times of a load that was late itself are not judged; what the fleet spent on a delivery is.
func TestTimesOfALateLoadAreNotJudged(t *testing.T) {
	a, b := broadcastRun(12, 1, constant(50)), broadcastRun(12, 2, constant(60))
	b.Verdict = verdict.GeneratorUnhealthy
	c, err := Compare(a, b, CompareOptions{LeastEffect: 0.05, Judged: []string{"timeToLast"}})
	if err != nil || c.Verdict != verdict.Inconclusive || !strings.Contains(c.Reasons[0], "the load of B was late") {
		t.Errorf("%s %q, %v", c.Verdict, c.Reasons, err)
	}
	if c, err := Compare(a, b, CompareOptions{LeastEffect: 0.05}); err != nil || c.Verdict != verdict.Fail {
		t.Errorf("%s, %v", c.Verdict, err)
	}
	// What is worse stays so, whatever cannot be told besides.
	c, err = Compare(a, b, CompareOptions{LeastEffect: 0.05, Judged: []string{"deliveryCPU", "timeToLast"}})
	if err != nil || c.Verdict != verdict.Fail || c.ExitCode != verdict.ExitFail || len(c.Reasons) != 2 {
		t.Errorf("%s %q, %v", c.Verdict, c.Reasons, err)
	}
}

// What cannot be compared is refused, with each field that differs and what to do.
func TestCompareRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(r *Report)
		want   string
	}{
		"label":    {func(r *Report) { r.Label = "modelled" }, "label is measured in A and modelled in B: a measured figure is never held against a modelled one"},
		"scenario": {func(r *Report) { r.Spec = &v1alpha1.Scenario{Population: v1alpha1.Population{Subscribers: 999}} }, "spec.population.subscribers is 1000 in A and 999 in B: run both with the same scenario file"},
		"broadcasts": {func(r *Report) {
			s := *r.Spec
			s.Broadcasts = []v1alpha1.Broadcast{{}}
			r.Spec = &s
		}, "spec.broadcasts is absent in A and ["},
		"shards":      {func(r *Report) { r.Fleet.Shards = 3 }, "fleet.shards is 2 in A and 3 in B: run both against fleets of one shape"},
		"durability":  {func(r *Report) { r.Fleet.Durability = "Replicated" }, "fleet.durability is Fsync in A and Replicated in B"},
		"elsewhere":   {func(r *Report) { r.Fleet.Where = "http://10.0.0.7:8080" }, "fleet.where is local in A and elsewhere in B"},
		"cores":       {func(r *Report) { r.Simulator.Cores = 8 }, "simulator.cores is 2 in A and 8 in B: run both on one machine"},
		"processor":   {func(r *Report) { r.Simulator.CPU = "another" }, "simulator.cpu is one in A and another in B"},
		"interrupted": {func(r *Report) { r.ExitCode = verdict.ExitInterrupted }, "B was interrupted: run it again"},
		"no scenario": {func(r *Report) { r.Spec = nil }, "does not say what the run was asked to be"},
	} {
		a, b := broadcastRun(5, 1, constant(50)), broadcastRun(5, 1, constant(50))
		a.Simulator.CPU = "one"
		tt.change(&b)
		_, err := Compare(a, b, CompareOptions{LeastEffect: 0.05})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, which does not say %q", name, err, tt.want)
		}
		if differ := (NotComparable{}); errors.As(err, &differ) && len(differ.Differences) != 1 {
			t.Errorf("%s: %v, which is more than differs", name, err)
		}
	}
	// What changes nothing of what is run may differ, and what an older report does not say.
	a, b := broadcastRun(5, 1, constant(50)), broadcastRun(5, 1, constant(50))
	a.Simulator.CPU, a.Fleet.Version, b.Fleet.Version = "one", "v1", "v2"
	b.Spec = &v1alpha1.Scenario{
		Name: "y", Description: "z", Population: a.Spec.Population, Thresholds: []v1alpha1.Threshold{{Metric: "late"}}, Outputs: []v1alpha1.Output{v1alpha1.HTML},
	}
	if _, err := Compare(a, b, CompareOptions{LeastEffect: 0.05}); err != nil {
		t.Error(err)
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
	c, err := Compare(a, b, CompareOptions{LeastEffect: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := RenderComparison(&text, c); err != nil {
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
