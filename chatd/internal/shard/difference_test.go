package shard_test

import (
	"context"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// wantDifference checks the kind, the positions of the events, and the cursor of a difference.
func wantDifference(t *testing.T, what string, d *chatv1.DifferenceResponse, kind chatv1.DifferenceResponse_Kind, first, last, cursor uint64) {
	t.Helper()
	if d.GetKind() != kind || d.GetCursor().GetPts() != cursor {
		t.Errorf("%s: %v with the cursor %v, want %v and %d", what, d.GetKind(), d.GetCursor(), kind, cursor)
		return
	}
	want := first
	for _, e := range d.GetEvents() {
		if e.GetPts() != want || e.GetEpoch() != d.GetCursor().GetEpoch() || e.GetLog() != d.GetCursor().GetLog() || e.GetContent() == nil {
			t.Errorf("%s: the event %v where %d should be", what, e, want)
			return
		}
		want++
	}
	if want != last+1 {
		t.Errorf("%s: events up to %d, want %d", what, want-1, last)
	}
}

const (
	empty   = chatv1.DifferenceResponse_KIND_EMPTY
	part    = chatv1.DifferenceResponse_KIND_SLICE
	final   = chatv1.DifferenceResponse_KIND_FINAL
	tooLong = chatv1.DifferenceResponse_KIND_TOO_LONG
)

func TestDifference(t *testing.T) {
	for name, attached := range map[string]bool{"of a log that is open": true, "of one that is not": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(c *shard.Config) {
				c.RingEvents, c.SeedEvents, c.DifferenceEvents, c.TooLongAfter, c.TooLongEvents = 50, 50, 30, 150, 20
			}, func(r *rig) {
				log := r.stores.create("ann", channel)
				r.stores.post("ann", log, 199)
				if attached {
					r.readers(1, log)
				}
				d, _ := r.signIn("bob")
				for _, c := range []struct {
					name         string
					epoch, limit uint32
					pts          uint64
					kind         chatv1.DifferenceResponse_Kind
					first, last  uint64
					cursor       uint64
				}{
					{"at the head", 1, 0, 200, empty, 1, 0, 200},
					{"one behind", 1, 0, 199, final, 200, 200, 200},
					{"a limit that is reached exactly", 1, 5, 195, final, 196, 200, 200},
					{"a limit", 1, 5, 190, part, 191, 195, 195},
					{"a limit above the server's", 1, 1 << 31, 160, part, 161, 190, 190},
					{"before the ring", 1, 0, 100, part, 101, 130, 130},
					{"as far as may be", 1, 0, 50, part, 51, 80, 80},
					{"too far", 1, 0, 49, tooLong, 181, 200, 200},
					{"too far, of which little is wanted", 1, 3, 49, tooLong, 198, 200, 200},
					{"another epoch", 2, 0, 199, tooLong, 181, 200, 200},
					{"no cursor", 0, 0, 0, tooLong, 181, 200, 200},
					{"beyond the head", 1, 0, 201, tooLong, 181, 200, 200},
				} {
					got := d.difference(log, c.epoch, c.pts, c.limit).GetDifference()
					wantDifference(t, c.name, got, c.kind, c.first, c.last, c.cursor)
					if c.kind == tooLong && (got.GetInfo().GetPts() != 200 || got.GetInfo().GetOwner() != "ann" || got.GetCursor().GetEpoch() != 1) {
						t.Errorf("%s: the state is %v", c.name, got.GetInfo())
					}
					overHTTP, flt := r.shard.Difference(context.Background(), "bob", &chatv1.DifferenceRequest{Cursor: at(log, c.epoch, c.pts), Limit: c.limit})
					if flt != nil {
						t.Fatalf("%s, over HTTP: %v", c.name, flt)
					}
					wantDifference(t, c.name+", over HTTP", overHTTP, c.kind, c.first, c.last, c.cursor)
				}
			})
		})
	}
}

func TestDifferenceFromTheRingAsksNobody(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 50)
		d, _ := r.signIn("bob", none(log))
		before := r.stores.asked("fetch")
		wantDifference(t, "from the ring", d.difference(log, 1, 1, 0).GetDifference(), final, 2, 51, 51)
		if got := r.stores.asked("fetch") - before; got != 0 {
			t.Errorf("%d fetches, want none", got)
		}
		// Over HTTP the owner is asked: who has no session is not told later what the ring lacks.
		r.stores.set(func(s *stores) { s.fate = func(string, uint64) fate { return lose } })
		r.stores.post("ann", log, 1)
		got, _ := r.shard.Difference(context.Background(), "bob", &chatv1.DifferenceRequest{Cursor: at(log, 1, 51)})
		wantDifference(t, "over HTTP", got, final, 52, 52, 52)
	})
}

// Many sessions that are behind by the same cost one fetch.
func TestDifferencesThatAreTheSameShareAFetch(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RingEvents, c.SeedEvents = 5, 5 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 99)
		readers := r.readers(40, log)
		before := r.stores.asked("fetch")
		r.stores.set(func(s *stores) { s.delay = 100 * time.Millisecond })
		var answers []<-chan *chatv1.ServerFrame
		for _, d := range readers {
			answers = append(answers, d.begin(differenceOf(log, 1, 40, 0)))
		}
		for _, a := range answers {
			wantDifference(t, "shared", (<-a).GetDifference(), final, 41, 100, 100)
		}
		if got := r.stores.asked("fetch") - before; got != 1 {
			t.Errorf("%d fetches for 40 sessions, want 1", got)
		}
	})
}

// A session that was told of an event gets it by a difference, though another's question began before it was there.
func TestASharedDifferenceIsNotOlderThanWhatTheShardKnows(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RingEvents, c.SeedEvents = 2, 2 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 9)
		readers := r.readers(2, log)
		r.stores.set(func(s *stores) { s.back = time.Second })
		early := readers[0].begin(differenceOf(log, 1, 1, 0))
		time.Sleep(900 * time.Millisecond)
		r.stores.post("ann", log, 1)
		time.Sleep(50 * time.Millisecond)
		second := readers[1].begin(differenceOf(log, 1, 1, 0))
		wantDifference(t, "the second", (<-second).GetDifference(), final, 2, 11, 11)
		wantDifference(t, "the first", (<-early).GetDifference(), final, 2, 10, 10)
	})
}
