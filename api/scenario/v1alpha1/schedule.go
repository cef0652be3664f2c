package v1alpha1

import (
	"strings"
	"time"
)

// Moments returns when it happens, from the start of the measure phase, ascending.
func (s Schedule) Moments() []time.Duration {
	moments := make([]time.Duration, max(s.Count, 1))
	for i := range moments {
		moments[i] = s.At.Std() + time.Duration(i)*s.Every.Std()
	}
	return moments
}

// Title is the fault's name, or what stands for it.
func (f Fault) Title() string {
	if f.Name != "" {
		return f.Name
	}
	return string(f.Action) + " " + string(f.Target)
}

// ChatterEnds is when the last post of the chatter is due, from the start of the warm-up.
func (s *Scenario) ChatterEnds() time.Duration {
	end := (s.Phases.Warmup + s.Phases.Measure).Std()
	if s.Chatter != nil && s.Chatter.For > 0 {
		end = min(end, s.Chatter.For.Std())
	}
	return end
}

// Delayed returns the share of all sessions that the faults delay at some time. All delays have the same.
func (s *Scenario) Delayed() (share float64) {
	for _, f := range s.Faults {
		if f.Action == Delay {
			share = max(share, f.Share)
		}
	}
	return share
}

// Steps returns how far the faults set clocks forward and back at most, both at least 0.
func (s *Scenario) Steps() (forward, back time.Duration) {
	for _, f := range s.Faults {
		forward, back = max(forward, f.Step.Std()), max(back, -f.Step.Std())
	}
	return forward, back
}

// OnSessions says whether it is done to sessions, and not to processes.
func (a Action) OnSessions() bool { return a == Cut || a == Delay }

// Lasts returns how long the process is away by intent, or not as it should be. ok is false for one that is killed and not started again.
func (f Fault) Lasts() (d time.Duration, ok bool) {
	switch f.Action {
	case Stop, Delay, Clock:
		return f.For.Std(), true
	case Kill:
		return f.RestartAfter.Std(), f.RestartAfter > 0
	}
	return 0, true
}

// OnStore says whether the target is a store, or all of them.
func (t FaultTarget) OnStore() bool {
	return t == MetaLeader || t == AllStores || strings.HasPrefix(string(t), "store-")
}

// OnZone says whether the target is a failure domain of a modelled fleet.
func (t FaultTarget) OnZone() bool { return strings.HasPrefix(string(t), "zone-") }

// Sessions returns how many sessions the population has connected.
func (p Population) Sessions() int {
	all := p.Subscribers * max(p.DevicesPerUser, 1)
	if share := p.Online(); share < 1 {
		return max(int(float64(all)*share), 1)
	}
	return all
}

// Online returns the share of all sessions that are connected; without an OnlineShare that is all of them.
func (p Population) Online() float64 {
	if p.OnlineShare > 0 {
		return p.OnlineShare
	}
	return 1
}

// Count returns how many windows there are in a measure phase.
func (w Windows) Count(measure time.Duration) int {
	return int((measure + w.Every.Std() - 1) / max(w.Every.Std(), 1))
}

// Played returns how long all windows of a measure phase are together.
func (w Windows) Played(measure time.Duration) time.Duration {
	return time.Duration(w.Count(measure)) * w.For.Std()
}

// At returns the factor at a moment of the measure phase. Over a week their mean is 1.
func (s *Shape) At(at time.Duration) float64 {
	if s == nil {
		return 1
	}
	factor := 1.0
	for _, part := range []struct {
		factors []float64
		each    time.Duration
	}{{s.Hours, time.Hour}, {s.Days, 24 * time.Hour}} {
		if n := len(part.factors); n > 0 {
			sum := 0.0
			for _, f := range part.factors {
				sum += f
			}
			factor *= part.factors[int(at/part.each)%n] * float64(n) / sum
		}
	}
	return factor
}

// ConnectsOver returns the time over which n sessions begin to connect.
func (c Connect) ConnectsOver(n int) time.Duration {
	if c.RatePerSecond > 0 {
		const most = float64(1 << 62)
		return time.Duration(min(float64(n)/c.RatePerSecond*float64(time.Second), most))
	}
	return c.Duration.Std()
}
