package owner_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// pruned is a partition in memory whose stream can lose its beginning; what is gone is kept for the test alone.
type pruned struct {
	*journal
	first *atomic.Uint64 // all owners' of the partition
}

func newPruned(p *partition, first *atomic.Uint64) *pruned { return &pruned{newJournal(p), first} }

func (j *pruned) Holds(context.Context) (owner.Holding, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	h := owner.Holding{First: j.first.Load(), Last: uint64(len(j.events))}
	for _, data := range j.events[h.First-1:] {
		h.Bytes += uint64(len(data))
	}
	return h, nil
}

func (j *pruned) Since(_ context.Context, at time.Time) (uint64, error) {
	for seq := j.first.Load(); ; seq++ {
		data, ok := j.at(seq)
		if !ok {
			return 0, nil
		}
		e := new(wire.StoredEvent)
		if err := proto.Unmarshal(data, e); err != nil || e.TimeMs >= at.UnixMilli() {
			return seq, err
		}
	}
}

func (j *pruned) Sizes(ctx context.Context, from uint64, n int) (events int, bytes uint64, err error) {
	err = j.Range(ctx, from, n, func(_ uint64, data []byte) { events, bytes = events+1, bytes+uint64(len(data)) })
	return events, bytes, err
}

func (j *pruned) Purge(_ context.Context, before uint64) error {
	j.hold.RLock()
	defer j.hold.RUnlock()
	for {
		first := j.first.Load()
		if before <= first || j.first.CompareAndSwap(first, before) {
			return nil
		}
	}
}

func (j *pruned) Tail(ctx context.Context, after uint64, visit func(uint64, []byte) error) (uint64, error) {
	return j.journal.Tail(ctx, max(after, j.first.Load()-1), visit)
}

func (j *pruned) At(ctx context.Context, seq uint64) ([]byte, error) {
	if seq < j.first.Load() {
		return nil, owner.ErrNotFound
	}
	return j.journal.At(ctx, seq)
}

func (j *pruned) Range(ctx context.Context, from uint64, n int, visit func(uint64, []byte)) error {
	return j.journal.Range(ctx, max(from, j.first.Load()), n, visit)
}

func firstOf() *atomic.Uint64 {
	first := new(atomic.Uint64)
	first.Store(1)
	return first
}

// until waits for a condition; one that never holds fails the test.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("not within 30 s: ", what)
		}
	}
}

// By size, as much stays as was asked for, and little more; by age, nothing goes that is younger. Nothing behind the checkpoint goes.
func TestRetention(t *testing.T) {
	const posts = 2000
	fill := func(t *testing.T, p *partition, first *atomic.Uint64, now func() time.Time) {
		t.Helper()
		s := newShard()
		cfg := config(t, newPruned(p, first), s)
		cfg.CheckpointEvents, cfg.Now = 1, now
		stop := lead(cfg)
		s.request(t, createRequest("ann", "g1"))
		for id := range uint64(posts) {
			post := postRequest("ann", "g1", id+1)
			if id < posts/4 { // the oldest are the largest
				post.GetPost().Message.Data = make([]byte, 1000)
			}
			s.request(t, post)
		}
		until(t, "a checkpoint at the end", func() bool { return p.checkpoint(t) == posts+1 })
		stop()
	}
	t.Run("by size", func(t *testing.T) {
		p, first := newPartition(), firstOf()
		fill(t, p, first, nil)
		j := newPruned(p, first)
		whole, _ := j.Holds(t.Context())
		for _, keep := range []uint64{whole.Bytes - 100_000, whole.Bytes / 2, 20_000, 1} {
			cfg := config(t, j, newShard())
			cfg.Retain = owner.Retention{Bytes: keep, Every: time.Millisecond}
			stop := lead(cfg)
			have := owner.Holding{}
			until(t, fmt.Sprint("a purge to ", keep), func() bool {
				have, _ = j.Holds(t.Context())
				return have.Bytes < keep+2000 || have.First == posts+1
			})
			time.Sleep(20 * time.Millisecond)
			if have, _ = j.Holds(t.Context()); have.Bytes < keep {
				t.Errorf("%d bytes stayed, %d were to", have.Bytes, keep)
			}
			stop()
		}
		if first.Load() != p.checkpoint(t) {
			t.Errorf("the first event is at %d, the checkpoint at %d: what is before it was to go, and nothing else", first.Load(), p.checkpoint(t))
		}
	})
	t.Run("by age", func(t *testing.T) {
		p, first := newPartition(), firstOf()
		begun := time.Now()
		var ticks atomic.Int64
		fill(t, p, first, func() time.Time { return begun.Add(time.Duration(ticks.Add(1)) * time.Second) })
		j := newPruned(p, first)
		last := new(wire.StoredEvent)
		if err := proto.Unmarshal(p.events[posts], last); err != nil {
			t.Fatal(err)
		}
		now := time.UnixMilli(last.TimeMs)
		cfg := config(t, j, newShard())
		cfg.Retain, cfg.Now = owner.Retention{Age: 500 * time.Second, Every: time.Millisecond}, func() time.Time { return now }
		stop := lead(cfg)
		defer stop()
		until(t, "a purge", func() bool { return first.Load() > 1 })
		time.Sleep(20 * time.Millisecond)
		for seq := first.Load() - 1; seq <= first.Load(); seq++ {
			e := new(wire.StoredEvent)
			if err := proto.Unmarshal(p.events[seq-1], e); err != nil {
				t.Fatal(err)
			}
			if old := e.TimeMs < now.Add(-500*time.Second).UnixMilli(); old != (seq < first.Load()) {
				t.Errorf("the event at %d is too old: %v; the first that stayed is at %d", seq, old, first.Load())
			}
		}
	})
}

// What is gone is said to be gone; what stays is answered as ever; positions go on.
func TestWhatIsGone(t *testing.T) {
	p, first, s := newPartition(), firstOf(), newShard()
	j := newPruned(p, first)
	cfg := config(t, j, s)
	cfg.RecentBytes, cfg.CheckpointEvents = 1, 1
	stop := lead(cfg)
	defer func() { stop() }()
	s.request(t, createRequest("ann", "quiet"))
	s.request(t, postRequest("ann", "quiet", 1))
	s.request(t, createRequest("ann", "g1"))
	for id := range uint64(999) {
		s.request(t, postRequest("ann", "g1", id+1))
	}
	until(t, "a checkpoint", func() bool { return p.checkpoint(t) == 1002 })
	if err := j.Purge(t.Context(), 503); err != nil { // position 501 of g1 is the first
		t.Fatal(err)
	}
	check := func(t *testing.T) {
		t.Helper()
		for _, test := range []struct {
			name        string
			req         *wire.OwnerRequest
			first, last uint64
			gone        bool
		}{
			{"all are gone", fetchRequest("g1", 10, 100, false), 0, 0, true},
			{"some are gone", fetchRequest("g1", 450, 100, false), 501, 550, true},
			{"the first is the oldest", fetchRequest("g1", 500, 10, false), 501, 510, false},
			{"none is gone", fetchRequest("g1", 900, 10, false), 901, 910, false},
			{"the newest", fetchRequest("g1", 0, 10, true), 991, 1000, false},
			{"the newest, and more than there are", fetchRequest("g1", 0, 500, true), 501, 1000, false},
			{"at the head", fetchRequest("g1", 1000, 10, false), 0, 0, false},
			{"a page", historyRequest("g1", 520, 10), 510, 519, false},
			{"the last page", historyRequest("g1", 505, 10), 501, 504, true},
			{"behind the last page", historyRequest("g1", 501, 10), 0, 0, true},
			{"far behind", historyRequest("g1", 70, 10), 0, 0, true},
			{"the newest of a log that is gone", fetchRequest("quiet", 0, 10, true), 0, 0, true},
			{"a difference of it", fetchRequest("quiet", 1, 10, false), 0, 0, true},
		} {
			r := s.request(t, test.req)
			pts := positions(t, r)
			if r.Error != nil || r.Gone != test.gone || !r.MayRead || r.Info.GetTitle() != "t" {
				t.Errorf("%s: %v, gone %v, want gone %v", test.name, r.Error, r.Gone, test.gone)
			}
			if len(pts) == 0 && test.first == 0 {
				continue
			}
			if len(pts) == 0 || pts[0] != test.first || pts[len(pts)-1] != test.last {
				t.Errorf("%s: %v, want %d to %d", test.name, pts, test.first, test.last)
			}
		}
	}
	check(t)
	stop()
	stop = lead(cfg)
	check(t)
	if r := s.request(t, postRequest("ann", "quiet", 2)); r.Error != nil || r.Pts != 3 {
		t.Errorf("a post to a log whose events are gone: %v, want position 3", r)
	}
	if r := s.request(t, fetchRequest("quiet", 0, 10, true)); fmt.Sprint(positions(t, r)) != "[3]" || !r.Gone {
		t.Errorf("its newest event: %v %v", positions(t, r), r.Gone)
	}
}

// A late repeat whose first try may be among what is gone is refused, and not taken for a new post.
func TestLateRepeatsEndWhereEventsAreGone(t *testing.T) {
	p, first, s := newPartition(), firstOf(), newShard()
	j := newPruned(p, first)
	begun := time.Now()
	var ticks atomic.Int64
	cfg := config(t, j, s)
	cfg.CheckpointEvents = 1
	cfg.Now = func() time.Time { return begun.Add(time.Duration(ticks.Add(1)) * 100 * time.Millisecond) }
	stop := lead(cfg)
	s.request(t, createRequest("ann", "g1"))
	sent := map[uint64]int64{}
	for id := uint64(1); id < 1000; id++ {
		sent[id] = cfg.Now().UnixMilli()
		s.request(t, postRequest("ann", "g1", id))
	}
	until(t, "a checkpoint", func() bool { return p.checkpoint(t) == 1000 })
	stop()
	if err := j.Purge(t.Context(), 501); err != nil {
		t.Fatal(err)
	}
	stop = lead(cfg)
	defer stop()
	late := func(id uint64, at int64) *wire.OwnerReply {
		req := postRequest("ann", "g1", id)
		req.GetPost().FirstSentMs = at
		return s.request(t, req)
	}
	if r := late(600, sent[600]); !r.Repeated || r.Pts != 601 {
		t.Errorf("a repeat of what is there: %v", r)
	}
	if r := late(200, sent[200]); r.Error.GetCode() != chatv1.Error_CODE_TOO_OLD {
		t.Errorf("a repeat of what is gone: %v, want TOO_OLD", r)
	}
	if r := late(5000, sent[700]); r.Error != nil || r.Repeated {
		t.Errorf("a late post that is none: %v", r)
	}
	if got := len(p.events); got != 1001 {
		t.Errorf("%d events, want one more than 1,000", got)
	}
}

// Owners come and go, some of them stopped while they append and purge, and others read a stream that has lost its beginning: every acknowledged
// post stays where it was acknowledged, and nothing behind a checkpoint goes.
func TestTakeOversWhileEventsGo(t *testing.T) {
	var gone uint64
	for history := range 60 {
		rnd := rand.New(rand.NewPCG(uint64(history), 3))
		p, first := newPartition(), firstOf()
		acked := sync.Map{} // log/id -> pts
		var id atomic.Uint64
		var holds []*pruned
		var stops []func()
		for range 4 {
			j, s := newPruned(p, first), newShard()
			cfg := config(t, j, s)
			cfg.CheckpointEvents, cfg.RecentBytes = 1+rnd.IntN(20), 1
			cfg.Retain = owner.Retention{Bytes: uint64(1 + rnd.IntN(2000)), Every: time.Millisecond}
			stop := lead(cfg)
			for range 10 + rnd.IntN(60) {
				log := fmt.Sprintf("g%d", rnd.IntN(3))
				if r := s.request(t, createRequest("ann", log)); r.Error != nil {
					t.Fatal(r.Error)
				}
				n := id.Add(1)
				r := s.request(t, postRequest("ann", log, n))
				if r.Error != nil {
					t.Fatalf("history %d: %v", history, r.Error)
				}
				acked.Store(fmt.Sprint(log, "/", n), r.Pts)
				if r := s.request(t, fetchRequest(log, uint64(rnd.IntN(int(r.Pts))), 10, rnd.IntN(2) == 0)); r.Error != nil {
					t.Fatalf("history %d: %v", history, r.Error)
				}
			}
			if rnd.IntN(2) == 0 { // stopped, and going on once the next ones lead
				j.hold.Lock()
				holds = append(holds, j)
				for range rnd.IntN(20) {
					s.mu.Lock()
					ask := s.ask
					s.mu.Unlock()
					if ask != nil {
						ask(postRequest("ann", "g0", id.Add(1)), func(*wire.OwnerReply) {})
					}
				}
				stops = append(stops, stop)
				continue
			}
			for _, h := range holds {
				h.hold.Unlock()
			}
			holds = nil
			time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
			stop()
		}
		for _, h := range holds {
			h.hold.Unlock()
		}
		for _, stop := range stops {
			stop()
		}
		if cp := p.checkpoint(t); first.Load() > max(cp, 1) {
			t.Fatalf("history %d: the first event is at %d, behind the checkpoint at %d", history, first.Load(), cp)
		}
		gone += first.Load() - 1
		stream := p.valid(t)
		acked.Range(func(key, pts any) bool {
			var log string
			var n uint64
			if _, err := fmt.Sscanf(key.(string), "g%1s/%d", &log, &n); err != nil {
				t.Fatal(err)
			}
			if got := stream.At("g"+log, pts.(uint64)); got != n {
				t.Errorf("history %d: %v was acknowledged at %d, where %d stands", history, key, pts, got)
			}
			return true
		})
		if t.Failed() {
			return
		}
	}
	if gone == 0 {
		t.Error("nothing was purged in any history")
	}
}

// stale is a journal whose first answers about the checkpoint come from a replica that is far behind.
type stale struct {
	*pruned
	old  owner.Revision
	left atomic.Int32
}

func (j *stale) State(ctx context.Context, log string) (snapshot, checkpoint owner.Revision, err error) {
	if log == "" && j.left.Add(-1) >= 0 {
		return owner.Revision{}, j.old, nil
	}
	return j.pruned.State(ctx, log)
}

// A take-over that begins before the first event reads again, and takes nothing for void that counts.
func TestATakeOverDoesNotBeginWhereEventsAreGone(t *testing.T) {
	p, first := newPartition(), firstOf()
	var old owner.Revision
	for term := range uint64(2) {
		j, s := newPruned(p, first), newShard()
		cfg := config(t, j, s)
		cfg.CheckpointEvents = 1
		stop := lead(cfg)
		s.request(t, createRequest("ann", "g1"))
		for id := range uint64(20) {
			s.request(t, postRequest("ann", "g1", 20*term+id+1))
		}
		until(t, "a checkpoint", func() bool { return p.checkpoint(t) == 20*term+21 })
		if term == 0 {
			old = p.state[""]
		} else {
			j.fails.Store(100) // what comes now is in no snapshot
			for id := range uint64(20) {
				s.request(t, postRequest("ann", "g1", 100+id))
			}
		}
		stop()
	}
	j := &stale{pruned: newPruned(p, first), old: old}
	j.left.Store(3)
	if err := j.Purge(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	s := newShard()
	stop := lead(config(t, j, s))
	defer stop()
	if r := s.request(t, postRequest("ann", "g1", 1000)); r.Error != nil || r.Pts != 62 || j.left.Load() > 0 {
		t.Errorf("a post: %v, want position 62; %d stale answers are left", r, j.left.Load())
	}
	if r := s.request(t, fetchRequest("g1", 0, 100, true)); len(r.Events) != 33 || !r.Gone {
		t.Errorf("%d events are there, gone %v; want 33, from position 30 on", len(r.Events), r.Gone)
	}
}
