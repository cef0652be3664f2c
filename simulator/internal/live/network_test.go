package live

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/mint"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// A delay of a fifth of the sessions is in each of their deliveries of what was posted meanwhile, and in none of the others'; nothing
// is lost by it. It is so long that no other wait can be taken for it.
func TestDelay(t *testing.T) {
	const by = 3500 * time.Millisecond
	s := watched()
	s.Phases.Measure = seconds(6)
	s.Broadcasts[0].Every, s.Broadcasts[0].Count = seconds(0.1), 50
	s.Faults = []v1alpha1.Fault{{
		Name: "far", Schedule: schedule1(seconds(1.5)), Action: v1alpha1.Delay, Target: v1alpha1.Sessions, Share: 0.2, For: seconds(2),
		Delay: v1alpha1.Duration(by),
	}}
	s.Thresholds = append(s.Thresholds, v1alpha1.Threshold{Metric: "delayedDelivery", Bound: v1alpha1.TimeBound(bound), Fault: "far", MinSamples: 50},
		v1alpha1.Threshold{Metric: "undelayedDelivery", Aggregation: "p50", Bound: v1alpha1.TimeBound(by), MinSamples: 200})
	address, key := startChatd(t)
	tokens, err := mint.Load(key, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Scenario: s, Endpoints: []string{"http://" + address}, TokenKeyFile: key, Crowd: inProcess(tokens.Mint), Say: sayTo(t)}
	run, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d := run.Measurements.Faults[0].Delay
	if d == nil || d.Sessions != 50 || d.By != by {
		t.Fatalf("the delay is %+v", d)
	}
	// One that came to its proxy after the end waited for what came before, so it may be a little faster.
	if d.Far.Count() == 0 || d.Far.Min() < by/2 || d.Far.Percentile(50) < by-10*time.Millisecond {
		t.Errorf("of %d deliveries to delayed sessions the fastest took %s, the median %s; want %s and more", d.Far.Count(), d.Far.Min(), d.Far.Percentile(50), by)
	}
	// All get the broadcasts, so of each four of five go to the others.
	if d.Others.Count() < 3*d.Far.Count() || d.Others.Min() >= by {
		t.Errorf("%d deliveries to the others, the fastest in %s", d.Others.Count(), d.Others.Min())
	}
	if d.FarElse.Count() == 0 || d.FarElse.Min() >= by || d.OthersElse.Min() >= by {
		t.Errorf("at other times the fastest to the delayed took %s (of %d), to the others %s", d.FarElse.Min(), d.FarElse.Count(), d.OthersElse.Min())
	}
	if sum := d.Far.Count() + d.Others.Count() + d.FarElse.Count() + d.OthersElse.Count(); sum >= run.Measurements.Deliveries.Latency.Count() {
		t.Errorf("%d deliveries are in the four figures, %d in all, of which those at the edges are in none", sum, run.Measurements.Deliveries.Latency.Count())
	}
	r := report.New(run)
	expect(t, r, verdict.Pass, 0)
	if f := r.Faults[0]; f.Error != "" || f.Delay == nil || f.Delay.DelayedMs.Count != d.Far.Count() || f.BackAtMs == nil || math.Round(float64(*f.BackAtMs-f.AtMs)) != 2000 {
		t.Errorf("the report has %+v", f)
	}
}

// More sessions than this process has open files for are refused before anything is connected.
func TestTooManyToDelay(t *testing.T) {
	f := newMemoryFleet(t)
	s := watched()
	s.Population.Subscribers = 10_000_000
	s.Population.Channels, s.Population.AttachPerSession = 0, 0
	s.Chatter = nil
	s.Faults = []v1alpha1.Fault{{
		Schedule: schedule1(0), Action: v1alpha1.Delay, Target: v1alpha1.Sessions, Share: 1, For: seconds(1), Delay: seconds(1),
	}}
	_, err := Run(t.Context(), Config{Scenario: s, Endpoints: []string{f.url}, TokenKeyFile: keyFile(t), Crowd: inProcess(anyone), Say: sayTo(t)})
	if err == nil || !strings.Contains(err.Error(), "10000000 sessions are to be delayed") || !strings.Contains(err.Error(), "raise the limit") {
		t.Errorf("got %v", err)
	}
}

func schedule1(at v1alpha1.Duration) v1alpha1.Schedule { return v1alpha1.Schedule{At: at, Count: 1} }
