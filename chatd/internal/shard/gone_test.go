package shard_test

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
)

// Where events are gone, a difference says "too long" and brings what is there; history ends.
func TestADifferenceFromWhatIsGone(t *testing.T) {
	inBubble(t, func(c *shard.Config) {
		c.RingEvents, c.SeedEvents, c.DifferenceEvents, c.TooLongEvents = 16, 16, 30, 20
	}, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 99)
		r.stores.set(func(s *stores) { s.gone = 60 })
		d, _ := r.signIn("bob")
		for _, pts := range []uint64{0, 10, 45, 59} {
			wantDifference(t, "from what is gone", d.difference(log, 1, pts, 0).GetDifference(), tooLong, 81, 100, 100)
		}
		wantDifference(t, "from the oldest event", d.difference(log, 1, 60, 0).GetDifference(), part, 61, 90, 90)
		r.stores.set(func(s *stores) { s.gone = 95 })
		wantDifference(t, "with less than was to be brought", d.difference(log, 1, 1, 0).GetDifference(), tooLong, 96, 100, 100)
		if h := d.ask(historyOf(log, 1, 98, 10)).GetHistory(); len(h.GetEvents()) != 2 || h.GetEvents()[0].GetPts() != 96 {
			t.Errorf("the last page: %v, want 96 and 97", h)
		}
		if h := d.ask(historyOf(log, 1, 96, 10)).GetHistory(); h == nil || len(h.GetEvents()) != 0 {
			t.Errorf("the page behind it: %v, want none", h)
		}
		r.stores.set(func(s *stores) { s.gone = 100 })
		wantDifference(t, "with nothing left", d.difference(log, 1, 1, 0).GetDifference(), tooLong, 1, 0, 100)
		wantDifference(t, "at the head", d.difference(log, 1, 100, 0).GetDifference(), empty, 1, 0, 100)
	})
}

// A gap whose events have gone before they were fetched is said to be too long, and the log goes on; and a log without an event opens.
func TestAGapThatIsGoneIsSaid(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RingEvents, c.HealEvents = 100, 50 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(2, log)
		r.stores.set(func(s *stores) { s.fate = func(string, uint64) fate { return lose } })
		r.stores.post("ann", log, 20)
		r.stores.set(func(s *stores) { s.fate, s.gone = nil, 10 })
		r.stores.digest(nil)
		wantPushed(t, "a gap of which a part is gone", readers, log, []int{-21})
		r.stores.post("ann", log, 1)
		wantPushed(t, "the next event", readers, log, []int{-21, 22})

		other := r.stores.create("ann", channel)
		r.stores.post("ann", other, 5)
		late := r.readers(1, other)
		r.stores.set(func(s *stores) { s.gone = 6 })
		r.stores.post("ann", other, 1)
		wantPushed(t, "a log of which only the newest is there", late, other, []int{7})
	})
}
