package model

import (
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/model/modeltest"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// struck plays a fault under a steady load and returns what became of it.
func struck(t *testing.T, fault string, replace ...string) (verdict.Fault, Outcome) {
	t.Helper()
	replace = append(replace, "subscribers: 4000", "subscribers: 4000\n  channels: 64\n  attachPerSession: 1\nchatter: {ratePerSecond: 100, arrivals: constant}", "thresholds:", "faults: ["+fault+"]\nthresholds:")
	in := inputOf(t, modeltest.Small(t, replace...))
	in.Calibration = certain(in.Calibration)
	out := play(t, in)
	return out.Measurements.Faults[0], out
}

func around(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %s, want %s to %s", what, got, low, high)
	}
}

// The waits are those of the calibration, rounded up to when the shard asks again.
func TestStoresThatAreLost(t *testing.T) {
	c := calibrationtest.ByHand()
	takeOver, silence, starts := milliseconds(c.Get(calibration.TakeOver)), milliseconds(c.Get(calibration.Silence)), milliseconds(c.Get(calibration.ProcessStart))
	killed, out := struck(t, "{action: kill, target: store-leading, at: 6s, restartAfter: 1s}")
	around(t, "a store killed", killed.LongestAckWait, takeOver/2, 2*takeOver+askEvery)
	if out.Measurements.Posts.Unacknowledged != 0 || killed.Posts == 0 || !strings.Contains(killed.Role, "leads 6 of 16") && !strings.Contains(killed.Role, "leads 5 of 16") {
		t.Errorf("%+v", killed)
	}
	stopped, _ := struck(t, "{action: stop, target: store-leading, at: 6s, for: 4s}")
	around(t, "a store stopped", stopped.LongestAckWait, silence/2, 2*silence+askEvery)
	all, _ := struck(t, "{action: kill, target: all-stores, at: 6s, restartAfter: 2s}")
	around(t, "all stores", all.LongestAckWait, 2*time.Second+starts, 2*time.Second+starts+2*takeOver+askEvery)
}

// A shard that is gone: its sessions are back soon, on other shards, with all that was posted meanwhile; and the operator replaces it.
func TestAShardThatIsLost(t *testing.T) {
	f, out := struck(t, "{action: kill, target: shard-2, at: 6s}")
	if f.Sessions != 1000 || f.Processes[0] != "shard-2" {
		t.Errorf("%+v", f)
	}
	// At most three pauses (0.1, 0.2 and 0.4 s) and the sign-ins of a thousand sessions on three shards of two cores.
	around(t, "all back", f.LongestReturn, 100*time.Millisecond, time.Second)
	around(t, "replaced", f.BackAt-f.At, 8500*time.Millisecond, 8500*time.Millisecond)
	d := out.Measurements.Deliveries
	if d.Healed == 0 || d.Lost != 0 {
		t.Errorf("%d healed, %d lost", d.Healed, d.Lost)
	}
	if s := out.Measurements.Sessions; s.Dropped != 1000 || s.Away != 0 || s.Return.Count() != 1000 {
		t.Errorf("sessions %+v", s)
	}
	// What was posted while a session was away came late by as much.
	if f.LongestDeliveryWait < 50*time.Millisecond {
		t.Errorf("longest wait for a delivery %s", f.LongestDeliveryWait)
	}
}

// A zone that is lost takes a third of the shards and one store of three: the rest goes on, and everybody is back with everything.
func TestAZoneThatIsLost(t *testing.T) {
	f, out := struck(t, "{action: kill, target: zone-1, at: 6s}", "shards: 4, coresPerShard: 2", "shards: 6, zones: 3, coresPerShard: 2")
	if f.Role != "2 shards, 1 stores" || f.Sessions < 1330 || f.Sessions > 1340 {
		t.Errorf("%s, %d sessions", f.Role, f.Sessions)
	}
	around(t, "all back", f.LongestReturn, 100*time.Millisecond, 2*time.Second)
	around(t, "the longest wait for an acknowledgement", f.LongestAckWait, 100*time.Millisecond, time.Second)
	around(t, "replaced", f.BackAt-f.At, 8500*time.Millisecond, 8500*time.Millisecond)
	if d := out.Measurements.Deliveries; d.Lost != 0 || d.Expected != d.Delivered {
		t.Errorf("%d expected, %d delivered, %d lost", d.Expected, d.Delivered, d.Lost)
	}
	// Two of three stores are no majority any more when one is left.
	both, _ := struck(t, "{action: kill, target: zone-0, at: 6s}", "shards: 4, coresPerShard: 2", "shards: 4, zones: 2, coresPerShard: 2, podReplacement: 3s")
	around(t, "without a majority", both.LongestAckWait, 3*time.Second, 4*time.Second)
}

// In a storm nobody signs in faster than the cores allow, and who would wait too long is sent away and comes again.
func TestAStormIsAsLongAsItsSignIns(t *testing.T) {
	f, out := struck(t, "{action: cut, target: sessions, share: 1, at: 6s}", "subscribers: 4000", "subscribers: 4000", "shards: 4, coresPerShard: 2", "shards: 2, coresPerShard: 0.5")
	least := 4000 * milliseconds(calibrationtest.ByHand().Get(calibration.SignIn)) / 1000 // 690 µs each, on one core in all
	around(t, "all back", f.LongestReturn, least, 2*least)
	if got := out.Measurements.Sessions; got.Dialled <= 8000 {
		t.Errorf("%d dials: nobody was sent away", got.Dialled)
	}
	slow, _ := struck(t, "{action: cut, target: sessions, share: 1, at: 6s}", "shards: 4, coresPerShard: 2", "shards: 2, coresPerShard: 0.25")
	if slow.LongestReturn < f.LongestReturn*3/2 {
		t.Errorf("half of the cores: %s, all: %s", slow.LongestReturn, f.LongestReturn)
	}
}

// A shard that stands still delivers when it goes on.
func TestAShardThatStandsStill(t *testing.T) {
	f, out := struck(t, "{action: stop, target: shard-1, at: 4900ms, for: 2s}")
	around(t, "the longest wait", f.LongestDeliveryWait, 1900*time.Millisecond, 2500*time.Millisecond)
	if out.Measurements.Sessions.Dropped != 0 {
		t.Errorf("%d lost their connection", out.Measurements.Sessions.Dropped)
	}
}

// A share of the deliveries is later by the delay while it lasts, and nobody else's.
func TestDelaysAreOfAShare(t *testing.T) {
	f, _ := struck(t, "{action: delay, target: sessions, share: 0.25, at: 2s, for: 10s, delay: 300ms, jitter: 100ms}")
	d := f.Delay
	if d == nil || d.Sessions != 1000 || d.Far.Count() == 0 || d.Others.Count() < 2*d.Far.Count() {
		t.Fatalf("%+v", d)
	}
	around(t, "the shortest of the delayed", d.Far.Min(), 300*time.Millisecond, 310*time.Millisecond)
	around(t, "their median", d.Far.Percentile(50), 340*time.Millisecond, 375*time.Millisecond)
	around(t, "the longest of the others", d.Others.Max(), time.Millisecond, 100*time.Millisecond)
	around(t, "the longest of the same at other times", d.FarElse.Max(), time.Millisecond, 100*time.Millisecond)
}

// Who never comes back is away at the end, and what he was to get is lost.
func TestALastShardThatIsLost(t *testing.T) {
	in := inputOf(t, modeltest.Small(t, "shards: 4, coresPerShard: 2", "shards: 1", "thresholds:", "faults: [{action: kill, target: shard, at: 6s}]\nthresholds:"))
	in.Fleet.PodReplacement = 0 // Nobody looks after it.
	m := play(t, in).Measurements
	if m.Sessions.Away != 4000 || m.Faults[0].LongestReturn != measure.Never {
		t.Errorf("away %d, all back after %s", m.Sessions.Away, m.Faults[0].LongestReturn)
	}
	// The posts of 9 and 13 s find no shard, and are in no log: they are not acknowledged, and nobody missed them.
	if m.Posts.Unacknowledged != 2 || m.Deliveries.Lost != 0 || m.Deliveries.Expected != 8000 {
		t.Errorf("%d unacknowledged, deliveries %+v", m.Posts.Unacknowledged, m.Deliveries)
	}
}
