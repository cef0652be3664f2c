package owner_test

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func historyRequest(log string, before uint64, limit uint32) *wire.OwnerRequest {
	return &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Fetch{Fetch: &wire.Fetch{Log: log, Newest: true, BeforePts: before, Limit: limit}}}
}

// bury makes a log of n events, each far from the one before it in the stream, as an owner writes them.
func bury(t *testing.T, p *partition, n int) {
	t.Helper()
	s := newShard()
	stop := lead(config(t, newJournal(p), s))
	s.request(t, createRequest("ann", "g1"))
	stop()
	template := new(wire.StoredEvent)
	if err := proto.Unmarshal(p.events[0], template); err != nil {
		t.Fatal(err)
	}
	var skip uint64
	for pts := uint64(2); pts <= uint64(n); pts++ {
		e := &wire.StoredEvent{Log: "g1", Pts: pts, Sender: "ann", TimeMs: template.TimeMs, RandomId: pts, Content: template.Content, Term: template.Term,
			PrevSeq: uint64(len(p.events)), SkipSeq: skip}
		data, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		p.events = append(p.events, data)
		if pts%64 == 0 {
			skip = uint64(len(p.events))
		}
	}
}

// A page is what was asked for, wherever it is; the first one far back costs the way down, and the next ones only themselves.
func TestHistory(t *testing.T) {
	const events = 400_000
	p, s := newPartition(), newShard()
	bury(t, p, events)
	j := newJournal(p)
	cfg := config(t, j, s)
	cfg.RecentBytes = 1 // everything is read from the stream
	stop := lead(cfg)
	defer stop()
	page := func(before uint64, limit uint32) (reads int64) {
		t.Helper()
		at := j.reads.Load()
		r := s.request(t, historyRequest("g1", before, limit))
		pts := positions(t, r)
		last := min(before-1, events)
		first := max(1, last+1-min(last, uint64(limit)))
		if r.Error != nil || r.Pts != events || uint64(len(pts)) != last+1-first || pts[0] != first || pts[len(pts)-1] != last {
			t.Fatalf("before %d: %d events, %v; want %d to %d", before, len(pts), r.Error, first, last)
		}
		return j.reads.Load() - at
	}
	s.request(t, fetchRequest("g1", events-1, 1, false)) // what is read of the state is no page
	if n := page(1001, 100); n > events/64+20 {
		t.Errorf("the first page far back took %d reads, %d events lie above it", n, events)
	}
	for before := uint64(901); before > 1; before -= 100 {
		if n := page(before, 100); n > 3 {
			t.Errorf("the page before %d, after the one behind it, took %d reads", before, n)
		}
	}
	for range 20 {
		if n := page(2+rand.Uint64N(events), 50); n > 1024/64+5 {
			t.Errorf("a page where one has come by took %d reads", n)
		}
	}
	if r := s.request(t, historyRequest("g1", 1, 10)); r.Error != nil || !r.MayRead || len(r.Events) > 0 {
		t.Errorf("before the first event: %v", r)
	}
	if r := s.request(t, historyRequest("g1", 1<<63, 3)); len(r.Events) != 3 {
		t.Errorf("before a position that there is not: %d events, want the newest 3", len(r.Events))
	}
	eve := historyRequest("g1", 500, 10)
	eve.User = "eve"
	if r := s.request(t, eve); r.MayRead || len(r.Events) > 0 {
		t.Errorf("a stranger: %v", r)
	}
	if r := s.request(t, historyRequest("g9", 500, 10)); r.Error.GetCode() != chatv1.Error_CODE_NOT_FOUND {
		t.Errorf("a log that is not there: %v", r)
	}
}
