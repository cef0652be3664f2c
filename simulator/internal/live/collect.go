package live

import (
	"math"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/poster"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// collect puts everything that was found out into the form that it is judged and reported in.
func (e *engine) collect(end ended) report.Run {
	_, grown := e.usage.trend.growth(spans(e.Scenario))
	run := report.Run{
		Scenario: e.Scenario, Label: report.Measured, StartedAt: e.started, Duration: e.now(),
		Measurements: verdict.Measurements{
			Unreachable: end.unreachable, Interrupted: end.interrupted,
			Clock: verdict.Clock{Source: "CLOCK_MONOTONIC of one host", Trusted: true, Step: e.watch.largest()},
			Fleet: verdict.Fleet{
				RSSBytesPerSession: e.usage.memoryPerSession(), CPUPerDelivery: e.usage.cpuPerDelivery(), Exits: e.usage.exitsSoFar(),
				Growth: grown,
			},
		},
		Fleet: e.describeFleet(), Simulator: e.simulator(), Machine: e.machine.found,
	}
	run.Series.CPUMicros, run.Processors = e.usage.cpu.over(), e.machine.processors
	for _, p := range e.phases {
		if p.Name != "prepare" { // It was before the run's moment 0.
			run.Phases = append(run.Phases, report.MakePhase(p.Name, p.From, p.To))
		}
	}
	m := &run.Measurements
	m.Sessions.Wanted = int64(e.Scenario.Population.Sessions())
	m.Generator.SharesCores = e.local()
	if e.crowd != nil {
		e.collectCrowd(&run)
	}
	if e.poster != nil {
		e.collectPosts(&run)
		m.Generator.CapsReached = e.poster.Caps()
		m.Faults = e.collectFaults()
	}
	if e.verified {
		e.collectDeliveries(&run)
	}
	return run
}

func (e *engine) describeFleet() report.Fleet {
	if e.Local.Chatd == "" {
		return report.Fleet{Where: strings.Join(e.Endpoints, ", "), Shards: len(e.Endpoints)}
	}
	spec := e.Local.Spec
	return report.Fleet{
		Where: "local", Stores: spec.Stores, Shards: spec.Shards, Partitions: spec.Partitions, Replicas: spec.Replicas,
		Durability: string(spec.Durability), Processes: e.usage.processes(e.fleet, e.Scenario),
	}
}

func (e *engine) collectCrowd(run *report.Run) {
	// After the finish the result has the final counts; a run that did not come so far has those of the last progress.
	c := e.crowd.Progress().Counters
	if e.verified {
		c = e.result.Counters
	}
	m := &run.Measurements
	m.Sessions.Dialled, m.Sessions.Established, m.Sessions.SignedIn, m.Sessions.Dropped = c.Dials, c.Established, c.Subscribed, c.Cuts
	m.Generator.LostWorkers = e.crowd.Lost()
	m.Generator.Hiccup = e.hiccup.Clone()
	run.Workers = len(e.crowd.Pids())
	run.WorkerRSSBytesPerSession = float64(e.usage.workers) / float64(max(e.usage.sessions, 1))
	if c.ConnectsHeld > 0 {
		e.note("the sessions came slower than was asked for: too many were between dial and sign-in %d times", c.ConnectsHeld)
	}
	if !e.verified {
		return
	}
	m.Generator.Hiccup.Merge(e.result.Hiccups)
	m.Sessions.SignIn = e.result.SignIn
	run.Series.Wanted, run.Series.Established, run.Series.SignedIn = e.result.Wanted, e.result.Established, e.result.Sessions
	run.Series.SignIns, run.Series.Resumed = e.result.SignIns, e.result.Resumed
	m.Sessions.Return, m.Sessions.Away = e.result.Returns, c.AwayNow
	m.Sessions.SignIns, m.Sessions.Resumed = e.result.SignIns.Total(), c.Resumed
	m.Sessions.ReturnsResumed, m.Sessions.ResumesRefused = c.ReturnsResumed, c.ResumesRefused
	run.BytesPerSubscriber, run.ResumeBytesPerSubscriber = e.result.BytesPerSubscriber, e.result.ResumeBytesPerSubscriber
	run.Series.Delivered, run.Series.Heat = e.result.Deliveries, e.result.Heat
}

// collectPosts takes the posts of the measure phase.
func (e *engine) collectPosts(run *report.Run) {
	warmup := e.Scenario.Phases.Warmup.Std()
	outcomes := e.poster.Outcomes()
	t := poster.TallyDue(e.posts, outcomes, warmup, warmup+e.Scenario.Phases.Measure.Std())
	run.Measurements.Posts = verdict.Posts{
		Intended: t.Intended, Sent: t.Sent, Acknowledged: t.Acknowledged, Failed: t.Failed, Errors: t.Errors,
		Missing: e.findings.Missing + e.findings.Misplaced, Checked: e.findings.Checked,
		SendLag: t.SendLag, Service: t.Service, Response: t.Response, Unacknowledged: t.Intended - t.Acknowledged,
	}
	series := &run.Series
	series.Offered, series.Sent, series.Acknowledged = measure.NewSeries(0), measure.NewSeries(0), measure.NewSeries(0)
	count := func(s *measure.Series, ns int64) {
		if ns != 0 {
			s.Add(time.Duration(ns-e.startNs), 1)
		}
	}
	for i := range outcomes {
		count(series.Offered, outcomes[i].IntendedNs)
		count(series.Sent, outcomes[i].SentNs)
		count(series.Acknowledged, outcomes[i].AcknowledgedNs)
	}
}

func (e *engine) collectDeliveries(run *report.Run) {
	m, r := &run.Measurements, e.result
	slow := r.Verification.Slow
	m.Slow = verdict.Slow{
		Sessions: r.Counters.Slow, Expected: slow.Expected, Delivered: slow.Delivered, Told: slow.Told, Lost: slow.Lost,
		Dropped: r.Counters.SlowCuts, TooLong: r.Counters.SlowTooLong,
	}
	m.Deliveries = verdict.Deliveries{
		Expected: r.Verification.Expected + slow.Expected - slow.Told, Delivered: r.Verification.Delivered + slow.Delivered,
		Lost:    r.Verification.Lost + slow.Lost,
		Corrupt: r.Verification.Corrupt, Unordered: r.Counters.Unordered, Healed: r.Counters.Healed,
		// A post that the log holds twice reached the sessions twice; if none was there to see it, it still is one.
		Duplicate: r.Counters.Duplicate + max(r.Verification.Repeated, e.findings.Doubled),
		Latency:   r.Latency,
	}
	for i, g := range e.grouping.groups {
		m.Deliveries.Late += r.Groups[i].Late
		if g.Measured {
			m.Deliveries.LostOfLatency += r.Verification.Groups[i].Lost
		}
	}
	for _, i := range e.grouping.blocks {
		m.Blocks = append(m.Blocks, verdict.Block{Name: r.Groups[i].Name, Latency: r.Groups[i].Latency, Lost: r.Verification.Groups[i].Lost})
	}
	for i, s := range r.Shards {
		name := s.Endpoint
		if e.fleet != nil && len(e.fleet.Shards()) == len(r.Shards) {
			name = e.fleet.Shards()[i].Name
		}
		run.Shards = append(run.Shards, report.Shard{Name: name, Sessions: s.Sessions, Lost: s.Lost, Latency: s.Latency, Delivered: s.Deliveries})
	}
	for _, example := range r.Verification.Examples {
		e.note("%s", example)
	}
	m.Broadcasts = e.collectBroadcasts()
	if e.alternates() {
		m.Slow.Pairs = e.slowPairs(e.moments())
	}
}

// moments are the broadcasts that were sent, to be compared with each other.
func (e *engine) moments() []moment {
	var out []moment
	for n, p := range e.posts {
		if p.Broadcast == schedule.NoBroadcast || e.poster.Outcomes()[n].SentNs == 0 {
			continue
		}
		group := e.grouping.broadcasts[p.Broadcast]
		g, lost := e.result.Groups[group], e.result.Verification.Groups[group].Lost
		if g.Arrived == 0 {
			continue
		}
		out = append(out, moment{p.Due - e.Scenario.Phases.Warmup.Std(), g.Latency.PercentileWithLost(100, lost)})
	}
	return out
}

// collectBroadcasts takes the broadcasts that were sent. One that is not in its log reached nobody.
func (e *engine) collectBroadcasts() []verdict.Broadcast {
	stored := map[uint32]bool{}
	for _, post := range e.lists[0].Posts {
		stored[post] = true
	}
	var out []verdict.Broadcast
	outcomes := e.poster.Outcomes()
	for n, p := range e.posts {
		if p.Broadcast == schedule.NoBroadcast || outcomes[n].SentNs == 0 {
			continue
		}
		group := e.grouping.broadcasts[p.Broadcast]
		g, account := e.result.Groups[group], e.result.Verification.Groups[group]
		b := verdict.Broadcast{
			At: time.Duration(outcomes[n].IntendedNs - e.startNs), DeliverWithin: p.DeliverWithin,
			Recipients: account.Expected, Late: g.Late, Lost: account.Lost, Latency: g.Latency,
		}
		if !stored[uint32(n)] {
			b.Recipients = e.result.Counters.Subscribed
			b.Lost = b.Recipients
		}
		out = append(out, b)
	}
	return out
}

// collectFaults gives each fault the waits from when it struck until the next one did.
func (e *engine) collectFaults() []verdict.Fault {
	outcomes := e.poster.Outcomes()
	next := int64(math.MaxInt64)
	out := make([]verdict.Fault, len(e.faults))
	for i := len(e.faults) - 1; i >= 0; i-- {
		r := e.faults[i]
		f := verdict.Fault{
			Name: r.Title(), Action: string(r.Action), Target: string(r.Target), Processes: r.Processes, Role: r.Role,
		}
		if r.Err != nil {
			f.Error = r.Err.Error()
		}
		if r.BeganNs != 0 {
			f.At = time.Duration(r.BeganNs - e.startNs)
			f.LongestAckWait, f.Posts = poster.LongestWait(outcomes, r.BeganNs, next)
			f.LongestDeliveryWait, f.Deliveries = e.longestDelivery(e.struck(r.BeganNs), e.struck(next))
			before := measure.Never
			if next != math.MaxInt64 {
				before = time.Duration(next - e.startNs)
			}
			e.reconnects(&f, before, r)
			next = r.BeganNs
		}
		if r.BackNs != 0 {
			f.BackAt = time.Duration(r.BackNs - e.startNs)
		}
		if r.Action == v1alpha1.Cut && f.BackAt > 0 && f.Sessions > 0 && f.LongestReturn != measure.Never {
			f.BackAt = f.At + f.LongestReturn // The workers know it better than who asks them from time to time.
		}
		out[i] = f
	}
	e.delays(out)
	return out
}

// struck is the time from which on posts may have been struck by a fault at a moment, in whole buckets of what was measured over
// time, so that every bucket is the matter of one fault: from the oldest post that was under way, and some more for those that
// were acknowledged and still on their way to sessions.
func (e *engine) struck(ns int64) time.Duration {
	if ns == math.MaxInt64 {
		return measure.Never
	}
	width := e.result.Heat.Width()
	oldest := time.Duration(poster.Oldest(e.poster.Outcomes(), ns) - e.startNs)
	return (oldest - width/2).Truncate(width)
}

// longestDelivery is the longest latency of what was intended between two moments and how many deliveries that were.
func (e *engine) longestDelivery(from, to time.Duration) (longest time.Duration, deliveries int64) {
	if !e.verified {
		return 0, 0
	}
	width := e.result.Heat.Width()
	to = min(to, e.now())
	for _, cell := range e.result.Heat.Cells() {
		if at := time.Duration(cell.Column) * width; at >= from && at < to {
			deliveries += cell.Count
		}
	}
	return e.result.Peaks.Longest(from, to), deliveries
}
