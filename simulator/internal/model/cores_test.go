package model

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/model/modeltest"
)

func TestCoresAreDividedFairly(t *testing.T) {
	for name, tt := range map[string]struct {
		cores  float64
		crowds []crowd
		want   float64
	}{
		"alone":                                 {2, []crowd{{1, 1}}, 1},
		"as many as cores":                      {2, []crowd{{2, 1}}, 1},
		"twice as many":                         {2, []crowd{{4, 1}}, 0.5},
		"beside some who want little":           {2, []crowd{{3, 0.2}, {4, 1}}, 0.35},
		"who wants little gets less in a crowd": {2, []crowd{{10, 0.2}, {10, 1}}, 0.1},
		"nobody is there":                       {2, []crowd{{0, 0.2}}, 1},
		"little wanted by all":                  {2, []crowd{{3, 0.2}}, 1},
	} {
		if got := fair(tt.cores, tt.crowds...); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%s: %g of a core, want %g", name, got, tt.want)
		}
	}
}

// Pings come before what is to be written, and take half of a loop at most.
func TestPingsTakeHalfAtMost(t *testing.T) {
	for pings, want := range map[float64]float64{0: 0.8, 0.3: 0.5, 0.4: 0.4, 5: 0.4} {
		if got := afterPings(0.8, pings); math.Abs(got-want) > 1e-12 {
			t.Errorf("pings that want %g leave %g of 0.8, want %g", pings, got, want)
		}
	}
}

// Whoever wants what: no more is given than there is, all is given if it is wanted, and nobody who wants more gets less.
func TestNoMoreThanThereIs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cores := rapid.Float64Range(0.5, 64).Draw(rt, "cores")
		crowds := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) crowd {
			return crowd{float64(rapid.IntRange(0, 20).Draw(rt, "n")), rapid.Float64Range(0, 1).Draw(rt, "wants")}
		}), 1, 6).Draw(rt, "crowds")
		share := fair(cores, append([]crowd(nil), crowds...)...)
		given, wanted := 0.0, 0.0
		for _, c := range crowds {
			given += c.n * min(c.wants, share)
			wanted += c.n * c.wants
		}
		if given > cores+1e-9 {
			rt.Fatalf("%g of %g cores given", given, cores)
		}
		if want := min(wanted, cores); math.Abs(given-want) > 1e-9 {
			rt.Fatalf("%g given of %g wanted, of %g cores", given, wanted, cores)
		}
	})
}

// What processes use on shared cores is all that there is while they have work for all of it, and never more.
func TestNobodyUsesMoreThanTheMachineHas(t *testing.T) {
	for _, subscribers := range []string{"subscribers: 4000", "subscribers: 120000"} {
		in := inputOf(t, modeltest.Small(t, "shards: 4, coresPerShard: 2", "shards: 6, coresPerShard: 2, sharedCores: 2", "subscribers: 4000", subscribers))
		u := play(t, in).Use
		if used := u.Shards + u.Stores + u.Generator; used > 2*u.Over*101/100 || used < u.Over/10 {
			t.Errorf("%s: %s used of two cores in %s", subscribers, used, u.Over)
		}
	}
}

// Nothing is posted: each process uses what it takes for being there, and sessions' pings come on top.
func TestIdleFleetsUseWhatIdlingTakes(t *testing.T) {
	s := modeltest.Small(t, "shards: 4, coresPerShard: 2", "shards: 4, coresPerShard: 2, sharedCores: 4", "at: 1s, every: 4s, count: 4", "at: 19s, messageBytes: 200B")
	s.Broadcasts = nil
	in := inputOf(t, s)
	u := play(t, in).Use
	get := func(name calibration.Name) float64 { return in.Calibration.Get(name).Value }
	pings := 4000.0 / 20 / 1e6
	for name, tt := range map[string]struct {
		used time.Duration
		want float64
	}{
		"stores": {u.Stores, 3 * get(calibration.StoreIdle)}, "shards": {u.Shards, float64(4*get(calibration.ShardIdle)) + pings*(get(calibration.Ping)+get(calibration.Rouse))},
		"generator": {u.Generator, get(calibration.PosterIdle) + get(calibration.ReaderIdle) + pings*(get(calibration.PingRead)+get(calibration.RouseRead))},
	} {
		if got := tt.used.Seconds() / u.Over.Seconds(); math.Abs(got/tt.want-1) > 0.01 {
			t.Errorf("%s: %.4f cores, want %.4f", name, got, tt.want)
		}
	}
}

// A thread reads what many write: it cannot use more than one core, so more of them are quicker, and a delivery is when it is read.
func TestReadingIsPartOfIt(t *testing.T) {
	last := func(workers, cores string) time.Duration {
		s := modeltest.Small(t, "shards: 4, coresPerShard: 2", "shards: 4, coresPerShard: 2, sharedCores: "+cores, "phases:", "workers: {count: "+workers+"}\nphases:")
		in := inputOf(t, s)
		return play(t, in).Measurements.Broadcasts[0].TimeTo(100)
	}
	reading := 4000 * 11 * time.Microsecond // what one thread takes for it on a core of its own
	if one, four := last("1", "16"), last("4", "16"); one < reading || four > one-reading/3 {
		t.Errorf("with a thread that reads %s, with four %s", one, four)
	}
}

// On shared cores whatever breaks is accounted for as well.
func TestSharedCoresLoseNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fault := rapid.SampledFrom([]string{"{action: kill, target: shard, at: 3s, restartAfter: 1s}", "{action: stop, target: shard, at: 1s, for: 3s}", "{action: cut, target: sessions, share: 0.7, at: 1010ms}"}).Draw(rt, "fault")
		in := inputOf(t, modeltest.Small(t, "shards: 4, coresPerShard: 2", "shards: 4, coresPerShard: 2, sharedCores: 2",
			"subscribers: 4000", "subscribers: 1200\n  channels: 7\n  attachPerSession: 2\nchatter: {ratePerSecond: 40}", "thresholds:", "faults: ["+fault+"]\nthresholds:"))
		in.Seed = rapid.Uint64().Draw(rt, "seed")
		d := play(t, in).Measurements.Deliveries
		if d.Expected != d.Delivered || d.Lost != 0 || d.Expected == 0 {
			rt.Fatalf("%d expected, %d delivered, %d lost", d.Expected, d.Delivered, d.Lost)
		}
	})
}

// Acknowledgements wait for cores that a sweep keeps busy.
func TestAcknowledgementsWaitInLine(t *testing.T) {
	ack := func(sharing string) time.Duration {
		s := modeltest.Small(t, "shards: 4, coresPerShard: 2", "shards: 4, coresPerShard: 2"+sharing)
		in := inputOf(t, s)
		in.Calibration = certain(in.Calibration)
		return play(t, in).Measurements.Posts.Response.Percentile(50)
	}
	alone, shared := ack(""), ack(", sharedCores: 2")
	// A millisecond for each of seven threads beyond two cores, a core, for two who wake up.
	if waits := shared - alone; waits < 5*time.Millisecond || waits > 15*time.Millisecond {
		t.Errorf("alone %s, on shared cores %s", alone, shared)
	}
}

// Who is away does not ping.
func TestWhoIsAwayDoesNotPing(t *testing.T) {
	e := engine{signedIn: 1000, away: 400}
	if got := e.pings(0.001, 2); math.Abs(got-0.3) > 1e-12 {
		t.Errorf("%g of a core, want 0.3", got)
	}
}

// Who is sent to the shards that are left pings there, and what they write takes the longer.
func TestPingsComeWithTheirSessions(t *testing.T) {
	last := func(faults string) time.Duration {
		in := inputOf(t, modeltest.Small(t, "at: 1s, every: 4s, count: 4", "at: 8s", "thresholds:", faults+"thresholds:"))
		in.Calibration = certain(in.Calibration.Moved(calibration.Ping, 200))
		return play(t, in).Measurements.Broadcasts[0].TimeTo(100)
	}
	kill := func(shard string) string { return "  - {action: kill, target: shard-" + shard + ", at: 1s}\n" }
	c := calibrationtest.ByHand()
	pings := 4000 * c.Moved(calibration.Ping, 200).Get(calibration.Ping).Value / 1e6 / PingEvery.Seconds()
	each := c.Get(calibration.Write).Value * float64(time.Microsecond)
	for left, got := range map[float64]time.Duration{4: last(""), 1: last("faults:\n" + kill("0") + kill("1") + kill("2"))} {
		want := time.Duration(4000 * each / left / (2 - pings/left))
		if d := got - want; d < 0 || d > 8*time.Millisecond {
			t.Errorf("on %g shards it takes %s, its ramp alone %s", left, got, want)
		}
	}
}
