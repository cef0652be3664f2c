package model

import (
	"fmt"
	"slices"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// unjudged are the metrics that a play cannot be held to, and why.
var unjudged = map[string]string{
	"duplicate": onlyRuns, "unordered": onlyRuns, "missingAcknowledged": onlyRuns, "notResumed": onlyRuns,
	"slowReaderEffect": onlyRuns, "slowReaderEffectUpper": onlyRuns,
	"memoryGrowth": onlyRuns, "shardMemoryGrowth": onlyRuns, "goroutineGrowth": onlyRuns, "openFileGrowth": onlyRuns,
	"late": noInterval, "lateShare": noInterval,
}

const (
	// A play would find what it was built to find.
	onlyRuns   = "only a run can find it"
	noInterval = "a count of what was late has no interval; bound the times, by delivery, timeTo999 or timeToLast"
)

// Judged are the thresholds of a scenario that a play can be held to.
func Judged(s *v1alpha1.Scenario) []v1alpha1.Threshold {
	return slices.DeleteFunc(slices.Clone(s.Thresholds), func(t v1alpha1.Threshold) bool { return unjudged[t.Metric] != "" })
}

// Unmodelled lists what a scenario asks for and a play does not have, or has otherwise than a run, and what no play has, in sentences. It leaves
// nothing out in silence: who adds a field to a scenario adds it here or plays it.
func Unmodelled(s *v1alpha1.Scenario, f Fleet) []string {
	var out []string
	say := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	p := s.Population
	say(p.JSONShare > 0, "population.jsonShare: sessions that speak JSON cost as much as the others here")
	if slow := p.SlowReaders; slow != nil {
		say(true, "population.slowReaders: they are left out of all deliveries; what they are told, and when they are closed, is not played")
		say(slow.Alternate > 0, "population.slowReaders.alternate: nothing is compared, since what the others feel of slow readers would be an assumption")
	}
	if s.Cascade != nil {
		say(true, "cascade: what people do is assumed, and no part of the intervals of the fleet's times; who comes and goes between posts is not played, the fleet always has as many sessions")
		say(true, "cascade: what an event costs a shard besides its writes; where a post has few readers on each shard, as here, that is left out")
	}
	say(s.Growth != nil, "growth: nothing grows in a model")
	say(s.Target.Local != nil && s.Target.Local.Durability == "Replicated" && s.Target.Model == nil, "target.local.durability: acknowledgements take as long as with Fsync")
	if l := s.Target.Local; l != nil && s.Target.Model == nil {
		say(l.Replicas < l.Stores, "target.local.replicas: every store keeps every log")
	}
	say(s.Phases.Windows != nil, "phases.connect, warmup and settle: in windows all sessions are connected, and each has a warm-up of its own")
	say(f.SharedCores > 0, "shared cores: every thread that wants to run gets as much of them as every other")
	for i, fault := range s.Faults {
		at := fmt.Sprintf("faults[%d]: ", i)
		say(fault.Action == v1alpha1.Clock, "%sclocks are not played; nothing in a model goes by the time of day", at)
		say(fault.Action == v1alpha1.Restart && !fault.Target.OnStore(), "%sa shard that drains sends its sessions away over %s, whatever the pace of its drain", at, drainOver)
		say(fault.Action == v1alpha1.Stop && fault.Target == v1alpha1.AnyShard, "%ssessions of a shard that stands still wait for it, however long", at)
		say(fault.Action == v1alpha1.Delay, "%swhich sessions are delayed is drawn anew for each delivery, and acknowledgements and sign-ins are not delayed", at)
		say(fault.Action == v1alpha1.Cut, "%swhat a sign-in after it costs the fleet is the calibration's figure, not a finding", at)
	}
	for _, t := range s.Thresholds {
		why := unjudged[t.Metric]
		say(why != "", "%s: not judged; %s", t.Metric, why)
	}
	say(f.Network > 0, "the network between pods: it has the bandwidth that is given, no loss and no other traffic")
	say(f.TLS, "sign-ins over TLS: they cost as much as without")
	say(true, "what takes several pods at once, beyond the faults of the scenario, and images that have to be pulled")
	say(true, "garbage collection, the kernel's buffers and other tenants of the machines, beyond what they added to the figures of the calibration")
	return unique(out)
}

func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
