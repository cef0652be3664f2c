package verdict

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

func TestAGoodRunPasses(t *testing.T) {
	j := Judge(goodRun(), usualThresholds())
	if j.Verdict != Pass || j.ExitCode != ExitPass || len(j.Reasons) != 0 || !j.Health.Healthy {
		t.Fatalf("got %+v", j)
	}
	worst := j.Results[j.Worst]
	if worst.Title != "delivery p99.9 < 1s" || math.Abs(worst.Margin-0.8) > 0.01 {
		t.Errorf("worst margin is %.2f of %q, want 0.80 of the delivery", worst.Margin, worst.Title)
	}
}

// Every way in which a run can be bad, one at a time: the faults that are planted to see whether a verdict can fail.
func TestAVerdictCanFail(t *testing.T) {
	tests := []struct {
		name    string
		spoil   func(m *Measurements)
		want    Verdict
		exit    int
		because string
	}{
		{"one delivery dropped", func(m *Measurements) { m.Deliveries.Lost, m.Deliveries.Delivered = 1, 19_999 },
			Fail, ExitFail, "lost = 0: 1"},
		{"one doubled", func(m *Measurements) { m.Deliveries.Duplicate = 1 }, Fail, ExitFail, "duplicate = 0: 1"},
		{"two swapped", func(m *Measurements) { m.Deliveries.Unordered = 1 }, Fail, ExitFail, "unordered = 0: 1"},
		{"one acknowledged and not stored", func(m *Measurements) { m.Posts.Missing = 1 },
			Fail, ExitFail, "missingAcknowledged = 0: 1"},
		{"one percent delayed by 1.5 s", func(m *Measurements) {
			m.Deliveries.Latency = histogram(200*time.Millisecond, 19_800)
			m.Deliveries.Latency.RecordN(1700*time.Millisecond, 200)
		}, Fail, ExitFail, "delivery p99.9 < 1s: 1.7s"},
		{"a throttled generator", func(m *Measurements) { m.Posts.SendLag = histogram(80*time.Millisecond, 10) },
			GeneratorUnhealthy, ExitUnhealthy, "send lag"},
		{"a generator that hiccups", func(m *Measurements) { m.Generator.Hiccup = histogram(80*time.Millisecond, 10) },
			GeneratorUnhealthy, ExitUnhealthy, "hiccups"},
		{"a cap reached", func(m *Measurements) { m.Generator.CapsReached = []string{"poster: all connections in use"} },
			GeneratorUnhealthy, ExitUnhealthy, "all connections"},
		{"a stepped clock", func(m *Measurements) { m.Clock.Step = -3 * time.Second },
			Inconclusive, ExitInconclusive, "stepped by -3s"},
		{"clocks that cannot be compared", func(m *Measurements) { m.Clock.Trusted = false },
			Inconclusive, ExitInconclusive, "cannot be compared"},
		{"a worker lost", func(m *Measurements) { m.Generator.LostWorkers = []string{"worker 2: killed"} },
			Inconclusive, ExitInconclusive, "worker 2"},
		{"health not measured", func(m *Measurements) { m.Generator.Hiccup = nil },
			Inconclusive, ExitInconclusive, "not measured"},
		{"nobody listening", func(m *Measurements) { m.Deliveries = Deliveries{} },
			Inconclusive, ExitInconclusive, "0 samples"},
		{"one session that never came", func(m *Measurements) { m.Sessions.SignedIn-- },
			Fail, ExitFail, "missingSessions = 0: 1"},
		{"a broadcast that one never got", func(m *Measurements) { m.Broadcasts[3].Lost = 3 },
			Fail, ExitFail, "timeTo999 max < 1s: never"},
		{"a shard that crashed", func(m *Measurements) { m.Fleet.Exits = []string{"shard-1: exit status 2"} },
			Fail, ExitFail, "ended by itself: shard-1: exit status 2"},
		{"interrupted", func(m *Measurements) { m.Interrupted = true }, Inconclusive, ExitInterrupted, "interrupted"},
		{"unreachable", func(m *Measurements) { *m = Measurements{Unreachable: "shard-0: connection refused"} },
			Inconclusive, ExitUnreachable, "connection refused"},
		{"nothing measured at all", func(m *Measurements) { *m = Measurements{} },
			Inconclusive, ExitInconclusive, "0 samples"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := goodRun()
			tt.spoil(&m)
			j := Judge(m, usualThresholds())
			if j.Verdict != tt.want || j.ExitCode != tt.exit {
				t.Errorf("got %s, exit %d; want %s, exit %d", j.Verdict, j.ExitCode, tt.want, tt.exit)
			}
			if !strings.Contains(strings.Join(j.Reasons, "\n"), tt.because) {
				t.Errorf("the reasons do not say %q: %q", tt.because, j.Reasons)
			}
		})
	}
}

func TestWhichVerdictWins(t *testing.T) {
	slow := func(m *Measurements) { m.Deliveries.Latency = histogram(2*time.Second, 20_000) }
	sick := func(m *Measurements) { m.Generator.CapsReached = []string{"a cap"} }
	step := func(m *Measurements) { m.Clock.Step = time.Second }
	lost := func(m *Measurements) { m.Deliveries.Lost = 1 }
	worker := func(m *Measurements) { m.Generator.LostWorkers = []string{"worker 0"} }
	tests := []struct {
		name  string
		spoil []func(*Measurements)
		want  Verdict
		exit  int
	}{
		{"the generator's state beats a latency", []func(*Measurements){slow, sick}, GeneratorUnhealthy, ExitUnhealthy},
		{"a loss is a fact with any generator", []func(*Measurements){lost, sick}, Fail, ExitFail},
		{"a loss is a fact with any clock", []func(*Measurements){lost, step}, Fail, ExitFail},
		{"a stepped clock makes a latency nothing", []func(*Measurements){slow, step}, Inconclusive, ExitInconclusive},
		{"a stepped clock makes the generator's health nothing", []func(*Measurements){sick, step}, Inconclusive, ExitInconclusive},
		{"a latency missed stays missed without a worker", []func(*Measurements){slow, worker}, Fail, ExitFail},
		{"a process that ended by itself is a fact with any generator", []func(*Measurements){func(m *Measurements) { m.Fleet.Exits = []string{"shard-1: killed"} }, sick}, Fail, ExitFail},
		{"the code of an interruption beats all", []func(*Measurements){lost, func(m *Measurements) { m.Interrupted = true }}, Fail, ExitInterrupted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := goodRun()
			for _, spoil := range tt.spoil {
				spoil(&m)
			}
			if j := Judge(m, usualThresholds()); j.Verdict != tt.want || j.ExitCode != tt.exit {
				t.Errorf("got %s, exit %d: %q; want %s, exit %d", j.Verdict, j.ExitCode, j.Reasons, tt.want, tt.exit)
			}
		})
	}
}

// A report whose verdict is no pass shows no threshold that passed, and forgets no fact.
func TestNoThresholdPassesInARunThatDidNot(t *testing.T) {
	for name, spoil := range map[string]func(m *Measurements){
		"unhealthy":   func(m *Measurements) { m.Generator.CapsReached = []string{"a cap"} },
		"stepped":     func(m *Measurements) { m.Clock.Step = time.Second },
		"interrupted": func(m *Measurements) { m.Interrupted = true },
		"worker lost": func(m *Measurements) { m.Generator.LostWorkers = []string{"worker 0"} },
		"unknown":     func(m *Measurements) { m.Posts.SendLag = nil },
	} {
		m := goodRun()
		m.Deliveries.Duplicate = 1
		spoil(&m)
		for _, r := range Judge(m, usualThresholds()).Results {
			if r.Verdict == Pass || (r.Threshold.Metric == "duplicate") != (r.Verdict == Fail) {
				t.Errorf("%s: %s is %s", name, r.Title, r.Verdict)
			}
		}
	}
}

func TestTimesMustStayBelowAndCountsMayReach(t *testing.T) {
	m := goodRun()
	m.Deliveries.Latency = histogram(time.Second, 20_000)
	m.Deliveries.Late = 5
	j := Judge(m, []v1alpha1.Threshold{threshold("delivery", "max", "1s"), threshold("late", "", "5"), threshold("late", "", "4")})
	for i, want := range []Verdict{Fail, Pass, Fail} {
		if j.Results[i].Verdict != want {
			t.Errorf("%s with %g is %s, want %s", j.Results[i].Title, j.Results[i].Value, j.Results[i].Verdict, want)
		}
	}
}

func TestTheErrorDecidesNothing(t *testing.T) {
	for _, tt := range []struct {
		latency time.Duration
		want    Verdict
	}{
		{940 * time.Millisecond, Pass},
		{960 * time.Millisecond, Inconclusive},
		{1040 * time.Millisecond, Inconclusive},
		{1060 * time.Millisecond, Fail},
	} {
		m := goodRun()
		m.Clock.ErrorBound = 50 * time.Millisecond
		m.Deliveries.Latency = histogram(tt.latency, 20_000)
		j := Judge(m, []v1alpha1.Threshold{threshold("delivery", "p99.9", "1s"), threshold("ack", "max", "1s")})
		if j.Results[0].Verdict != tt.want {
			t.Errorf("%s ± 50ms against 1s is %s, want %s", tt.latency, j.Results[0].Verdict, tt.want)
		}
		if j.Results[1].Error != 0 {
			t.Error("an acknowledgement has both ends in one process: the clocks' error does not touch it")
		}
	}
}

func TestSharedCoresTurnHiccupsIntoAnError(t *testing.T) {
	m := goodRun()
	m.Generator.SharesCores = true
	m.Generator.Hiccup = histogram(90*time.Millisecond, 10_000) // 9 % of the bound
	j := Judge(m, usualThresholds())
	if j.Verdict != Pass || j.Results[5].Error < 90*time.Millisecond {
		t.Errorf("200ms ± 90ms against 1s: %s with an error of %s, want a pass", j.Verdict, j.Results[5].Error)
	}

	m.Deliveries.Latency = histogram(950*time.Millisecond, 20_000)
	if j := Judge(m, usualThresholds()); j.Verdict != Inconclusive {
		t.Errorf("950ms ± 90ms against 1s: %s, want Inconclusive", j.Verdict)
	}

	m.Generator.Hiccup = histogram(300*time.Millisecond, 10_000)
	if j := Judge(m, usualThresholds()); j.Verdict != GeneratorUnhealthy {
		t.Errorf("hiccups of 30 %% of the bound: %s, want GeneratorUnhealthy", j.Verdict)
	}

	m.Generator.Hiccup = histogram(time.Millisecond, 10_000)
	m.Posts.SendLag = histogram(60*time.Millisecond, 10)
	if j := Judge(m, usualThresholds()); j.Verdict != GeneratorUnhealthy {
		t.Errorf("a send lag of 6 %% of the bound: %s; sharing cores excuses no lag", j.Verdict)
	}
}

func TestTheTightestBoundCounts(t *testing.T) {
	m := goodRun()
	m.Posts.SendLag = histogram(10*time.Millisecond, 10) // 1 % of 1s, 10 % of 100ms
	thresholds := append(usualThresholds(), threshold("ack", "max", "100ms"))
	if j := Judge(m, thresholds); j.Verdict != GeneratorUnhealthy || j.Health.TightestBound != 100*time.Millisecond {
		t.Errorf("%s with a tightest bound of %s, want GeneratorUnhealthy and 100ms", j.Verdict, j.Health.TightestBound)
	}
	m.Broadcasts[4].DeliverWithin = 150 * time.Millisecond
	if j := Judge(m, usualThresholds()); j.Verdict != GeneratorUnhealthy || j.Health.TightestBound != 150*time.Millisecond {
		t.Errorf("%s with a tightest bound of %s, want GeneratorUnhealthy and the broadcast's 150ms", j.Verdict, j.Health.TightestBound)
	}
	m.Broadcasts[4].DeliverWithin = time.Second
	if j := Judge(m, append(usualThresholds(), threshold("deliveryCPU", "", "50us"))); j.Verdict != Pass {
		t.Errorf("%s: processor time is no latency", j.Verdict)
	}
}

func TestTooFewSamplesAreInconclusive(t *testing.T) {
	m := goodRun()
	few := threshold("faultAckWait", "max", "2s")
	few.MinSamples = 4
	if j := Judge(m, []v1alpha1.Threshold{few}); j.Verdict != Inconclusive || !strings.Contains(j.Reasons[0], "3 samples; it takes 4") {
		t.Errorf("got %s: %q", j.Verdict, j.Reasons)
	}
	few.Bound = bound("1s") // missed by what was measured: still no statement
	if j := Judge(m, []v1alpha1.Threshold{few}); j.Verdict != Inconclusive {
		t.Errorf("got %s", j.Verdict)
	}
	if j := Judge(m, nil); j.Verdict != Inconclusive {
		t.Errorf("no threshold: %s", j.Verdict)
	}
}

func TestFaultsAreReadByName(t *testing.T) {
	m := goodRun()
	m.Faults = append(m.Faults,
		Fault{Name: "stops", LongestAckWait: 2 * time.Second, Posts: 10},
		Fault{Name: "stops", LongestAckWait: 9 * time.Second, Posts: 10, Error: "no store leads"},
		Fault{Name: "stops", LongestAckWait: 9 * time.Second})
	tests := []struct {
		fault, aggregation, limit string
		value                     time.Duration
		samples                   int64
		want                      Verdict
	}{
		{"store kills", "median", "1s", 900 * time.Millisecond, 3, Pass},
		{"store kills", "max", "1s", 1100 * time.Millisecond, 3, Fail},
		{"stops", "", "3s", 2 * time.Second, 1, Pass},
		{"", "max", "3s", 2 * time.Second, 4, Pass},
		{"no such", "max", "3s", 0, 0, Inconclusive},
	}
	for _, tt := range tests {
		th := threshold("faultAckWait", tt.aggregation, tt.limit)
		th.Fault = tt.fault
		r := Judge(m, []v1alpha1.Threshold{th}).Results[0]
		if r.Verdict != tt.want || r.Value != float64(tt.value) || r.Samples != tt.samples {
			t.Errorf("%s: %s with %s of %d; want %s with %s of %d",
				r.Title, r.Verdict, time.Duration(r.Value), r.Samples, tt.want, tt.value, tt.samples)
		}
	}
}

func TestEveryMetricHasAnAnswerInAGoodRun(t *testing.T) {
	for _, metric := range Metrics() {
		limit := map[v1alpha1.Unit]string{v1alpha1.UnitTime: "10s", v1alpha1.UnitBytes: "64KiB", v1alpha1.UnitNumber: "0"}[metric.Unit]
		if strings.HasSuffix(metric.Name, "Growth") {
			limit = "1" // No growth.
		}
		r := Judge(goodRun(), []v1alpha1.Threshold{threshold(metric.Name, "", limit)}).Results[0]
		if r.Verdict != Pass || r.Samples == 0 {
			t.Errorf("%s: %s, %s", r.Title, r.Verdict, r.Reason)
		}
	}
}

func TestParseAggregation(t *testing.T) {
	for text, want := range map[string]Aggregation{
		"max": {Percentile: 100}, "median": {Percentile: 50}, "mean": {Mean: true}, "p99.9": {Percentile: 99.9}, "p50": {Percentile: 50},
	} {
		if got, err := ParseAggregation(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "p", "p0", "p100", "p-1", "pNaN", "p1e1", "p0x1p1", "99", "P99", "min", "pInf", "p+5"} {
		if got, err := ParseAggregation(text); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestMedianOfAnEvenNumber(t *testing.T) {
	got := list([]time.Duration{4, 1, 3, 2}).value(Aggregation{Percentile: 50})
	if got != 2.5 {
		t.Errorf("median of 1 2 3 4 is %g", got)
	}
	if got := list([]time.Duration{1, measure.Never}).value(Aggregation{Percentile: 50}); !math.IsInf(got, 1) {
		t.Errorf("median of 1 and never is %g", got)
	}
}

// What is delayed is told from what is not, and the faults of one name from all others.
func TestDelayedAndUndelayedDeliveries(t *testing.T) {
	m := goodRun()
	m.Faults[1].Name = "longer"
	m.Faults[1].Delay = &Delay{Far: histogram(2*time.Second, 50), Others: histogram(100*time.Millisecond, 450)}
	for _, tt := range []struct {
		metric, fault, limit string
		want                 Verdict
		samples              int64
	}{
		{"delayedDelivery", "", "1s", Fail, 150},
		{"delayedDelivery", "longer", "1s", Fail, 50},
		{"delayedDelivery", "store kills", "1s", Pass, 100},
		{"undelayedDelivery", "", "200ms", Pass, 1350},
		{"undelayedDelivery", "longer", "50ms", Fail, 450},
	} {
		th := threshold(tt.metric, "", tt.limit)
		th.Fault = tt.fault
		r := Judge(m, []v1alpha1.Threshold{th}).Results[0]
		if r.Verdict != tt.want || r.Samples != tt.samples {
			t.Errorf("%s: %s of %d samples; want %s of %d", r.Title, r.Verdict, r.Samples, tt.want, tt.samples)
		}
	}
}

// Shares and ratios are written for people, counts to the last one.
func TestFigures(t *testing.T) {
	for value, want := range map[float64]string{1.3734344832299623: "1.373", 0.26567951587792216: "0.2657", 1_381_007: "1381007", 0: "0"} {
		r := Result{Unit: v1alpha1.UnitNumber, Value: value}
		if got := r.figure(); got != want {
			t.Errorf("%v: %s, want %s", value, got, want)
		}
	}
}
