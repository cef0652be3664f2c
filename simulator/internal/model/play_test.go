package model

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/model/modeltest"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// The way of one post, by hand: until it is stored and has come to a shard, and from there a ramp over its sessions.
func TestABroadcastIsARamp(t *testing.T) {
	s := modeltest.Small(t, "shards: 4, coresPerShard: 2", "shards: 1, coresPerShard: 2", "at: 1s, every: 4s, count: 4", "at: 1s")
	in := inputOf(t, s)
	in.Calibration = certain(in.Calibration)
	out := play(t, in)
	c := func(name calibration.Name) float64 { return in.Calibration.Get(name).Value }
	ms := func(us float64) float64 { return us / 1000 }
	wire := float64(200+c(calibration.Frame)) / 1.25e9 * 1e3
	quorum := c(calibration.Acknowledge) - 2*c(calibration.Hop) - ms(c(calibration.PostShard)) - ms(c(calibration.PostStore))
	stored := ms(c(calibration.PostShard))/2 + c(calibration.Hop) + ms(c(calibration.PostStore)) + quorum
	came := stored + max(ms(c(calibration.Copy)), wire) + c(calibration.Hop) + c(calibration.Begin)
	cores := 2 - 4000*c(calibration.Ping)/10e6 // what 4,000 sessions' pings leave
	b := out.Measurements.Broadcasts[0]
	for p, share := range map[float64]float64{50: 0.5, 99: 0.99, 100: 1} {
		want := came + share*4000*ms(c(calibration.Write))/cores
		if got := float64(b.TimeTo(p)) / 1e6; math.Abs(got/want-1) > 0.002 {
			t.Errorf("%g %% have it after %.3f ms, want %.3f", p, got, want)
		}
	}
	if ack, want := float64(out.Measurements.Posts.Response.Max())/1e6, stored+c(calibration.Hop); math.Abs(ack/want-1) > 0.002 {
		t.Errorf("acknowledged after %.3f ms, want %.3f", ack, want)
	}
}

// Every shard gets its n-th part of the sessions, of those that read too, or one more, however they are put into groups.
func TestEveryShardHasItsPart(t *testing.T) {
	small := modeltest.Small(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := *small
		n := rapid.Int64Range(1, 5000).Draw(rt, "sessions")
		s.Population.Subscribers = int(n)
		if rapid.Bool().Draw(rt, "some are slow") {
			s.Population.SlowReaders = &v1alpha1.SlowReaders{Share: rapid.SampledFrom([]float64{0.001, 0.25, 0.5, 0.93, 1}).Draw(rt, "slow")}
		}
		in := inputOf(t, &s)
		in.Fleet.Shards = rapid.OneOf(rapid.IntRange(1, 8), rapid.IntRange(1, 1500)).Draw(rt, "shards")
		in.Brief, in.PerSession = rapid.Bool().Draw(rt, "brief"), rapid.Bool().Draw(rt, "per session")
		e := newEngine(in, newBook(in, 0))
		e.connect()
		shards := int64(in.Fleet.Shards)
		sessions, groups := make([]int64, shards), make([]int64, shards)
		for _, g := range e.groups {
			sessions[g.shard] += g.n
			groups[g.shard]++
		}
		slow, readers := e.slow(n), int64(0)
		for s, sh := range e.shards {
			k := int64(s)
			if want := n*(k+1)/shards - n*k/shards; sessions[s] != want || groups[s] != min(groups[shards-1], want) {
				rt.Fatalf("shard %d of %d has %d sessions in %d groups; want %d, in %d", s, shards, sessions[s], groups[s], want, groups[shards-1])
			}
			if even := float64(sessions[s]) * float64(n-slow) / float64(n); math.Abs(float64(sh.present)-even) > 1 {
				rt.Fatalf("shard %d of %d has %d that read, of %d; %d of all %d are slow", s, shards, sh.present, sessions[s], slow, n)
			}
			readers += sh.present
		}
		if readers != n-slow || e.signedIn != n {
			rt.Fatalf("%d signed in and %d read, of %d and %d", e.signedIn, readers, n, n-slow)
		}
	})
}

// So a brief play is as a whole one, also where there are more shards than it would have groups.
func TestABriefPlayIsAsAWholeOne(t *testing.T) {
	for _, shards := range []string{"199", "1100"} {
		in := inputOf(t, modeltest.Small(t, "shards: 4", "shards: "+shards, "subscribers: 4000", "subscribers: 400000", "at: 1s, every: 4s, count: 4", "at: 1s"))
		whole := play(t, in).Measurements.Broadcasts[0]
		in.Brief = true
		brief := play(t, in).Measurements.Broadcasts[0]
		for _, p := range []float64{50, 99.9, 100} {
			if brief.TimeTo(p) != whole.TimeTo(p) {
				t.Errorf("%s shards: %g %% have it after %s, and in brief after %s", shards, p, whole.TimeTo(p), brief.TimeTo(p))
			}
		}
	}
}

// The network holds a sweep up where it is slower than the cores.
func TestANarrowNetworkIsTheRamp(t *testing.T) {
	s := modeltest.Small(t, "coresPerShard: 2", "coresPerShard: 2, networkPerSecond: 1MB")
	b := play(t, inputOf(t, s)).Measurements.Broadcasts[0]
	want := time.Duration(1000 * (200 + 120) * 1000) // 1,000 sessions a shard, 320 bytes each, a byte a microsecond
	if got := b.TimeTo(100); got < want || got > want+50*time.Millisecond {
		t.Errorf("the last after %s, want about %s", got, want)
	}
}

// Whatever breaks, what was expected is delivered or lost, and nothing else; nobody is away once there is time to come back.
func TestEveryDeliveryIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fault := rapid.SampledFrom([]string{
			"", "{action: kill, target: shard, at: 3s, every: 5s, count: 3, restartAfter: 1s}", "{action: kill, target: shard-1, at: 1020ms}",
			"{action: stop, target: shard, at: 1s, for: 3s}", "{action: restart, target: shard, at: 1s}",
			"{action: cut, target: sessions, share: 0.7, at: 1010ms}", "{action: kill, target: all-stores, at: 900ms, restartAfter: 2s}",
			"{action: kill, target: store-leading, at: 4990ms, restartAfter: 1s}", "{action: stop, target: meta-leader, at: 1s, for: 2s}",
			"{action: delay, target: sessions, share: 0.3, at: 500ms, for: 4s, delay: 200ms, jitter: 100ms}",
		}).Draw(rt, "fault")
		replace := []string{"subscribers: 4000", "subscribers: 1200\n  channels: 7\n  attachPerSession: 2\nchatter: {ratePerSecond: 40}"}
		if rapid.Bool().Draw(rt, "far") {
			replace[1] = "subscribers: 1200\n  channels: 7\n  attachPerSession: 2\n  places: [{name: near, share: 0.5, roundTrip: 10ms}, {name: far, share: 0.5, roundTrip: 200ms}]\nchatter: {ratePerSecond: 40}"
		}
		if fault != "" {
			replace = append(replace, "thresholds:", "faults: ["+fault+"]\nthresholds:")
		}
		in := inputOf(t, modeltest.Small(t, replace...))
		in.Seed = rapid.Uint64().Draw(rt, "seed")
		in.PerSession = rapid.Bool().Draw(rt, "per session")
		m := play(t, in).Measurements
		d := m.Deliveries
		if d.Expected != d.Delivered+d.Lost || d.Lost != 0 {
			rt.Fatalf("%d expected, %d delivered, %d lost", d.Expected, d.Delivered, d.Lost)
		}
		if d.Expected < 4*1200+700*1200*2/7 {
			rt.Fatalf("only %d expected", d.Expected)
		}
		if m.Sessions.Away != 0 || m.Sessions.SignedIn != 1200 {
			rt.Fatalf("sessions: %+v", m.Sessions)
		}
		if m.Posts.Unacknowledged != 0 {
			rt.Fatalf("%d posts were not acknowledged", m.Posts.Unacknowledged)
		}
		var recipients int64
		for _, b := range m.Broadcasts {
			recipients += b.Recipients
			if b.Recipients != b.Latency.Count()+b.Lost {
				rt.Fatalf("a broadcast to %d: %d delivered, %d lost", b.Recipients, b.Latency.Count(), b.Lost)
			}
		}
		if recipients != 4800 {
			rt.Fatalf("%d recipients", recipients)
		}
	})
}

// A turn of a sweep as one event is as good as an event for each session.
func TestChunksAreAsGoodAsSessions(t *testing.T) {
	s := modeltest.Small(t, "subscribers: 4000", "subscribers: 4000\n  channels: 8\n  attachPerSession: 1\nchatter: {ratePerSecond: 50}")
	in := inputOf(t, s)
	chunks := play(t, in)
	in.PerSession = true
	single := play(t, in)
	if single.Events < 4*chunks.Events {
		t.Errorf("%d events with chunks, %d without", chunks.Events, single.Events)
	}
	for i, b := range chunks.Measurements.Broadcasts {
		for _, p := range []float64{50, 99, 99.9, 100} {
			got, want := b.TimeTo(p), single.Measurements.Broadcasts[i].TimeTo(p)
			if (got - want).Abs() > turnLength {
				t.Errorf("broadcast %d, %g %%: %s with chunks, %s without", i, p, got, want)
			}
		}
	}
	if a, b := chunks.Measurements.Deliveries.Latency.Mean(), single.Measurements.Deliveries.Latency.Mean(); (a - b).Abs() > turnLength/4 {
		t.Errorf("mean %s with chunks, %s without", a, b)
	}
}

func TestTheSameInputGivesTheSame(t *testing.T) {
	s := modeltest.Small(t, "subscribers: 4000", "subscribers: 4000\n  places: [{name: far, share: 1, roundTrip: 90ms}]\nfaults: [{action: cut, target: sessions, share: 0.5, at: 2s}]")
	text := func(seed uint64) string {
		in := inputOf(t, s)
		in.Seed = seed
		out := play(t, in)
		data, err := json.Marshal([]any{out.Measurements, out.Series, out.Shards, out.Events})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	one, again := text(1), text(1)
	if one != again {
		t.Error("the same seed gave two outcomes")
	}
	if one == text(2) {
		t.Error("two seeds gave one outcome")
	}
}

// A burst in one log costs little more than a post: what comes while a sweep is on its way goes along.
func TestABurstGoesAlong(t *testing.T) {
	one := play(t, inputOf(t, modeltest.Small(t, "at: 1s, every: 4s, count: 4", "at: 1s, every: 1ms, count: 2")))
	many := play(t, inputOf(t, modeltest.Small(t, "at: 1s, every: 4s, count: 4", "at: 1s, every: 100us, count: 20")))
	last := func(o Outcome) (at time.Duration) {
		for _, b := range o.Measurements.Broadcasts {
			at = max(at, b.At+b.TimeTo(100))
		}
		return at - o.Measurements.Broadcasts[0].At
	}
	if a, b := last(one), last(many); b > 2*a {
		t.Errorf("two posts take %s, twenty %s", a, b)
	}
}

// Two logs share a shard by turns: a short sweep does not wait for a long one to be over.
func TestSweepsTakeTurns(t *testing.T) {
	s := modeltest.Small(t, "subscribers: 4000", "subscribers: 40000\n  channels: 4000\n  attachPerSession: 1\nchatter: {ratePerSecond: 100, arrivals: constant}")
	out := play(t, inputOf(t, s))
	b := out.Measurements.Broadcasts[0]
	if b.TimeTo(100) < 60*time.Millisecond {
		t.Fatalf("the broadcast takes %s, so nothing had to wait", b.TimeTo(100))
	}
	for _, tally := range out.Measurements.Blocks {
		if tally.Name == "chatter from 0s" && tally.Latency.Percentile(99.9) > b.TimeTo(100)/2 {
			t.Errorf("chatter waits up to %s for a broadcast of %s", tally.Latency.Percentile(99.9), b.TimeTo(100))
		}
	}
}

// Shared cores: four shards divide what one would have alone, and receiving costs too.
func TestSharedCoresAreShared(t *testing.T) {
	last := func(model string) time.Duration {
		return play(t, inputOf(t, modeltest.Small(t, "shards: 4, coresPerShard: 2", model))).Measurements.Broadcasts[0].TimeTo(100)
	}
	own, shared, wide := last("shards: 4, coresPerShard: 2"), last("shards: 4, coresPerShard: 2, sharedCores: 2"), last("shards: 4, coresPerShard: 2, sharedCores: 8.5")
	// 4,000 × (13.1 + 11) µs is 96 ms on one core: less than that, since there are two, and more than half of it, since processes are there, and pings, and
	// one thread reads.
	if shared < 50*time.Millisecond || shared > 96*time.Millisecond {
		t.Errorf("shared: %s", shared)
	}
	if own*4 > shared || wide > shared {
		t.Errorf("own cores %s, 2 shared %s, 8.5 shared %s", own, shared, wide)
	}
}

func TestPlacesAreDrawnAsGiven(t *testing.T) {
	s := modeltest.Small(t, "subscribers: 4000", "subscribers: 4000\n  places: [{name: near, share: 0.75, roundTrip: 20ms, roundTripP99: 40ms}, {name: far, share: 0.25, roundTrip: 2s, roundTripP99: 4s}]")
	p := placesOf(s)
	h := measure.NewHistogram()
	near := 0
	in := newEngine(inputOf(t, s), newBook(inputOf(t, s), 0))
	const n = 400_000
	for range n {
		d := p.draw(in.network.Uint64())
		if h.Record(d); d < 200*time.Millisecond {
			near++
		}
	}
	if share := float64(near) / n; math.Abs(share-0.75) > 0.005 {
		t.Errorf("%g are near", share)
	}
	for pct, want := range map[float64]time.Duration{37.5: 10 * time.Millisecond, 74.25: 20 * time.Millisecond, 87.5: time.Second, 99.75: 2 * time.Second} {
		if got := h.Percentile(pct); math.Abs(float64(got)/float64(want)-1) > 0.05 {
			t.Errorf("p%g is %s, want %s", pct, got, want)
		}
	}
	if h.Max() < 3*time.Second {
		t.Errorf("the farthest of %d is at %s: the tail is missing", n, h.Max())
	}
}

func TestAFleetOfNothingIsRefused(t *testing.T) {
	in := inputOf(t, modeltest.Small(t))
	in.Fleet.Shards = 0
	if _, err := Play(in); err == nil {
		t.Error("it was played")
	}
}

// Every shipped scenario can be played, and loses nothing. Those of a month and of millions are in the benchmark; with the race detector they take minutes.
func TestShippedScenariosCanBePlayed(t *testing.T) {
	files, err := filepath.Glob("../../../scenarios/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		s, err := scenario.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains([]string{"trillion-month", "broadcast-2.5m", "election-surge", "slow-readers", "soak"}, s.Name) {
			continue
		}
		if s.Target.Local == nil && s.Target.Model == nil {
			s.Target.Local = &v1alpha1.LocalFleet{Stores: 3, Shards: 2, Partitions: 16, Replicas: 3}
		}
		in := inputOf(t, s)
		in.Brief = true
		if d := play(t, in).Measurements.Deliveries; d.Expected == 0 || d.Lost != 0 || d.Expected != d.Delivered {
			t.Errorf("%s: %d expected, %d delivered, %d lost", file, d.Expected, d.Delivered, d.Lost)
		}
	}
}
