package model

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model/modeltest"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// casesInput plays some posts on the small fleet, in place of what its scenario posts.
func casesInput(t testing.TB, cases ...Case) Input {
	in := inputOf(t, modeltest.Small(t))
	in.Calibration = certain(in.Calibration)
	in.Cases = cases
	return in
}

// burst is n posts at once, in as many logs, each with so many readers, which are one broadcast.
func burst(n, readers int) Case {
	c := Case{Name: "burst"}
	for i := range n {
		c.Posts = append(c.Posts, schedule.Post{Due: time.Second, Log: 1 + i, Bytes: 200, DeliverWithin: time.Second, Readers: readers})
	}
	return c
}

// A post goes to as many as it says, wherever they are, and all of a case comes to what its posts come to.
func TestCasesAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var cases []Case
		want := make([]int64, 2)
		for k := range want {
			var c Case
			for i := range rapid.IntRange(1, 30).Draw(rt, "posts") {
				readers := rapid.IntRange(1, 4000).Draw(rt, "readers")
				broadcast := rapid.IntRange(-1, 1).Draw(rt, "broadcast")
				c.Posts = append(c.Posts, schedule.Post{Due: time.Duration(i) * 100 * time.Millisecond, Log: 1 + i, Bytes: 200, Broadcast: broadcast, DeliverWithin: time.Second, Readers: readers})
				want[k] += int64(readers)
			}
			cases = append(cases, c)
		}
		out := play(t, casesInput(t, cases...))
		d := out.Measurements.Deliveries
		if d.Expected != want[0]+want[1] || d.Delivered != d.Expected || d.Lost != 0 || d.Latency.Count() != d.Delivered {
			rt.Fatalf("%+v, want %d delivered", d, want)
		}
		for k, c := range out.Cases {
			if c.Deliveries != want[k] || c.Latency.Count() != want[k] || c.BusiestSecond > want[k] {
				rt.Fatalf("case %d: %+v, want %d", k, c, want[k])
			}
		}
		var recipients, posted int64
		for _, b := range out.Measurements.Broadcasts {
			recipients += b.Recipients
			if b.Recipients != b.Latency.Count() {
				rt.Fatalf("a broadcast to %d came to %d", b.Recipients, b.Latency.Count())
			}
		}
		groups := 0
		for _, c := range cases {
			var seen []int
			for _, p := range c.Posts {
				if p.Broadcast != schedule.NoBroadcast {
					posted += int64(p.Readers)
					if !slices.Contains(seen, p.Broadcast) {
						seen = append(seen, p.Broadcast)
					}
				}
			}
			groups += len(seen)
		}
		if recipients != posted || len(out.Measurements.Broadcasts) != groups {
			rt.Fatalf("%d broadcasts to %d, want %d to %d", len(out.Measurements.Broadcasts), recipients, groups, posted)
		}
	})
}

// What many posts at once ask of their owners has to wait: so many copies take as long as the processors of the stores need for them.
func TestABurstWaitsForItsCopies(t *testing.T) {
	const posts = 1000
	last := func(micros float64) time.Duration {
		in := casesInput(t, burst(posts, 4))
		in.Calibration = in.Calibration.Moved(calibration.Copy, (micros-in.Calibration.Get(calibration.Copy).Value)/in.Calibration.Get(calibration.Copy).StandardError)
		return play(t, in).Measurements.Broadcasts[0].TimeTo(100)
	}
	cheap, dear := last(5), last(505)
	// Each post has a reader on each of 4 shards, and three stores have 2 cores each, 16 partitions: the busiest store owns 6 of them.
	want := 500 * time.Microsecond * posts * 4 * 6 / 16 / 2
	if got := dear - cheap; math.Abs(float64(got)/float64(want)-1) > 0.1 {
		t.Errorf("copies that take half a millisecond more make the burst %s longer (%s, %s), want about %s", got, cheap, dear, want)
	}
}

// A narrow network of an owner holds a burst up as well.
func TestABurstWaitsForTheNetworkOfItsOwners(t *testing.T) {
	in := casesInput(t, burst(1000, 4))
	in.Fleet.Network = 1_000_000
	// The busiest store sends 1,000 × 6/16 posts to 4 shards each, 320 bytes at a byte a microsecond.
	want := 1000 * 6 / 16 * 4 * 320 * time.Microsecond
	if got := play(t, in).Measurements.Broadcasts[0].TimeTo(100); math.Abs(float64(got)/float64(want)-1) > 0.1 {
		t.Errorf("the last after %s, want about %s", got, want)
	}
}

func TestTheBusiestSecondIsAnySecond(t *testing.T) {
	r := newRate(10 * time.Second)
	r.add(900*time.Millisecond, 3)  // in the same second as
	r.add(1800*time.Millisecond, 4) // this, and not as
	r.add(1900*time.Millisecond, 2) // this
	r.add(5*time.Second, 6)
	r.add(time.Hour, 1) // at the end
	r.add(-time.Second, 1)
	if got := r.busiest(); got != 7 {
		t.Errorf("%d in the busiest second, want 7", got)
	}
	var none rate
	if none.add(time.Second, 5); none.busiest() != 0 {
		t.Error("what is not kept has a busiest second")
	}
}

// What happened over time is that of the case which is shown.
func TestOneCaseIsShown(t *testing.T) {
	in := casesInput(t, burst(1, 10), burst(1, 20))
	in.Shown = 1
	out := play(t, in)
	if n := out.Series.Delivered.Total(); n != 20 {
		t.Errorf("%d deliveries over time, want 20", n)
	}
	if in.Brief = true; play(t, in).Series.Delivered != nil {
		t.Error("in brief something is kept over time")
	}
}
