package report

import (
	"cmp"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Run is all that an engine knows when it is done. What it could not find out stays zero.
type Run struct {
	Scenario     *v1alpha1.Scenario
	Measurements verdict.Measurements
	// How the figures came about, such as Measured.
	Label     string
	StartedAt time.Time
	Duration  time.Duration
	Phases    []Phase
	// Without the figures of use, which are in the measurements.
	Fleet  Fleet
	Shards []Shard
	Series Series
	// Worker processes and their memory a session.
	Workers                  int
	WorkerRSSBytesPerSession float64
	// What a session holds in its worker, by count; and the part of it that its resume token takes.
	BytesPerSubscriber, ResumeBytesPerSubscriber int
	Simulator                                    Simulator
	// Of the generator's machine; nil: not known.
	Processors *Processors
	// nil: not known.
	Machine *Machine
	// Of what was modelled: how good it is, and the thresholds that it can be held to; nil for what was measured, which is held to all.
	Model *Model
	// nil: the scenario has none.
	Cascade *Cascade
	Judged  []v1alpha1.Threshold
}

// MakePhase is the phase from one moment of the run to another.
func MakePhase(name string, from, to time.Duration) Phase {
	return Phase{name, millis(from), millis(to)}
}

// New judges a run and makes its report.
func New(run Run) Report {
	m := run.Measurements
	thresholds := run.Scenario.Thresholds
	if run.Model != nil {
		thresholds = run.Judged
	}
	j := verdict.Judge(m, thresholds)
	r := Report{
		Schema: Schema, Verdict: j.Verdict, ExitCode: j.ExitCode, Reasons: orEmpty(j.Reasons),
		Scenario: run.Scenario.Name, Label: run.Label, StartedAt: run.StartedAt.UTC(), DurationMs: millis(run.Duration),
		Deliveries: deliveries(m.Deliveries),
		LatencyMs:  latency(m.Deliveries.Latency, m.Deliveries.LostOfLatency),
		Broadcasts: []Broadcast{}, Faults: []Fault{}, Thresholds: []Threshold{},
		Sessions: sessions(m.Sessions), Posts: posts(m.Posts),
		Generator: generator(run, j.Health),
		Clock:     Clock{m.Clock.Source, m.Clock.Trusted, millis(m.Clock.ErrorBound), millis(m.Clock.Step)},
		Fleet:     run.Fleet, Shards: orEmpty(run.Shards), Phases: orEmpty(run.Phases), Machine: run.Machine,
		Spectrum: Spectrum(m.Deliveries.Latency, m.Deliveries.LostOfLatency),
		Histograms: Histograms{
			Delivery: m.Deliveries.Latency, SendLag: m.Posts.SendLag, Service: m.Posts.Service,
			Response: m.Posts.Response, Hiccup: m.Generator.Hiccup, SignIn: m.Sessions.SignIn, Reconnect: m.Sessions.Return,
		},
		Series: run.Series, Spec: run.Scenario, Simulator: run.Simulator, Model: run.Model, Cascade: run.Cascade,
		Processors: run.Processors,
	}
	if s := m.Slow; s.Sessions > 0 {
		r.SlowReaders = &SlowReaders{s.Sessions, s.Expected, s.Delivered, s.Told, s.Lost, s.Dropped, s.TooLong, slowEffect(s)}
	}
	r.Fleet.RSSBytesPerSession, r.Fleet.Exits = m.Fleet.RSSBytesPerSession, m.Fleet.Exits
	r.Fleet.CPUMicrosPerDelivery = float64(m.Fleet.CPUPerDelivery) / float64(time.Microsecond)
	if j.Worst >= 0 {
		worst := j.Results[j.Worst]
		r.WorstMargin = &WorstMargin{worst.Title, Millis(worst.Margin)}
	}
	for _, result := range j.Results {
		r.Thresholds = append(r.Thresholds, threshold(result))
	}
	for _, b := range m.Broadcasts {
		r.Broadcasts = append(r.Broadcasts, broadcast(b))
	}
	for _, f := range m.Faults {
		r.Faults = append(r.Faults, fault(f))
	}
	return r
}

func slowEffect(s verdict.Slow) *Effect {
	if len(s.Pairs) == 0 {
		return nil
	}
	e := s.Effect()
	out := &Effect{Pairs: e.Pairs, Change: e.Change, Low: e.Low, High: e.High}
	for _, p := range s.Pairs {
		out.PairsMs = append(out.PairsMs, [2]Millis{millis(p.Reading), millis(p.Slow)})
	}
	return out
}

func threshold(r verdict.Result) Threshold {
	t := Threshold{
		Metric: r.Threshold.Metric, Aggregation: r.Threshold.Aggregation, Fault: r.Threshold.Fault, Title: r.Title,
		Bound: r.Threshold.Bound.Value, Value: Millis(r.Value), Error: float64(r.Error) / float64(time.Millisecond),
		Samples: r.Samples, MinSamples: max(r.Threshold.MinSamples, 1), Confidence: r.Threshold.Confidence, Blocks: r.Blocks,
		Verdict: r.Verdict, Reason: r.Reason,
	}
	switch r.Unit {
	case v1alpha1.UnitTime:
		t.Unit = "ms"
		t.Bound /= float64(time.Millisecond)
		t.Value /= Millis(time.Millisecond)
	case v1alpha1.UnitBytes:
		t.Unit = "bytes"
	}
	if metric, ok := verdict.FindMetric(t.Metric); ok {
		t.Aggregation = cmp.Or(t.Aggregation, metric.Aggregation)
	}
	if !math.IsNaN(r.Margin) {
		margin := Millis(r.Margin)
		t.Margin = &margin
	}
	return t
}

func deliveries(d verdict.Deliveries) Deliveries {
	return Deliveries{
		Expected: d.Expected, Delivered: d.Delivered, Duplicate: d.Duplicate, Late: d.Late, Lost: d.Lost,
		Unordered: d.Unordered, Corrupt: d.Corrupt, Healed: d.Healed,
	}
}

func latency(h *measure.Histogram, lost int64) Latency {
	at := func(p float64) Millis { return millis(h.PercentileWithLost(p, lost)) }
	l := Latency{
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99),
		Max: millis(h.Max()), Mean: millis(h.Mean()), Count: h.Count(), Lost: max(lost, 0), Negative: h.Negative(),
	}
	if lost > 0 {
		l.Max, l.Mean = Millis(math.Inf(1)), Millis(math.Inf(1))
	}
	return l
}

func broadcast(b verdict.Broadcast) Broadcast {
	return Broadcast{
		AtMs: millis(b.At), DeliverWithinMs: millis(b.DeliverWithin), Recipients: b.Recipients,
		Delivered: b.Latency.Count(), Late: b.Late, Lost: b.Lost,
		TimeTo50Ms: millis(b.TimeTo(50)), TimeTo99Ms: millis(b.TimeTo(99)),
		TimeTo999Ms: millis(b.TimeTo(99.9)), TimeToLastMs: millis(b.TimeTo(100)), Latency: b.Latency,
	}
}

func sessions(s verdict.Sessions) Sessions {
	return Sessions{
		Wanted: s.Wanted, Dialled: s.Dialled, Established: s.Established, SignedIn: s.SignedIn, Dropped: s.Dropped,
		SignInMs: latency(s.SignIn, s.Wanted-s.SignIn.Count()), ReconnectMs: latency(s.Return, s.Away), Away: s.Away,
		SignIns: s.SignIns, Resumed: s.Resumed, ResumesRefused: s.ResumesRefused,
	}
}

func posts(p verdict.Posts) Posts {
	out := Posts{
		Intended: p.Intended, Sent: p.Sent, Acknowledged: p.Acknowledged, Unacknowledged: p.Unacknowledged, Failed: p.Failed,
		MissingAcknowledged: p.Missing, Checked: p.Checked, Errors: p.Errors,
		SendLagMs: latency(p.SendLag, 0), ServiceMs: latency(p.Service, p.Unacknowledged),
		ResponseMs: latency(p.Response, p.Unacknowledged),
	}
	out.LongestWaitMs = out.ResponseMs.Max
	return out
}

func fault(f verdict.Fault) Fault {
	out := Fault{
		What: f.Name, Action: f.Action, Target: f.Target, Processes: orEmpty(f.Processes), Role: f.Role, AtMs: millis(f.At),
		LongestAckWaitMs: millis(f.LongestAckWait), LongestDeliveryWaitMs: millis(f.LongestDeliveryWait),
		Posts: f.Posts, Deliveries: f.Deliveries, Error: f.Error,
	}
	if f.Sessions > 0 {
		out.Reconnects = &Reconnects{
			Sessions: f.Sessions, Resumed: f.Resumed, AllBackMs: millis(f.LongestReturn), SignInsPerSecond: f.SignInsPerSecond,
			PeakSignInsPerSecond: f.PeakSignInsPerSecond, CPUMicrosPerSignIn: float64(f.CPUPerSignIn) / float64(time.Microsecond),
			AddedCPUMicrosPerSignIn: float64(f.AddedCPUPerSignIn) / float64(time.Microsecond),
		}
	}
	if d := f.Delay; d != nil {
		out.Delay = &Delay{
			ByMs: millis(d.By), JitterMs: millis(d.Jitter), Sessions: d.Sessions, DelayedMs: latency(d.Far, 0), OthersMs: latency(d.Others, 0),
			DelayedElseMs: latency(d.FarElse, 0), OthersElseMs: latency(d.OthersElse, 0),
		}
	}
	if f.BackAt > 0 {
		back := millis(f.BackAt)
		out.BackAtMs = &back
	}
	return out
}

func generator(run Run, h verdict.Health) Generator {
	g := run.Measurements.Generator
	return Generator{
		Healthy: h.Healthy, Reasons: orEmpty(h.Reasons), Unknown: h.Unknown,
		SharesCoresWithFleet: g.SharesCores, SharedCoresErrorMs: millis(h.SharedCoresError), TightestBoundMs: millis(h.TightestBound),
		SendLagP999Ms: millis(h.SendLag), SendLagLimitMs: millis(h.SendLagLimit),
		HiccupP999Ms: millis(h.Hiccup), HiccupLimitMs: millis(h.HiccupLimit),
		CapsReached: orEmpty(g.CapsReached), LostWorkers: orEmpty(g.LostWorkers),
		Workers: run.Workers, RSSBytesPerSession: run.WorkerRSSBytesPerSession,
		BytesPerSubscriber: run.BytesPerSubscriber, ResumeBytesPerSubscriber: run.ResumeBytesPerSubscriber,
	}
}

// orEmpty keeps null out of the JSON, where a list has nothing in it.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
