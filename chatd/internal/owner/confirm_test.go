package owner_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// lagging reads from a replica that has the first so many events only, as often as told.
type lagging struct {
	*journal
	has   uint64
	times atomic.Int32
}

func (b *lagging) Tail(ctx context.Context, after uint64, visit func(uint64, []byte) error) (uint64, error) {
	if b.times.Add(-1) < 0 {
		return b.journal.Tail(ctx, after, visit)
	}
	for seq := after + 1; seq <= b.has; seq++ {
		event, _ := b.at(seq)
		if err := visit(seq, event); err != nil {
			return 0, err
		}
	}
	return max(after, b.has), nil
}

// A take-over that reads a replica which is behind, or finds nothing, knows all the same what the stream holds before it answers.
func TestTakeOverFromAReplicaBehind(t *testing.T) {
	for _, has := range []uint64{0, 1, 2} {
		p := newPartition()
		s := newShard()
		stop := lead(config(t, newJournal(p), s))
		for _, log := range []string{"g1", "g2", "g3"} {
			if r := s.request(t, createRequest("ann", log)); r.Error != nil {
				t.Fatal(r.Error)
			}
		}
		stop()
		p.mu.Lock()
		p.state[""] = p.state["none"] // the oldest checkpoint: none
		p.mu.Unlock()
		j := &lagging{journal: newJournal(p), has: has}
		j.times.Store(3)
		s = newShard()
		cfg, registry := config(t, j, s), prometheus.NewRegistry()
		cfg.Metrics = owner.NewMetrics(registry)
		stop = lead(cfg)
		for _, log := range []string{"g1", "g2", "g3"} {
			if r := s.request(t, postRequest("ann", log, 1)); r.Error != nil || r.Pts != 2 {
				t.Errorf("a replica with %d events: posting to %s: %v", has, log, r)
			}
		}
		stop()
		if n := termsEnded(t, registry); n > 0 {
			t.Errorf("a replica with %d events: %d terms began with less than the stream holds", has, n)
		}
		if left := j.times.Load(); left >= 0 {
			t.Errorf("a replica with %d events: it was asked %d times less than there was to see", has, left+1)
		}
	}
}

// What the owner before had on its way comes behind the tail that was read: the new one refuses nothing for not knowing it, and tells
// shards of it though nobody asks.
func TestAppendBehindTheTail(t *testing.T) {
	for _, asked := range []bool{true, false} {
		p := newPartition()
		late := newJournal(p)
		old := newShard()
		stop := lead(config(t, late, old))
		if r := old.request(t, createRequest("ann", "g1")); r.Error != nil {
			t.Fatal(r.Error)
		}
		late.hold.Lock()
		old.mu.Lock()
		ask := old.ask
		old.mu.Unlock()
		answered := make(chan *wire.OwnerReply, 1)
		ask(createRequest("ann", "g2"), func(r *wire.OwnerReply) { answered <- r })
		s := newShard()
		stopNew := lead(config(t, newJournal(p), s))
		// It leads, and knows g1.
		if r := s.request(t, fetchRequest("g1", 0, 1, false)); r.Error != nil {
			t.Fatal(r.Error)
		}
		late.hold.Unlock()
		if r := <-answered; r.Error != nil {
			t.Fatal("the append on its way was refused; the test has nothing to look at")
		}
		if asked {
			if r := s.request(t, postRequest("ann", "g2", 1)); r.Error != nil || r.Pts != 2 {
				t.Errorf("posting to what was acknowledged: %v", r)
			}
		}
		until(t, "a digest or an event of g2", func() bool {
			return asked || s.request(t, fetchRequest("g2", 0, 1, false)).GetError().GetCode() != chatv1.Error_CODE_NOT_FOUND
		})
		if !asked {
			p.mu.Lock()
			n := len(p.events)
			p.mu.Unlock()
			if n != 2 {
				t.Errorf("%d events", n)
			}
		}
		// What nobody can have created is refused as before, by a term that has appended and by one that has not.
		begun := time.Now()
		if r := s.request(t, postRequest("ann", "g9", 1)); r.GetError().GetCode() != chatv1.Error_CODE_NOT_FOUND {
			t.Errorf("posting to no log: %v after %v", r, time.Since(begun))
		}
		stop()
		stopNew()
	}
}
