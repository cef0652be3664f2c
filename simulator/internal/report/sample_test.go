package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// sampler makes runs that look like real ones: a broadcast is a ramp over the sessions of a shard, chatter is log-normal, and
// both are slower while something is broken. The same seed makes the same run.
type sampler struct {
	random *rand.Rand
	run    Run
	m      *verdict.Measurements
	// When the measure phase begins.
	measureAt time.Duration
}

func newSampler(t *testing.T, name string) *sampler {
	t.Helper()
	spec, err := scenario.Load("../../../scenarios/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := &sampler{random: rand.New(rand.NewPCG(1, 2))}
	s.run = Run{
		Scenario: spec, Label: Measured,
		StartedAt: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC),
		Fleet: Fleet{
			Where: "local", Version: "v0.1.0", Stores: spec.Target.Local.Stores, Shards: spec.Target.Local.Shards,
			Partitions: 16, Replicas: 3, Durability: "Fsync",
		},
		Workers: 2, WorkerRSSBytesPerSession: 1412,
		Simulator: Simulator{Version: "v0.1.0", Platform: "linux/amd64", Cores: 2},
		Series: Series{
			Wanted: measure.NewSeries(0), Established: measure.NewSeries(0), SignedIn: measure.NewSeries(0),
			Offered: measure.NewSeries(0), Sent: measure.NewSeries(0), Acknowledged: measure.NewSeries(0),
			Delivered: measure.NewSeries(0), Heat: measure.NewHeatMap(0),
		},
	}
	s.m = &s.run.Measurements
	s.m.Deliveries.Latency = measure.NewHistogram()
	s.m.Posts.SendLag, s.m.Posts.Service, s.m.Posts.Response = measure.NewHistogram(), measure.NewHistogram(), measure.NewHistogram()
	s.m.Sessions.SignIn = measure.NewHistogram()
	s.m.Clock = verdict.Clock{Source: "CLOCK_MONOTONIC of one host", Trusted: true}
	s.m.Generator = verdict.Generator{Hiccup: measure.NewHistogram(), SharesCores: true}
	s.m.Fleet = verdict.Fleet{RSSBytesPerSession: 11_264, CPUPerDelivery: 9300 * time.Nanosecond}
	for i := range 60_000 {
		hiccup := s.logNormal(90*time.Microsecond, 0.6)
		if i%400 == 0 {
			hiccup = s.logNormal(9*time.Millisecond, 0.5)
		}
		s.m.Generator.Hiccup.Record(hiccup)
	}
	for i := range s.run.Fleet.Shards {
		s.run.Shards = append(s.run.Shards, Shard{
			Name: fmt.Sprintf("shard-%d", i), Latency: measure.NewHistogram(), Delivered: measure.NewSeries(0),
			Sessions: int64(spec.Population.Sessions() / s.run.Fleet.Shards),
		})
	}
	s.connect()
	return s
}

func (s *sampler) logNormal(median time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(sigma*s.random.NormFloat64()))
}

func (s *sampler) connect() {
	spec := s.run.Scenario
	n := spec.Population.Sessions()
	over := spec.Phases.Connect.ConnectsOver(n)
	at := time.Duration(0)
	phase := func(name string, lasts time.Duration) {
		s.run.Phases = append(s.run.Phases, MakePhase(name, at, at+lasts))
		at += lasts
	}
	phase(PhaseConnect, over+300*time.Millisecond)
	phase(PhaseWarmup, spec.Phases.Warmup.Std())
	s.measureAt = at
	phase(PhaseMeasure, spec.Phases.Measure.Std())
	phase(PhaseSettle, spec.Phases.Settle.Std())
	s.run.Duration = at
	s.m.Sessions = verdict.Sessions{
		Wanted: int64(n), Dialled: int64(n), Established: int64(n), SignedIn: int64(n), SignIn: s.m.Sessions.SignIn,
	}
	for i := range n {
		due := over * time.Duration(i) / time.Duration(n)
		dial, signIn := s.logNormal(2*time.Millisecond, 0.7), s.logNormal(9*time.Millisecond, 0.8)
		s.run.Series.Wanted.Add(due, 1)
		s.run.Series.Established.Add(due+dial, 1)
		s.run.Series.SignedIn.Add(due+dial+signIn, 1)
		s.m.Sessions.SignIn.Record(dial + signIn)
	}
}

// post records one post and what it waited for besides its usual way.
func (s *sampler) post(at, wait time.Duration) (ack time.Duration) {
	lag, service := s.logNormal(180*time.Microsecond, 0.7), s.logNormal(4*time.Millisecond, 0.5)+wait
	p := &s.m.Posts
	p.Intended++
	p.Sent++
	p.Acknowledged++
	p.Checked++
	p.SendLag.Record(lag)
	p.Service.Record(service)
	p.Response.Record(lag + service)
	s.run.Series.Offered.Add(at, 1)
	s.run.Series.Sent.Add(at+lag, 1)
	s.run.Series.Acknowledged.Add(at+lag+service, 1)
	return lag + service
}

func (s *sampler) deliver(shard int, at, latency time.Duration, n int64) {
	s.m.Deliveries.Expected += n
	s.m.Deliveries.Delivered += n
	s.m.Deliveries.Latency.RecordN(latency, n)
	s.run.Series.Delivered.Add(at+latency, n)
	s.run.Series.Heat.Add(at, latency, n)
	s.run.Shards[shard].Latency.RecordN(latency, n)
	s.run.Shards[shard].Delivered.Add(at+latency, n)
}

// broadcast delivers one post to every session: a ramp at each shard, slower by the factor.
func (s *sampler) broadcast(at time.Duration, slower float64) {
	s.post(at, 0)
	b := verdict.Broadcast{At: at, DeliverWithin: time.Second, Latency: measure.NewHistogram()}
	for i := range s.run.Shards {
		block := verdict.Block{Name: fmt.Sprintf("broadcast %d at %s", len(s.m.Broadcasts), s.run.Shards[i].Name), Latency: measure.NewHistogram()}
		start := 9*time.Millisecond + s.logNormal(4*time.Millisecond, 0.5)
		pace := (1 + 0.12*float64(i)) * slower * (1 + 0.1*s.random.NormFloat64())
		n := s.run.Shards[i].Sessions
		for j := range n {
			ramp := time.Duration(pace * 240 * float64(time.Millisecond) * float64(j) / float64(n))
			latency := start + ramp + s.logNormal(3*time.Millisecond, 0.8)
			s.deliver(i, at, latency, 1)
			b.Latency.Record(latency)
			block.Latency.Record(latency)
		}
		b.Recipients += n
		s.m.Blocks = append(s.m.Blocks, block)
	}
	s.m.Broadcasts = append(s.m.Broadcasts, b)
}

// chatter posts through the warm-up and the measure phase; wait says what a post at a moment waits for.
func (s *sampler) chatter(wait func(at time.Duration) time.Duration) {
	spec := s.run.Scenario
	end := s.measureAt + spec.Phases.Measure.Std()
	readers := spec.Population.Sessions() * spec.Population.AttachPerSession / spec.Population.Channels
	for at := s.measureAt; at < end; at += time.Duration(float64(time.Second) / spec.Chatter.RatePerSecond * s.random.ExpFloat64()) {
		waits := wait(at)
		ack := s.post(at, waits)
		const alike = 4 // deliveries drawn at once, so that tests are quick
		for range readers / alike {
			s.deliver(s.random.IntN(len(s.run.Shards)), at, ack+s.logNormal(2*time.Millisecond, 0.9), alike)
		}
	}
}

// sampleBroadcast is a run of broadcast-20k that passes, with one broadcast slower than the others.
func sampleBroadcast(t *testing.T) Run {
	t.Helper()
	s := newSampler(t, "broadcast-20k")
	for i, moment := range s.run.Scenario.Broadcasts[0].Moments() {
		slower := 1.0
		if i == 7 {
			slower = 1.9
		}
		s.broadcast(s.measureAt+moment, slower)
	}
	s.chatter(func(at time.Duration) time.Duration {
		for _, b := range s.m.Broadcasts {
			if since := at - b.At; since >= 0 && since < 300*time.Millisecond {
				return s.logNormal(25*time.Millisecond, 0.6)
			}
		}
		return 0
	})
	return s.run
}

// sampleStoreLoss is a run of store-loss in which one wait after a kill was too long.
func sampleStoreLoss(t *testing.T) Run {
	t.Helper()
	s := newSampler(t, "store-loss")
	spec := s.run.Scenario
	outage := map[string]time.Duration{
		"leading store killed": 820 * time.Millisecond, "meta leader killed": 780 * time.Millisecond, "shard killed": 120 * time.Millisecond,
		"leading store stopped": 1800 * time.Millisecond, "all stores killed": 2300 * time.Millisecond,
	}
	for _, f := range spec.Faults {
		for i, moment := range f.Moments() {
			longest := time.Duration(float64(outage[f.Name]) * (1 + 0.06*s.random.NormFloat64()))
			if f.Name == "leading store killed" && i == 6 {
				longest = 2140 * time.Millisecond
			}
			lasts, _ := f.Lasts()
			s.fault(f, s.measureAt+moment, longest, lasts, i)
		}
	}
	s.chatter(func(at time.Duration) time.Duration {
		for _, f := range s.m.Faults {
			if since := at - f.At; since >= 0 && since < f.LongestAckWait && s.random.IntN(3) == 0 {
				return f.LongestAckWait - since
			}
		}
		return 0
	})
	s.m.Deliveries.Healed = 18_204
	return s.run
}

func (s *sampler) fault(f v1alpha1.Fault, at, longest, lasts time.Duration, i int) {
	victim := fmt.Sprintf("store-%d", i%3)
	out := verdict.Fault{
		Name: f.Name, Action: string(f.Action), Target: string(f.Target), Processes: []string{victim}, Role: "store, leads 5 of 16 partitions",
		At: at, BackAt: at + lasts + 400*time.Millisecond, LongestAckWait: longest, LongestDeliveryWait: longest + 11*time.Millisecond,
		Posts: 1600, Deliveries: 49_000,
	}
	switch f.Target {
	case v1alpha1.AnyShard:
		shard := &s.run.Shards[i%len(s.run.Shards)]
		out.Processes, out.Role = []string{shard.Name}, fmt.Sprintf("shard, %d sessions", shard.Sessions)
		out.LongestDeliveryWait = longest + 900*time.Millisecond
		s.m.Sessions.Dropped += shard.Sessions
		s.m.Sessions.Dialled += shard.Sessions
		for range shard.Sessions {
			back := at + lasts + time.Duration(s.random.Int64N(int64(1200*time.Millisecond)))
			s.run.Series.Established.Add(at, -1)
			s.run.Series.SignedIn.Add(at, -1)
			s.run.Series.Established.Add(back, 1)
			s.run.Series.SignedIn.Add(back+12*time.Millisecond, 1)
		}
	case v1alpha1.AllStores:
		out.Processes, out.Role = []string{"store-0", "store-1", "store-2"}, "all stores, lead 16 of 16 partitions"
	}
	s.m.Faults = append(s.m.Faults, out)
}

// sampleModelled is the broadcast as a model would have it, far beyond what was measured.
func sampleModelled(t *testing.T) Run {
	t.Helper()
	run := sampleBroadcast(t)
	run.Label, run.StartedAt, run.Shards = Extrapolated, time.Time{}, nil
	run.Judged = run.Scenario.Thresholds
	run.Measurements.Generator = verdict.Generator{Modelled: true}
	run.Measurements.ErrorShares = map[string]float64{"": 0.8}
	run.Measurements.Indicative = "grade D: 125 times beyond what was measured"
	c := calibrationtest.ByHand()
	c.HoldOut = []calibration.HeldOut{{Run: "simulator run scenarios/broadcast-100k.yaml", Figure: "time to the last", Sessions: 100_000, PredictedMs: 1900, MeasuredMs: 2100, LeastMs: 1950, LargestMs: 2500, Runs: 5}}
	run.Model = &Model{
		Grade: "D", GradeSays: "125 times beyond what was measured: indicative, run a test", ExtrapolationFactor: 125, ErrorShare: 0.8, Seeds: 3, Events: 12345,
		Answers: []Answer{
			{"time to 99.9 %, slowest broadcast", 410, 230, 738, 400, 420},
			{"time to the last, slowest broadcast", Millis(math.Inf(1)), Millis(math.Inf(1)), Millis(math.Inf(1)), 900, Millis(math.Inf(1))},
			{"acknowledgement, p99", 5, 2, 12, 4, 6},
		},
		Inputs: []Input{{"write", "processor time of a shard to write one event to one session", "+1 standard error (13.1 ± 1.1 µs)", 0.08, "measured"}, {"hop", "", "by 10 %", -0.01, "chosen"}},
		Ranges: []ModelRange{{"sessions", 500, 20000, 2.5e6, 125}, {"messageBytes", 200, 200, 200, 1}}, Unmodelled: []string{"the loss of a <region>"},
		Use:         ModelUse{Cells: 2, Shards: 400, Stores: 6, Cores: 1648, MemoryBytes: 1e10, EgressBytes: 8e8, DeliveriesPer: 2.5e6, Binding: "the shards’ network, 3.0 % used", Cost: &Cost{Source: "nobody", Total: 12}},
		Calibration: c,
		Fan:         []FanPoint{{20_000, 41, 30, 60}, {80_000, 60, 40, 95}, {400_000, 160, 100, 270}, {2.5e6, 410, 230, 738}}, FanMetric: "timeTo999", FanMeasuredTo: 20_000,
	}
	run.Model.Use.BusiestShard, run.Model.Use.BusiestStore, run.Model.Use.BusiestNetwork = 0.012, 0.004, 0.03
	run.Model.Use.Cost = &Cost{Source: "nobody", Cores: 6, Memory: 2, Egress: 4, Total: 12}
	return run
}

// sampleSurge is a falsehood and its correction, as a model would have them.
func sampleSurge(t *testing.T) Run {
	t.Helper()
	run := sampleModelled(t)
	p := cascade.Default()
	p.Crowd.People, p.Crowd.Communities, p.Seeds = 40_000, 2, 3
	p.Crowd.Coalition, p.Crowd.Outside = cascade.Channels{Count: 10, Subscriptions: 40_000}, cascade.Channels{Count: 10, Subscriptions: 40_000}
	study, err := cascade.Study(p)
	if err != nil {
		t.Fatal(err)
	}
	run.Cascade = &Cascade{Study: study, DeliveryMs: cascade.Interval{Mean: 304, Low: 300, High: 310}}
	for i, cell := range study.Cells {
		run.Cascade.Study.Cells[i].Posts = nil
		c := CascadeCase{
			Arm: cell.Arm, DelayNs: cell.DelayNs, BusiestSecond: cell.PeakDeliveriesPerSecond,
			DeliveryP50Ms: cascade.Interval{Mean: 37, Low: 36, High: 38}, DeliveryP999Ms: cascade.Interval{Mean: 317, Low: 300, High: 330},
		}
		if cell.Arm == cascade.ByHub {
			c.HubTo50Ms, c.HubTo999Ms, c.HubToLastMs = &cascade.Interval{Mean: 126, Low: 120, High: 130}, &cascade.Interval{Mean: 355, Low: 350, High: 360}, &cascade.Interval{Mean: 900, Low: 800, High: 1000}
		}
		run.Cascade.Cases = append(run.Cascade.Cases, c)
	}
	return run
}

// sampleSmall is a run of a handful of deliveries, for golden files: one threshold is missed and one has no samples.
func sampleSmall(t *testing.T) Run {
	t.Helper()
	spec, err := scenario.Read("small", strings.NewReader(`apiVersion: chatfleet.io/v1alpha1
kind: Scenario
name: small
population:
  subscribers: 4
phases:
  connect:
    duration: 1s
  measure: 10s
broadcasts:
  - at: 1s
    every: 1s
    count: 2
faults:
  - name: <kill> & restart
    action: kill
    target: shard
    at: 3s
thresholds:
  - metric: delivery
    aggregation: p50
    bound: 100ms
  - metric: timeToLast
    bound: 100ms
  - metric: faultAckWait
    bound: 1s
`))
	if err != nil {
		t.Fatal(err)
	}
	histogram := func(ms ...int) *measure.Histogram {
		h := measure.NewHistogram()
		for _, d := range ms {
			h.Record(time.Duration(d) * time.Millisecond)
		}
		return h
	}
	delivered := measure.NewSeries(time.Second)
	delivered.Add(2*time.Second, 8)
	return Run{
		Scenario: spec, Label: Measured, StartedAt: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), Duration: 16 * time.Second,
		Phases: []Phase{MakePhase(PhaseConnect, 0, time.Second), MakePhase(PhaseMeasure, time.Second, 11*time.Second)},
		Fleet:  Fleet{Where: "local", Stores: 1, Shards: 1, Partitions: 16, Replicas: 1, Durability: "Fsync"},
		Series: Series{Delivered: delivered}, Workers: 1,
		Simulator: Simulator{Version: "v0", Platform: "linux/amd64", Cores: 2},
		Measurements: verdict.Measurements{
			Sessions:   verdict.Sessions{Wanted: 4, Dialled: 4, Established: 4, SignedIn: 4, SignIn: histogram(10, 11, 12, 13)},
			Deliveries: verdict.Deliveries{Expected: 8, Delivered: 8, Latency: histogram(10, 20, 30, 40, 50, 60, 70, 150)},
			Posts: verdict.Posts{
				Intended: 2, Sent: 2, Acknowledged: 2, Checked: 2, SendLag: histogram(1, 1), Service: histogram(5, 6), Response: histogram(6, 7),
			},
			Broadcasts: []verdict.Broadcast{
				{At: 2 * time.Second, DeliverWithin: time.Second, Recipients: 4, Latency: histogram(10, 20, 30, 40)},
				{At: 3 * time.Second, DeliverWithin: time.Second, Recipients: 4, Latency: histogram(50, 60, 70, 150)},
			},
			Faults: []verdict.Fault{{
				Name: "<kill> & restart", Action: "kill", Target: "shard", Processes: []string{"shard-0"}, At: 4 * time.Second,
				LongestAckWait: measure.Never, Error: "no shard ran",
			}},
			Generator: verdict.Generator{Hiccup: histogram(1, 2, 3)},
			Clock:     verdict.Clock{Source: "one", Trusted: true},
		},
	}
}
