package live

import (
	"testing"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/planted"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// All sessions are cut at once, from a fleet that is elsewhere: they are back, with everything, and the report says how fast.
func TestSessionsThatAreCutComeBack(t *testing.T) {
	s := watched()
	s.Faults = []v1alpha1.Fault{
		{Name: "half", Action: v1alpha1.Cut, Target: v1alpha1.Sessions, Share: 0.5, Schedule: v1alpha1.Schedule{At: seconds(0.5)}},
		{Name: "all", Action: v1alpha1.Cut, Target: v1alpha1.Sessions, Share: 1, Schedule: v1alpha1.Schedule{At: seconds(2.5)}},
	}
	s.Thresholds = append(s.Thresholds, v1alpha1.Threshold{Metric: "faultReconnect", Bound: v1alpha1.TimeBound(bound), MinSamples: 2},
		v1alpha1.Threshold{Metric: "reconnect", Bound: v1alpha1.TimeBound(bound), MinSamples: 250},
		v1alpha1.Threshold{Metric: "notResumed", Bound: v1alpha1.NumberBound(0), MinSamples: 250})
	r, _ := runPlanted(t, s, planted.Plan{})
	expect(t, r, verdict.Pass, 0)
	if len(r.Faults) != 2 || r.Faults[0].Reconnects == nil || r.Faults[1].Reconnects == nil {
		t.Fatalf("faults %+v", r.Faults)
	}
	half, all := r.Faults[0].Reconnects, r.Faults[1].Reconnects
	if half.Sessions < 80 || half.Sessions > 170 || all.Sessions != 250 || r.Sessions.ReconnectMs.Count != half.Sessions+all.Sessions || r.Sessions.Away != 0 {
		t.Errorf("half %+v, all %+v, sessions %+v", half, all, r.Sessions)
	}
	if all.AllBackMs <= 0 || all.AllBackMs != r.Faults[1].Reconnects.AllBackMs || all.SignInsPerSecond <= 0 || all.PeakSignInsPerSecond < 1 || r.Faults[1].BackAtMs == nil {
		t.Errorf("all %+v, fault %+v", all, r.Faults[1])
	}
	if all.Resumed != 250 || half.Resumed != half.Sessions || r.Sessions.Resumed != half.Sessions+all.Sessions || r.Sessions.ResumesRefused != 0 {
		t.Errorf("by resume token came back: %d of half, %d of all, in all %d of %d", half.Resumed, all.Resumed, r.Sessions.Resumed, r.Sessions.SignIns)
	}
	if r.Series.SignIns.Total() != 250+half.Sessions+all.Sessions {
		t.Errorf("%d sign-ins", r.Series.SignIns.Total())
	}
}

// Who never reads is in no latency and no loss of the others, and has the same state as they when he reads again.
func TestSlowReadersHarmNobody(t *testing.T) {
	s := watched()
	s.Population.SlowReaders = &v1alpha1.SlowReaders{Share: 0.04}
	r, _ := runPlanted(t, s, planted.Plan{})
	expect(t, r, verdict.Pass, 0)
	slow := r.SlowReaders
	if slow == nil || slow.Sessions != 10 || slow.Expected == 0 || slow.Lost != 0 || slow.Delivered+slow.Told != slow.Expected {
		t.Fatalf("slow readers %+v", slow)
	}
	for _, b := range r.Broadcasts {
		if b.Recipients != 240 {
			t.Errorf("broadcast %+v", b)
		}
	}
	if d := r.Deliveries; d.Lost != 0 || d.Expected != d.Delivered {
		t.Errorf("deliveries %+v", d)
	}
}
