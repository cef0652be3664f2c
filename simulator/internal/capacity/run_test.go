package capacity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

func shipped(t *testing.T, name string) *v1alpha1.Scenario {
	t.Helper()
	s, err := scenario.Load("../../../scenarios/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fake plays scenarios on a fleet that there is not: a run takes as long as its phases and 5 s, and is judged by what verdicts says of its rate.
type fake struct {
	now      time.Time
	verdicts func(number int, rate float64) report.Report
	played   []*v1alpha1.Scenario
	saved    []report.Capacity
	said     []string
}

func (f *fake) config(s *v1alpha1.Scenario) Config {
	f.now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return Config{
		Scenario: s, Vary: Rate, Tolerance: 0.05, Repeats: 3, Now: func() time.Time { return f.now },
		Say:  func(format string, args ...any) { f.said = append(f.said, fmt.Sprintf(format, args...)) },
		Save: func(c report.Capacity) error { f.saved = append(f.saved, c); return nil },
		Play: func(_ context.Context, number int, s *v1alpha1.Scenario) (report.Report, error) {
			f.played = append(f.played, s)
			f.now = f.now.Add(phases(s) + 5*time.Second)
			r := f.verdicts(number, s.Chatter.RatePerSecond)
			from, measure := s.Phases.Warmup.Std(), s.Phases.Measure.Std()
			r.Phases = []report.Phase{report.MakePhase(report.PhaseMeasure, from, from+measure)}
			r.Simulator.Cores = 2
			return r, nil
		},
	}
}

func (f *fake) run(t *testing.T, change func(c *Config)) report.Capacity {
	t.Helper()
	c := f.config(shipped(t, "capacity"))
	if change != nil {
		change(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// local2 is a run on a machine whose processors are used up at a rate of 500.
func local2(rate float64, v verdict.Verdict, exit int, reasons ...string) report.Report {
	share := min(rate/500, 0.98)
	r := report.Report{
		Verdict: v, ExitCode: exit, Reasons: reasons, Fleet: report.Fleet{Where: "local", Stores: 3, Shards: 4, Processes: []report.Process{
			{Name: "shard-0", Role: "shard", CPUSeconds: 12 * share}, {Name: "store-0", Role: "store", CPUSeconds: 2.4 * share},
		}},
		Machine: &report.Machine{Processors: share, Memory: 0.2, OpenFiles: 0.1}, Processors: &report.Processors{GeneratorSeconds: 4.8 * share},
		LatencyMs:  report.Latency{P99: report.Millis(rate / 10)},
		Thresholds: []report.Threshold{{Metric: "delivery", Title: "delivery p99 < 100ms", Unit: "ms", Bound: 100, Value: report.Millis(rate / 10), Samples: 9, Verdict: v}},
	}
	r.Generator.SharesCoresWithFleet = true
	return r
}

func heldUpTo(limit float64) func(int, float64) report.Report {
	return func(_ int, rate float64) report.Report {
		if rate <= limit {
			return local2(rate, verdict.Pass, 0)
		}
		return local2(rate, verdict.Fail, verdict.ExitFail, "delivery p99 < 100ms: 140ms")
	}
}

// A search says the load, its interval and what bound it, and keeps what it knows after each run.
func TestFound(t *testing.T) {
	f := &fake{verdicts: heldUpTo(480)}
	c := f.run(t, nil)
	if c.Verdict != verdict.Pass || c.ExitCode != 0 || c.AtLeast || c.Capacity.Amount > 480 || c.Capacity.Amount < 480/1.05 || c.To.Amount <= 480 || *c.From != *c.Capacity {
		t.Errorf("%s: %+v, %+v to %+v", c.Finding, c.Capacity, c.From, c.To)
	}
	if want := "100 deliveries a post"; c.Capacity.DeliveriesPerSecond < 99.9*c.Capacity.Amount || c.Capacity.DeliveriesPerSecond > 100.1*c.Capacity.Amount {
		t.Errorf("%+v; want %s", c.Capacity, want)
	}
	for _, want := range []string{"CAPACITY 4", " deliveries a second at ", " posts a second (", "over 3 repeats), bound by the machine’s processors (96 % used): delivery p99 < 100ms is missed"} {
		if !strings.Contains(c.Finding, want) {
			t.Errorf("%s\ndoes not say %q", c.Finding, want)
		}
	}
	if c.Binding != "the machine’s processors" || len(c.Processors) != 4 || c.Processors[0].Share < 0.47 || c.Processors[0].Share > 0.49 {
		t.Errorf("bound by %s, of which %+v", c.Binding, c.Processors)
	}
	if most := report.MostUsed(c.Used...); most.Share < 0.95 || c.UsedIn != "at the lowest load above that did not hold" {
		t.Errorf("used %+v %s", c.Used, c.UsedIn)
	}
	if len(f.saved) != len(c.Steps)+1 || len(f.saved[4].Steps) != 5 || f.saved[4].Capacity != nil {
		t.Errorf("%d steps were saved %d times", len(c.Steps), len(f.saved))
	}
	holds := 0
	for i, s := range c.Steps {
		played := f.played[i]
		if want := 12 * time.Second; s.Kind == string(Hold) {
			holds++
			if played.Phases.Measure.Std() != 2*want {
				t.Errorf("a load was held for %s", played.Phases.Measure)
			}
		} else if played.Phases.Measure.Std() != want {
			t.Errorf("a probe measures for %s", played.Phases.Measure)
		}
		if played.Chatter.RatePerSecond != s.Load.Amount || s.Number != i+1 {
			t.Errorf("step %d of %g was played with %g", s.Number, s.Load.Amount, played.Chatter.RatePerSecond)
		}
	}
	if holds != 3 {
		t.Errorf("%d runs were longer", holds)
	}
	first := f.said[0]
	if !strings.HasPrefix(first, "step 1   probe of 6,400 deliveries a second at 64 posts a second: the first; 32 s, then about ") {
		t.Errorf("%s", first)
	}
}

// Each way that a search can end has its exit code, and says why.
func TestEndings(t *testing.T) {
	unhealthy := func(rate float64) report.Report {
		return local2(rate, verdict.GeneratorUnhealthy, verdict.ExitUnhealthy, "send lag p99.9 is 12ms")
	}
	for _, tt := range []struct {
		name     string
		verdicts func(number int, rate float64) report.Report
		change   func(c *Config)
		code     int
		says     string
	}{
		{"nothing holds", heldUpTo(0), nil, verdict.ExitFail, "NO CAPACITY: no load held; the last was 13 deliveries a second at 0.125 posts a second, delivery p99 < 100ms: 140ms"},
		{"the generator gives up first", func(n int, rate float64) report.Report {
			if rate > 300 {
				return unhealthy(rate)
			}
			return heldUpTo(480)(n, rate)
		}, nil, verdict.ExitPass, "(over 3 repeats): the generator gave up first (send lag p99.9 is 12ms)"},
		{"the generator gives up at once", func(_ int, rate float64) report.Report { return unhealthy(rate) }, nil, verdict.ExitUnhealthy, "NO CAPACITY: the generator gave up before anything held"},
		{"nothing tells", func(_ int, rate float64) report.Report {
			return local2(rate, verdict.Inconclusive, verdict.ExitInconclusive, "a clock stepped")
		}, nil, verdict.ExitInconclusive, "NO CAPACITY: no run tells; "},
		{"all that may be tried holds", heldUpTo(1e9), func(c *Config) { c.To = 200 }, verdict.ExitPass, "CAPACITY ≥ 20,000 deliveries a second at 200 posts a second (over 3 repeats): the search ended at 20,000 deliveries a second at 200 posts a second; raise it with --to"},
		{"the time is over before anything is held", heldUpTo(480), func(c *Config) { c.Budget = 2 * time.Minute }, verdict.ExitInconclusive, "NO CAPACITY YET: 25,600 deliveries a second at 256 posts a second held once, and it takes 3 longer runs; the time (2m0s) would not do for the next run"},
		{"the time is over at once", heldUpTo(480), func(c *Config) { c.Budget = 10 * time.Second }, verdict.ExitInconclusive, "NO CAPACITY: nothing has held yet, and the time (10s)"},
		{"unreachable", func(_ int, rate float64) report.Report {
			return local2(rate, verdict.Inconclusive, verdict.ExitUnreachable, "the fleet could not be reached: no")
		}, nil, verdict.ExitUnreachable, "NO CAPACITY: nothing has held yet, and the fleet could not be reached: no"},
		{"unreachable twice", func(n int, rate float64) report.Report {
			if n > 4 {
				return local2(rate, verdict.Inconclusive, verdict.ExitUnreachable, "the fleet could not be reached: no")
			}
			return heldUpTo(480)(n, rate)
		}, nil, verdict.ExitUnreachable, "NO CAPACITY YET: "},
		{"unreachable once", func(n int, rate float64) report.Report {
			if n == 3 {
				return local2(rate, verdict.Inconclusive, verdict.ExitUnreachable, "the fleet could not be reached: no")
			}
			return heldUpTo(480)(n, rate)
		}, nil, 0, "CAPACITY 4"},
		{"interrupted", func(n int, rate float64) report.Report {
			if n == 3 {
				return local2(rate, verdict.Inconclusive, verdict.ExitInterrupted, "the run was interrupted")
			}
			return heldUpTo(480)(n, rate)
		}, nil, verdict.ExitInterrupted, "NO CAPACITY YET: 12,800 deliveries a second at 128 posts a second held once, and it takes 3 longer runs; it was interrupted"},
		{"interrupted when it is known what held", func(n int, rate float64) report.Report {
			if n == 14 {
				return local2(rate, verdict.Inconclusive, verdict.ExitInterrupted, "the run was interrupted")
			}
			return heldUpTo(480)(n, rate)
		}, nil, verdict.ExitInterrupted, "CAPACITY ≥ 45,930 deliveries a second"},
		{"elsewhere", func(n int, rate float64) report.Report {
			r := heldUpTo(200)(n, rate)
			r.Fleet, r.Generator.SharesCoresWithFleet = report.Fleet{Where: "http://10.0.0.7:8080", Shards: 1}, false
			return r
		}, nil, 0, "bound by delivery p99 < 100ms; what the fleet uses is not known from here"},
		{"nothing is used up", heldUpTo(200), nil, 0, "bound by delivery p99 < 100ms, while nothing is used up (the machine’s processors "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{verdicts: tt.verdicts}
			c := f.run(t, tt.change)
			if c.ExitCode != tt.code || !strings.Contains(c.Finding, tt.says) {
				t.Errorf("exit code %d, want %d\n%s\nwant %s", c.ExitCode, tt.code, c.Finding, tt.says)
			}
			if tt.code != 0 && c.Verdict == verdict.Pass {
				t.Errorf("exit code %d, and it is a pass", tt.code)
			}
			if c.AtLeast != strings.Contains(c.Finding, "≥") {
				t.Errorf("at least: %t, and it says %s", c.AtLeast, c.Finding)
			}
		})
	}
}

// A budget ends a search before a run that would be over too late, and what was held in all repeats by then stands.
func TestBudget(t *testing.T) {
	whole := (&fake{verdicts: heldUpTo(480)}).run(t, nil)
	took := time.Duration(whole.DurationMs) * time.Millisecond
	f := &fake{verdicts: heldUpTo(480)}
	c := f.run(t, func(c *Config) { c.Budget = took - time.Second })
	if c.ExitCode != 0 || !c.AtLeast || len(c.Steps) != len(whole.Steps)-1 || c.To != nil || !strings.Contains(strings.Join(c.Reasons, " "), "cut short") || !strings.Contains(c.Finding, "the search was cut short") {
		t.Errorf("%s\n%q, %d steps of %d", c.Finding, c.Reasons, len(c.Steps), len(whole.Steps))
	}
	if d := time.Duration(c.DurationMs) * time.Millisecond; d > took-time.Second {
		t.Errorf("it took %s of %s", d, took-time.Second)
	}
	if c := (&fake{verdicts: heldUpTo(480)}).run(t, func(c *Config) { c.Budget = took }); c.AtLeast || len(c.Steps) != len(whole.Steps) {
		t.Errorf("with time enough: %s", c.Finding)
	}
}

// What cannot be played ends it, and what was found before is not lost.
func TestAStepThatCannotBePlayed(t *testing.T) {
	f := &fake{verdicts: heldUpTo(480)}
	c := f.config(shipped(t, "capacity"))
	play := c.Play
	c.Play = func(ctx context.Context, n int, s *v1alpha1.Scenario) (report.Report, error) {
		if n == 4 {
			return report.Report{}, errors.New("no room")
		}
		return play(ctx, n, s)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Do(t.Context())
	if err == nil || len(found.Steps) != 3 || !strings.Contains(found.Finding, "held once") || !strings.Contains(found.Finding, "no room") || found.ExitCode != 1 || found.Verdict != verdict.Inconclusive {
		t.Errorf("%v: %s", err, found.Finding)
	}
}

// Between two runs a search can be interrupted too, and plays no more.
func TestInterruptedWhileTheFleetRests(t *testing.T) {
	f := &fake{verdicts: heldUpTo(480)}
	c := f.config(shipped(t, "capacity"))
	c.Rest = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	c.Save = func(report.Capacity) error { cancel(); return nil }
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Do(ctx)
	if err != nil || found.ExitCode != verdict.ExitInterrupted || len(f.played) != 1 {
		t.Errorf("%v, exit code %d, %d played", err, found.ExitCode, len(f.played))
	}
}
