package swarm

import (
	"testing"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm/chattest"
)

func TestSlowReadersAreAsManyAsWanted(t *testing.T) {
	for _, tt := range []struct {
		sessions, want int
		share          float64
	}{{1000, 0, 0}, {2000, 2, 0.001}, {1000, 100, 0.1}, {1000, 500, 0.5}, {999, 333, 1.0 / 3}, {1000, 750, 0.75}, {10, 10, 1}} {
		n, homes := 0, map[int]int{}
		for i := range tt.sessions {
			if readsSlowly(i, tt.share) {
				n++
				homes[route(i, 0, 4)]++
			}
		}
		if n != tt.want {
			t.Errorf("%d of %d sessions read slowly at %g, want %d", n, tt.sessions, tt.share, tt.want)
		}
		if n >= 100 && len(homes) != 4 {
			t.Errorf("at %g they begin at the shards %v alone", tt.share, homes)
		}
	}
}

// slowRig is ten sessions of which one never reads, and who that is.
func slowRig(t *testing.T) (r *rig, slow string) {
	r = newRig(t, 10)
	r.cfg.SlowShare = 0.1
	for i := range r.cfg.Sessions {
		if readsSlowly(i, r.cfg.SlowShare) {
			slow = userOf(i, 0)
		}
	}
	return r, slow
}

// Who does not read gets nothing, is no loss while it is so, and has everything once it reads.
func TestSlowReadersCatchUp(t *testing.T) {
	r, _ := slowRig(t)
	r.start()
	r.post(20)
	r.until("all others have it", func(c Counters) bool { return c.Delivered == 9*20 })
	res := r.finish(true)
	v := res.Verification
	if v.Lost != 0 || v.Expected != 9*20 || v.Slow != (SlowAccount{Expected: 20, Delivered: 20}) || res.Counters.Slow != 1 {
		t.Errorf("account %+v of %d slow readers", v, res.Counters.Slow)
	}
	if res.Latency.Count() != 9*20 {
		t.Errorf("%d deliveries are timed; those of the slow reader must not be", res.Latency.Count())
	}
}

// One that reads a little gets there by and by, and settling is not needed for it.
func TestSlowReadersReadAtTheirRate(t *testing.T) {
	r, _ := slowRig(t)
	r.cfg.SlowBytesPerSecond = 4000
	r.start()
	r.post(20)
	r.until("all have it", func(c Counters) bool { return c.Delivered == 10*20 })
	if res := r.finish(true); res.Verification.Slow != (SlowAccount{Expected: 20, Delivered: 20}) {
		t.Errorf("account %+v", res.Verification.Slow)
	}
}

// What a slow reader is told it will not get is no loss; what is kept back without a word is one.
func TestSlowReadersAreToldWhatTheyMiss(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind chatv1.DifferenceResponse_Kind
		want SlowAccount
	}{
		{"told", chatv1.DifferenceResponse_KIND_TOO_LONG, SlowAccount{Expected: 20, Delivered: 3, Told: 17}},
		{"not told", chatv1.DifferenceResponse_KIND_FINAL, SlowAccount{Expected: 20, Delivered: 3, Lost: 17}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, slow := slowRig(t)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				switch {
				case c.User != slow:
					c.Push(ev)
				case ev.GetPts() == 20:
					c.Send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{TooLong: &chatv1.TooLong{Log: "c1", Epoch: ev.GetEpoch(), Pts: 20}}})
				}
			}
			r.server.OnDifference = func(c *chattest.Conn, _ string, d *chatv1.DifferenceResponse) {
				if c.User == slow && len(d.GetEvents()) > 3 {
					d.Kind, d.Events = tt.kind, d.GetEvents()[len(d.GetEvents())-3:]
				}
			}
			r.start()
			r.post(20)
			res := r.finish(true)
			if v := res.Verification; v.Slow != tt.want || v.Lost != 0 || res.Counters.SlowTooLong != 1 {
				t.Errorf("account %+v, told %d times; want %+v", v, res.Counters.SlowTooLong, tt.want)
			}
		})
	}
}

// Sessions that are cut come back with what they have, each once, and the times of that are kept.
func TestCut(t *testing.T) {
	r := newRig(t, 200)
	r.cfg.Loops = 2
	r.start()
	r.post(5)
	r.until("all have it", func(c Counters) bool { return c.Delivered == 200*5 })
	var total int64
	for order, share := range []float64{0.25, 1} {
		n, err := r.swarm.Cut(t.Context(), order, share)
		if err != nil || share == 1 && n != 200 || share < 1 && (n < 20 || n > 90) {
			t.Fatalf("%d of 200 sessions were cut at %g, %v", n, share, err)
		}
		total += n
		r.post(5)
		r.until("all are back", func(c Counters) bool { return c.Aborted == total && c.AwayNow == 0 && c.SignedInNow == 200 })
	}
	res := r.finish(true)
	if v := res.Verification; v.Lost != 0 || v.Delivered != 200*15 || res.Counters.Duplicate != 0 {
		t.Errorf("account %+v, %d twice", v, res.Counters.Duplicate)
	}
	if res.Returns.Count() != total || res.Losses.Total() != total || res.SignIns.Total() != 200+total || res.LostForGood.Total() != 0 {
		t.Errorf("%d returns, %d losses, %d sign-ins, %d for good; %d sessions were cut",
			res.Returns.Count(), res.Losses.Total(), res.SignIns.Total(), res.LostForGood.Total(), total)
	}
	if longest := res.Waits.Longest(0, hangs); longest <= 0 || longest > res.Returns.Max()+signInUnit {
		t.Errorf("the longest wait is %s, the longest return %s", longest, res.Returns.Max())
	}
}

// Who is cut when nobody takes him back is away for good.
func TestCutForGood(t *testing.T) {
	r := newRig(t, 10)
	r.start()
	r.server.Close(r.cfg.Endpoints[0])
	if n, err := r.swarm.Cut(t.Context(), 1, 1); err != nil || n > 10 {
		t.Fatalf("%d, %v", n, err)
	}
	r.until("all are away", func(c Counters) bool { return c.AwayNow == 10 })
	if res := r.finish(false); res.LostForGood.Total() != 10 || res.Counters.AwayNow != 10 || res.Returns.Count() != 0 {
		t.Errorf("%d for good, %+v", res.LostForGood.Total(), res.Counters)
	}
}

// A slow reader that is woken has everything, and one that is let sleep again gets nothing more until the end.
func TestSlowReadersWake(t *testing.T) {
	r, _ := slowRig(t)
	r.start()
	r.post(5)
	r.until("all others have it", func(c Counters) bool { return c.Delivered == 9*5 })
	r.swarm.Wake(true)
	r.until("the slow one has it too", func(c Counters) bool { return c.Delivered == 10*5 })
	r.swarm.Wake(false)
	for awake := true; awake; time.Sleep(time.Millisecond) { // until a loop has noticed
		reads := r.swarm.Progress().Counters.Delivered
		r.post(1)
		r.until("the others have it", func(c Counters) bool { return c.Delivered >= reads+9 })
		time.Sleep(2 * publishEvery)
		awake = r.swarm.Progress().Counters.Delivered > reads+9
	}
	if res := r.finish(true); res.Verification.Slow.Delivered != int64(r.posts) || res.Verification.Lost != 0 {
		t.Errorf("%+v of %d posts", res.Verification.Slow, r.posts)
	}
}
