package forecast

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/model/modeltest"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// tested is a calibration that was held against runs, and was wrong by so much at worst.
func tested(worst float64) calibration.Calibration {
	c := calibrationtest.ByHand()
	c.HoldOut = []calibration.HeldOut{{Run: "run", Figure: "time to the last", PredictedMs: 100 * (1 + worst), MeasuredMs: 100, LeastMs: 90, LargestMs: 110, Runs: 5}}
	return c
}

func forecastOf(t *testing.T, c Config) report.Report {
	t.Helper()
	run, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return report.New(run)
}

// The same configuration gives the same report.json, to the byte, on one core and on two: there is no order of map keys, time, machine or number of
// cores in it.
func TestTheSameReportOnAnyNumberOfCores(t *testing.T) {
	text := func(s *v1alpha1.Scenario, cores int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		var out bytes.Buffer
		if err := report.RenderJSON(&out, forecastOf(t, Config{Scenario: s, Calibration: calibrationtest.ByHand(), Seeds: 3})); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	month := `    hours: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]`
	for name, s := range map[string]*v1alpha1.Scenario{
		"a broadcast": modeltest.Small(t, "subscribers: 4000", "subscribers: 4000\n  places: [{name: far, share: 1, roundTrip: 90ms}]\nfaults: [{action: cut, target: sessions, share: 0.5, at: 2s}]"),
		"windows": modeltest.Small(t, "measure: 20s", "measure: 48h\n  windows: {every: 1h, for: 200ms}", "broadcasts:\n  - {at: 1s, every: 4s, count: 4}",
			"chatter:\n  ratePerSecond: 100\n  shape:\n"+month, "subscribers: 4000", "subscribers: 4000\n  channels: 100\n  attachPerSession: 2", "metric: timeTo999", "metric: delivery"),
		"a cascade": modeltest.Small(t, modeltest.Broadcasts, modeltest.Cascade, "measure: 20s", "measure: 2h", "subscribers: 4000", "subscribers: 4000\n  onlineShare: 0.5"),
	} {
		one := text(s, 1)
		if two := text(s, 2); one != two {
			t.Errorf("%s: the reports of one and of two cores differ", name)
		}
		if other := text(s, 2); one != other {
			t.Errorf("%s: two reports of the same differ", name)
		}
		again := *s
		again.Seed++
		if text(&again, 1) == one {
			t.Errorf("%s: another seed gives the same report", name)
		}
		if strings.Contains(one, runtime.GOOS) {
			t.Errorf("%s: the report names the machine", name)
		}
	}
}

// Windows stand for the time between them: what a month comes to is the rate times the time, and the readers that a post has.
func TestWindowsStandForTheTimeBetween(t *testing.T) {
	s := modeltest.Small(t, "measure: 20s", "measure: 240h\n  windows: {every: 1h, for: 500ms}", "broadcasts:\n  - {at: 1s, every: 4s, count: 4}", "chatter: {ratePerSecond: 200, arrivals: constant}",
		"subscribers: 4000", "subscribers: 4000\n  channels: 100\n  attachPerSession: 2", "metric: timeTo999", "metric: delivery", "coresPerShard: 2", "coresPerShard: 2, cells: 10")
	r := forecastOf(t, Config{Scenario: s, Calibration: calibrationtest.ByHand(), Seeds: 1})
	posts := 200.0 * 240 * 3600 * 10
	if got := float64(r.Posts.Acknowledged); math.Abs(got/posts-1) > 0.02 {
		t.Errorf("%g posts, want %g", got, posts)
	}
	if got, want := float64(r.Deliveries.Delivered), posts*4000*2/100; math.Abs(got/want-1) > 0.02 {
		t.Errorf("%g deliveries, want %g", got, want)
	}
	if r.Deliveries.Lost != 0 || r.Sessions.SignedIn != 40_000 {
		t.Errorf("%d lost, %d sessions", r.Deliveries.Lost, r.Sessions.SignedIn)
	}
	if got, want := r.Model.Use.EgressBytes, float64(r.Deliveries.Delivered)*320; math.Abs(got/want-1) > 0.02 {
		t.Errorf("%g bytes sent, want %g", got, want)
	}
}

func TestGrades(t *testing.T) {
	for _, tt := range []struct {
		factor float64
		c      calibration.Calibration
		want   string
	}{
		{1, tested(0.1), "A"}, {1.01, tested(0.1), "B"}, {4, tested(-0.1), "B"}, {4.1, tested(0.1), "C"}, {20, tested(0.1), "C"}, {20.1, tested(0.1), "D"},
		{1, tested(0.2), "B"}, {20, tested(-0.2), "D"}, {100, tested(0.2), "D"},
		{1, calibrationtest.ByHand(), "D"},
	} {
		if got, says := grade(tt.factor, tt.c); got != tt.want || says == "" {
			t.Errorf("%g times beyond: %s (%s), want %s", tt.factor, got, says, tt.want)
		}
	}
}

// How far from what was measured decides the label and the grade, and the grade whether it can pass.
func TestWhatIsFarFromMeasuredNeverPasses(t *testing.T) {
	for name, tt := range map[string]struct {
		replace      []string
		c            calibration.Calibration
		label, grade string
		verdict      verdict.Verdict
		says         string
	}{
		"within, tested":      {nil, tested(0.05), report.Modelled, "A", verdict.Pass, ""},
		"within, not tested":  {nil, calibrationtest.ByHand(), report.Modelled, "D", verdict.Inconclusive, "no run was held against this calibration"},
		"ten times as many":   {[]string{"shards: 4", "shards: 40", "subscribers: 4000", "subscribers: 200000"}, tested(0.05), report.Extrapolated, "C", verdict.Pass, ""},
		"forty times as many": {[]string{"shards: 4", "shards: 160", "subscribers: 4000", "subscribers: 800000"}, tested(0.05), report.Extrapolated, "D", verdict.Inconclusive, "indicative"},
		"far, and too slow":   {[]string{"shards: 4", "shards: 100", "subscribers: 4000", "subscribers: 1000000", "bound: 1s", "bound: 5ms"}, tested(0.05), report.Extrapolated, "D", verdict.Fail, ""},
		"around the bound":    {[]string{"bound: 1s", "bound: 12ms"}, tested(0.5), report.Modelled, "B", verdict.Inconclusive, "which does not tell"},
	} {
		r := forecastOf(t, Config{Scenario: modeltest.Small(t, tt.replace...), Calibration: tt.c, Seeds: 2})
		if r.Label != tt.label || r.Model.Grade != tt.grade || r.Verdict != tt.verdict || !strings.Contains(strings.Join(r.Reasons, " "), tt.says) {
			t.Errorf("%s: %s, grade %s, %s, %q (%v)", name, r.Label, r.Model.Grade, r.Verdict, r.Reasons, r.Model.Answers[0])
		}
	}
}

// The interval has what the coefficients are unsure of, what seeds change, and what the model was wrong by.
func TestIntervals(t *testing.T) {
	s := modeltest.Small(t)
	width := func(c calibration.Calibration) float64 {
		a := forecastOf(t, Config{Scenario: s, Calibration: c, Seeds: 2}).Model.Answers[0]
		if a.LowMs >= a.ValueMs || a.HighMs <= a.ValueMs || a.LeastMs > a.ValueMs || a.LargestMs < a.ValueMs {
			t.Errorf("%+v", a)
		}
		return math.Log(float64(a.HighMs / a.LowMs))
	}
	sure := tested(0.01)
	sure.Coefficients = slices.Clone(sure.Coefficients)
	for i := range sure.Coefficients {
		sure.Coefficients[i].StandardError /= 1000
	}
	usual, certain, wrong := width(tested(0.01)), width(sure), width(tested(0.3))
	if certain > usual/2 {
		t.Errorf("with certain coefficients the interval is %.3f wide, with others %.3f", certain, usual)
	}
	if want := usual + 2*(math.Log(1.3)-math.Log(1.01)); math.Abs(wrong-want) > 1e-6 {
		t.Errorf("wrong by 30 %% it is %.4f wide, want %.4f", wrong, want)
	}
}

// What moves the answer is found by moving it: a broadcast to many on few cores hangs on the cost of a write.
func TestTheStrongestInputIsFirst(t *testing.T) {
	s := modeltest.Small(t, "subscribers: 4000", "subscribers: 60000")
	m := forecastOf(t, Config{Scenario: s, Calibration: calibrationtest.ByHand(), Seeds: 1}).Model
	if in := m.Inputs[0]; in.Name != "coresPerShard" || math.Abs(in.Change-0.11) > 0.02 {
		t.Errorf("first is %+v", in)
	}
	if in := m.Inputs[1]; in.Name != "write" || math.Abs(in.Change-1.1/13.1) > 0.02 || in.Basis != "measured" {
		t.Errorf("second is %+v", in)
	}
}

// No field of a scenario is left out in silence: what is not played is named, and what is not judged too.
func TestWhatIsNotPlayedIsNamed(t *testing.T) {
	s := modeltest.Small(t, "subscribers: 4000", "subscribers: 4000\n  jsonShare: 0.5\n  slowReaders: {share: 0.01}", "thresholds:", "faults: [{action: clock, target: shard, step: 1h, at: 1s}]\nthresholds:\n  - {metric: shardMemoryGrowth, bound: 1.1}\n  - {metric: lateShare, bound: 0.1}")
	r := forecastOf(t, Config{Scenario: s, Calibration: tested(0.01), Seeds: 1})
	all := strings.Join(r.Model.Unmodelled, "\n")
	for _, want := range []string{"jsonShare", "slowReaders", "faults[0]: clocks", "shardMemoryGrowth: not judged", "duplicate: not judged", "lateShare: not judged; a count", "several pods at once"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing on %s in\n%s", want, all)
		}
	}
	for _, th := range r.Thresholds {
		if th.Metric == "duplicate" || th.Metric == "shardMemoryGrowth" {
			t.Errorf("%s was judged: %s", th.Title, th.Verdict)
		}
	}
	if r.Deliveries.Expected != 4*(4000-40) {
		t.Errorf("%d expected: slow readers are in it", r.Deliveries.Expected)
	}
}

func TestNoFleetIsNoForecast(t *testing.T) {
	s := modeltest.Small(t, "target:\n  model: {shards: 4, coresPerShard: 2}\n", "")
	if _, err := Run(Config{Scenario: s, Calibration: calibrationtest.ByHand(), Seeds: 1}); !errors.Is(err, ErrNoFleet) {
		t.Errorf("got %v", err)
	}
}
