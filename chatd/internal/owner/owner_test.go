package owner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/owner/ownertest"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// partition is the two streams of a partition, in memory: what all owners of a test share, as they share the real ones.
type partition struct {
	mu     sync.Mutex
	events [][]byte // sequence 1 is events[0]
	state  map[string]owner.Revision
	writes uint64
	reads  atomic.Int64 // of events, and of stretches of them
}

func newPartition() *partition { return &partition{state: map[string]owner.Revision{}} }

func (p *partition) append(event []byte, after uint64) owner.Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	if uint64(len(p.events)) != after {
		return owner.Outcome{Err: fmt.Errorf("%w: last sequence is %d", owner.ErrRevision, len(p.events))}
	}
	p.events = append(p.events, event)
	return owner.Outcome{Seq: uint64(len(p.events))}
}

func (p *partition) at(seq uint64) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq == 0 || seq > uint64(len(p.events)) {
		return nil, false
	}
	return p.events[seq-1], true
}

// checkpoint is the sequence that the newest checkpoint names.
func (p *partition) checkpoint(t *testing.T) uint64 {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	c := new(wire.Checkpoint)
	if err := proto.Unmarshal(p.state[""].Data, c); err != nil {
		t.Fatal(err)
	}
	return c.Seq
}

// valid is what the stream amounts to, by a reader that shares no code with the owner.
func (p *partition) valid(t *testing.T) *ownertest.Stream {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := ownertest.Read(p.events)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// journal is one owner's access to a partition. Appends take a while, and may be held back, as when their process is stopped.
type journal struct {
	*partition
	delay func()
	// hold, while locked, keeps appends on their way from arriving.
	hold *sync.RWMutex
	// cut makes appends arrive without an outcome.
	cut atomic.Bool
	// slow, while locked, keeps reads of events from returning.
	slow sync.RWMutex
	// fails is how many of a hundred snapshots are not stored.
	fails atomic.Int32
}

func newJournal(p *partition) *journal {
	return &journal{partition: p, delay: func() {}, hold: new(sync.RWMutex)}
}

func (j *journal) Appender() (owner.Appender, error) {
	a := &appender{j: j, sent: make(chan sent, 4096), outcomes: make(chan owner.Outcome, 4096)}
	go a.deliver()
	return a, nil
}

type sent struct {
	event []byte
	after uint64
}

type appender struct {
	j        *journal
	sent     chan sent
	outcomes chan owner.Outcome
}

func (a *appender) Append(_ string, event []byte, after uint64) error {
	a.sent <- sent{event, after}
	return nil
}

// deliver brings appends to the partition one by one; also those that were on their way when the owner closed.
func (a *appender) deliver() {
	for s := range a.sent {
		a.j.delay()
		a.j.hold.RLock()
		out := a.j.append(s.event, s.after)
		a.j.hold.RUnlock()
		if !a.j.cut.Load() {
			select {
			case a.outcomes <- out:
			default:
			}
		}
	}
}

func (a *appender) Outcomes() <-chan owner.Outcome { return a.outcomes }
func (a *appender) Close()                         { close(a.sent) }

func (j *journal) Tail(_ context.Context, after uint64, visit func(uint64, []byte) error) (uint64, error) {
	for seq := after + 1; ; seq++ {
		event, ok := j.at(seq)
		if !ok {
			return seq - 1, nil
		}
		if err := visit(seq, event); err != nil {
			return 0, err
		}
	}
}

func (j *journal) Last(context.Context) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return uint64(len(j.events)), nil
}

func (j *journal) At(_ context.Context, seq uint64) ([]byte, error) {
	event, ok := j.at(seq)
	if !ok {
		return nil, owner.ErrNotFound
	}
	j.reads.Add(1)
	j.slow.RLock()
	defer j.slow.RUnlock()
	return event, nil
}

func (j *journal) Range(_ context.Context, from uint64, n int, visit func(uint64, []byte)) error {
	j.reads.Add(1)
	j.slow.RLock()
	defer j.slow.RUnlock()
	for seq := from; seq < from+uint64(n); seq++ {
		if event, ok := j.at(seq); ok {
			visit(seq, event)
		}
	}
	return nil
}

func (j *journal) State(_ context.Context, log string) (snapshot, checkpoint owner.Revision, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if log != "" {
		snapshot = j.state[log]
	}
	return snapshot, j.state[""], nil
}

func (j *journal) PutState(_ context.Context, log string, replaces uint64, data []byte) (uint64, error) {
	j.hold.RLock()
	defer j.hold.RUnlock()
	if rand.Int32N(100) < j.fails.Load() {
		return 0, errors.New("not stored in time")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state[log].Number != replaces {
		return 0, owner.ErrRevision
	}
	j.writes++
	j.state[log] = owner.Revision{Data: data, Number: j.writes}
	return j.writes, nil
}

// shard collects what owners announce, and asks them.
type shard struct {
	mu      sync.Mutex
	live    map[string][]uint64
	digests []*wire.Digest
	others  func(context.Context, int, *wire.OwnerRequest) (*wire.OwnerReply, error)
	ask     func(*wire.OwnerRequest, func(*wire.OwnerReply))
}

func newShard() *shard { return &shard{live: map[string][]uint64{}} }

func (s *shard) Live(log string, event []byte) {
	e := new(wire.StoredEvent)
	if err := proto.Unmarshal(event, e); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[log] = append(s.live[log], e.Pts)
}

func (s *shard) Digest(d *wire.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests = append(s.digests, d)
}

func (s *shard) Ask(ctx context.Context, partition int, req *wire.OwnerRequest) (*wire.OwnerReply, error) {
	if s.others == nil {
		return nil, errors.New("there is no other partition")
	}
	return s.others(ctx, partition, req)
}

func (s *shard) Listen(ask func(*wire.OwnerRequest, func(*wire.OwnerReply))) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask = ask
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ask = nil
	}, nil
}

// request asks until there is an answer, as a shard does.
func (s *shard) request(t *testing.T, req *wire.OwnerRequest) *wire.OwnerReply {
	t.Helper()
	answers := make(chan *wire.OwnerReply, 16)
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; {
		s.mu.Lock()
		ask := s.ask
		s.mu.Unlock()
		wait := 5 * time.Millisecond
		if ask != nil {
			wait = 250 * time.Millisecond
			ask(req, func(r *wire.OwnerReply) {
				select {
				case answers <- r:
				default:
				}
			})
		}
		select {
		case r := <-answers:
			return r
		case <-time.After(wait):
		}
	}
	t.Error("no answer")
	return &wire.OwnerReply{Error: &chatv1.Error{Message: "no answer"}}
}

func config(t *testing.T, j owner.Journal, l owner.Link) owner.Config {
	return owner.Config{
		Epoch: 7, Journal: j, Link: l, Metrics: owner.NewMetrics(prometheus.NewRegistry()),
		Logger:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
		DigestEvery: 5 * time.Millisecond, AckTimeout: 100 * time.Millisecond,
	}
}

// lead runs an owner until the returned function is called, which waits for its end.
func lead(cfg owner.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		owner.New(cfg).Lead(ctx, func(bool) {})
	}()
	return func() { cancel(); <-done }
}

func createRequest(user, log string) *wire.OwnerRequest {
	return &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Create{Create: &wire.Create{
		Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_GROUP, Title: "t", RandomId: 1}}}}
}

func postRequest(user, log string, id uint64) *wire.OwnerRequest {
	return &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Post{Post: &chatv1.PostRequest{
		Log: log, RandomId: id, Message: &chatv1.Message{Text: fmt.Sprint(id)}}}}
}

func fetchRequest(log string, after uint64, limit uint32, newest bool) *wire.OwnerRequest {
	return &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Fetch{Fetch: &wire.Fetch{Log: log, AfterPts: after, Limit: limit, Newest: newest}}}
}

func positions(t *testing.T, r *wire.OwnerReply) (pts []uint64) {
	t.Helper()
	for _, data := range r.Events {
		e := new(wire.StoredEvent)
		if err := proto.Unmarshal(data, e); err != nil {
			t.Fatal(err)
		}
		pts = append(pts, e.Pts)
	}
	return pts
}

// What one owner wrote, the next one knows: states, positions, repeats and events, whatever the checkpoints between.
func TestTakeOver(t *testing.T) {
	for _, checkpoint := range []int{1, 7, 1 << 20} {
		t.Run(fmt.Sprintf("checkpoint every %d events", checkpoint), func(t *testing.T) {
			p := newPartition()
			for term := range uint64(5) {
				s := newShard()
				cfg := config(t, newJournal(p), s)
				cfg.CheckpointEvents, cfg.MaxStates = checkpoint, 2
				stop := lead(cfg)
				for _, log := range []string{"g1", "g2", "g3"} {
					if r := s.request(t, createRequest("ann", log)); r.Error != nil || r.Repeated != (term > 0) {
						t.Fatalf("term %d creates %s: %v", term, log, r)
					}
					for id := range uint64(20) {
						r := s.request(t, postRequest("ann", log, 20*term+id+1))
						if want := 20*term + id + 2; r.Error != nil || r.Pts != want || r.Repeated || r.Epoch != 7 {
							t.Fatalf("term %d posts %d to %s: %v; want position %d", term, id, log, r, want)
						}
					}
					if r := s.request(t, postRequest("ann", log, 3)); !r.Repeated || r.Pts != 4 {
						t.Fatalf("term %d repeats a post: %v; want position 4", term, r)
					}
				}
				time.Sleep(20 * time.Millisecond) // some digests, so that some terms have checkpoints behind them and some have not
				stop()
			}
			if logs := p.valid(t).Logs; len(logs["g1"]) != 101 || len(logs["g3"]) != 101 {
				t.Errorf("the stream holds %d and %d events, want 101 each", len(logs["g1"]), len(logs["g3"]))
			}
			if checkpoint == 1 && p.state[""].Data == nil {
				t.Error("no checkpoint was written")
			}
		})
	}
}

// A stopped owner that goes on, with appends on their way and another owner writing meanwhile, adds nothing that the other does
// not know of: every acknowledged post is in the log once, at the position that was acknowledged, and there are no holes.
func TestStoppedOwnerIsFenced(t *testing.T) {
	type ackedPost struct {
		log string
		id  uint64
	}
	voids := 0
	for history := range 100 {
		rnd := rand.New(rand.NewPCG(uint64(history), 1))
		p := newPartition()
		oldJournal, newJournal := newJournal(p), newJournal(p)
		oldShard, newShard := newShard(), newShard()
		cfg := config(t, oldJournal, oldShard)
		cfg.CheckpointEvents = 1 + rnd.IntN(20)
		stopOld := lead(cfg)
		for _, log := range []string{"g1", "g2"} {
			if r := oldShard.request(t, createRequest("ann", log)); r.Error != nil {
				t.Fatal(r.Error)
			}
		}

		acked := sync.Map{} // ackedPost -> pts
		var id atomic.Uint64
		post := func(s *shard, n int) {
			for range n {
				log, id := fmt.Sprintf("g%d", 1+rnd.IntN(2)), id.Add(1)
				s.mu.Lock()
				ask := s.ask
				s.mu.Unlock()
				if ask == nil {
					continue
				}
				ask(postRequest("ann", log, id), func(r *wire.OwnerReply) {
					if r.Error == nil {
						acked.Store(ackedPost{log, id}, r.Pts)
					}
				})
			}
		}
		post(oldShard, rnd.IntN(30))
		time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond)
		// The old owner is stopped: what it has sent is on its way, what it sends stays there.
		oldJournal.hold.Lock()
		post(oldShard, 1+rnd.IntN(30))
		time.Sleep(time.Duration(rnd.IntN(2)) * time.Millisecond)
		newCfg := config(t, newJournal, newShard)
		newCfg.CheckpointEvents = 1 + rnd.IntN(20)
		stopNew := lead(newCfg)
		for range rnd.IntN(4) {
			if r := newShard.request(t, postRequest("ann", "g1", id.Add(1))); r.Error != nil {
				t.Fatalf("history %d: %v", history, r.Error)
			}
		}
		oldJournal.hold.Unlock() // it goes on, not knowing
		post(oldShard, rnd.IntN(10))
		post(newShard, rnd.IntN(10))
		time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
		stopOld()
		for range 5 {
			if r := newShard.request(t, postRequest("ann", "g2", id.Add(1))); r.Error != nil {
				t.Fatalf("history %d: %v", history, r.Error)
			}
		}
		stopNew()

		stream := p.valid(t)
		voids += stream.Voids
		acked.Range(func(key, pts any) bool {
			post := key.(ackedPost)
			if got := stream.At(post.log, pts.(uint64)); got != post.id {
				t.Errorf("history %d: %v was acknowledged at %d, where %d stands", history, post, pts, got)
			}
			return true
		})
		if t.Failed() {
			return
		}
	}
	if voids == 0 {
		t.Error("no event was written out of turn in any history: the chain was not put to the test")
	}
}

// An append without an outcome is neither answered nor forgotten: its repeat finds it.
func TestUnknownOutcome(t *testing.T) {
	p, s := newPartition(), newShard()
	j := newJournal(p)
	stop := lead(config(t, j, s))
	defer stop()
	s.request(t, createRequest("ann", "g1"))
	j.cut.Store(true)
	time.AfterFunc(150*time.Millisecond, func() { j.cut.Store(false) })
	if r := s.request(t, postRequest("ann", "g1", 5)); r.Error != nil || r.Pts != 2 || !r.Repeated {
		t.Errorf("the repeat of a post whose outcome was lost: %v; want position 2, repeated", r)
	}
	if events := p.valid(t).Logs["g1"]; len(events) != 2 {
		t.Errorf("the log has %d events, want 2", len(events))
	}
}

// Few ids of posts are remembered, of many logs: the repeat of any post is known for one, from memory or from the stream.
func TestRepeatsOfWhatIsForgotten(t *testing.T) {
	const logs, posts = 5, 60
	p, s := newPartition(), newShard()
	cfg := config(t, newJournal(p), s)
	cfg.MaxRemembered, cfg.DigestEvery = 40, time.Millisecond
	began := time.Now().UnixMilli()
	stop := lead(cfg)
	defer stop()
	name := func(log int) string { return fmt.Sprint("g", log) }
	for log := range logs {
		s.request(t, createRequest("ann", name(log)))
	}
	check := func(id uint64, log int, repeated bool) {
		t.Helper()
		r := postRequest("ann", name(log), id+1)
		if repeated {
			r.GetPost().FirstSentMs = began
		}
		if got := s.request(t, r); got.Error != nil || got.Pts != id+2 || got.Repeated != repeated {
			t.Fatalf("post %d to log %d: %v; want position %d, repeated %v", id, log, got, id+2, repeated)
		}
	}
	for id := range uint64(posts) {
		for log := range logs {
			check(id, log, false)
			if id > 10 {
				check(id-uint64(log), log, true)
				check(id/2, log, true)
			}
		}
	}
	for id := range uint64(posts) {
		for log := range logs {
			check(id, log, true)
		}
	}
	stop()
	for log, events := range p.valid(t).Logs {
		if len(events) != posts+1 {
			t.Errorf("the log %s has %d events, want %d", log, len(events), posts+1)
		}
	}
}

func TestFetch(t *testing.T) {
	p, s := newPartition(), newShard()
	j := newJournal(p)
	cfg := config(t, j, s)
	cfg.RecentBytes = 1 // everything is read from the stream
	stop := lead(cfg)
	defer stop()
	s.request(t, createRequest("ann", "g1"))
	s.request(t, createRequest("ann", "g2"))
	for id := range uint64(1000) {
		s.request(t, postRequest("ann", "g1", id+1))
		if id%3 == 0 {
			s.request(t, postRequest("ann", "g2", id+1))
		}
	}
	for _, test := range []struct {
		name        string
		log         string
		after       uint64
		limit       uint32
		newest      bool
		first, last uint64
	}{
		{"from the start", "g1", 0, 3, false, 1, 3},
		{"from the middle", "g1", 500, 100, false, 501, 600},
		{"up to the head", "g1", 990, 100, false, 991, 1001},
		{"the server's limit", "g1", 100, 4_000_000, false, 101, 600},
		{"the newest", "g1", 0, 10, true, 992, 1001},
		{"the newest after a position", "g1", 998, 10, true, 999, 1001},
		{"another log", "g2", 70, 10, false, 71, 80},
		{"at the head", "g1", 1001, 10, false, 0, 0},
		{"beyond the head", "g1", 5000, 10, false, 0, 0},
		{"nothing wanted", "g1", 0, 0, false, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := j.reads.Load()
			got := positions(t, s.request(t, fetchRequest(test.log, test.after, test.limit, test.newest)))
			if len(got) == 0 && test.first == 0 {
				return
			}
			if len(got) == 0 || got[0] != test.first || got[len(got)-1] != test.last || uint64(len(got)) != test.last-test.first+1 {
				t.Fatalf("fetched %v, want %d to %d", got, test.first, test.last)
			}
			// The skips down to the range, and blocks, in which these logs have at least every fourth event.
			if most := 1001/chatlog.SkipEvery + (len(got)+chatlog.SkipEvery)/64 + 4; int(j.reads.Load()-before) > most {
				t.Errorf("read %d times to find %d events, want at most %d", j.reads.Load()-before, len(got), most)
			}
		})
	}
	if r := s.request(t, &wire.OwnerRequest{User: "eve", Body: fetchRequest("g1", 0, 10, false).Body}); r.MayRead || len(r.Events) > 0 {
		t.Errorf("a stranger fetched %d events of a group", len(r.Events))
	}
	if r := s.request(t, fetchRequest("g9", 0, 10, false)); r.Error.GetCode() != chatv1.Error_CODE_NOT_FOUND {
		t.Errorf("a log that is not there: %v, want NOT_FOUND", r)
	}
}

// Fetches of the same events are one read, also if the log moves on meanwhile; and who asks during the read is told of what came
// before he asked.
func TestFetchTogether(t *testing.T) {
	p, s := newPartition(), newShard()
	j := newJournal(p)
	cfg := config(t, j, s)
	cfg.CheckpointEvents = 1
	stop := lead(cfg)
	s.request(t, createRequest("ann", "g1"))
	for id := range uint64(300) {
		s.request(t, postRequest("ann", "g1", id+1))
	}
	for p.checkpoint(t) < 301 {
		time.Sleep(time.Millisecond)
	}
	stop()
	stop = lead(cfg) // with nothing in memory
	defer func() { stop() }()
	s.request(t, postRequest("ann", "g1", 1001))
	before := j.reads.Load()
	j.slow.Lock()
	answers := make(chan *wire.OwnerReply, 20)
	for i := range uint64(20) {
		s.mu.Lock()
		ask := s.ask
		s.mu.Unlock()
		ask(fetchRequest("g1", 0, 100, true), func(r *wire.OwnerReply) { answers <- r })
		if r := s.request(t, postRequest("ann", "g1", 2000+i)); r.Pts != 303+i {
			t.Fatalf("posted to position %d, want %d", r.Pts, 303+i)
		}
	}
	j.slow.Unlock()
	for range 20 {
		r := <-answers
		if pts := positions(t, r); r.Error != nil || r.Pts != 322 || len(pts) != 100 || pts[99] != 322 {
			t.Fatalf("fetched %v, position %d, %v; want the hundred up to 322", pts, r.Pts, r.Error)
		}
	}
	if n := j.reads.Load() - before; n > 100/chatlog.SkipEvery+4 {
		t.Errorf("20 fetches of the same events read %d times", n)
	}
}

// While no snapshot can be stored, what stands behind the checkpoint stays bounded: posts wait, and go on once it can.
func TestTheTailIsBounded(t *testing.T) {
	for name, bound := range map[string]func(*owner.Config){
		"in events": func(c *owner.Config) { c.MaxTailEvents = 50 },
		"in bytes":  func(c *owner.Config) { c.MaxTailBytes = 5000 },
	} {
		t.Run(name, func(t *testing.T) {
			p, s := newPartition(), newShard()
			j := newJournal(p)
			cfg := config(t, j, s)
			cfg.CheckpointEvents = 10
			bound(&cfg)
			stop := lead(cfg)
			defer stop()
			s.request(t, createRequest("ann", "g1"))
			j.fails.Store(100)
			var posts sync.WaitGroup
			var acked atomic.Int64
			for i := range uint64(200) {
				posts.Go(func() {
					if s.request(t, postRequest("ann", "g1", i+1)).Error == nil {
						acked.Add(1)
					}
				})
			}
			var stopped int64
			for before := int64(-1); stopped != before || stopped == 0; time.Sleep(300 * time.Millisecond) {
				before, stopped = stopped, acked.Load()
			}
			if stopped > 100 {
				t.Errorf("%d posts were accepted with no checkpoint behind them", stopped)
			}
			j.fails.Store(0)
			posts.Wait()
			if got := len(p.valid(t).Logs["g1"]); acked.Load() != 200 || got != 201 {
				t.Errorf("%d posts were acknowledged and %d events are in the log, want 200 and 201", acked.Load(), got)
			}
		})
	}
}

// A checkpoint that fails loses no progress: with half of all snapshots failing, it is made all the same.
func TestACheckpointGoesOnWhereItFailed(t *testing.T) {
	p, s := newPartition(), newShard()
	j := newJournal(p)
	j.fails.Store(50)
	cfg := config(t, j, s)
	cfg.CheckpointEvents = 1
	stop := lead(cfg)
	defer stop()
	for i := range 40 {
		s.request(t, createRequest("ann", fmt.Sprint("g", i)))
	}
	for begun := time.Now(); p.checkpoint(t) < 40; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the checkpoint stands at %d of 40 events after 30 s", p.checkpoint(t))
		}
	}
}

// Digests are numbered without holes within a term, and name every log that has moved.
func TestDigests(t *testing.T) {
	p, s := newPartition(), newShard()
	stop := lead(config(t, newJournal(p), s))
	for i := range uint64(50) {
		log := fmt.Sprintf("g%d", i%5)
		s.request(t, createRequest("ann", log))
		s.request(t, postRequest("ann", log, i+1))
	}
	time.Sleep(20 * time.Millisecond)
	stop()
	heads := map[string]uint64{}
	for i, d := range s.digests {
		if d.Number != uint64(i)+1 || d.Term != s.digests[0].Term || d.Epoch != 7 {
			t.Errorf("digest %d has number %d, term %d, epoch %d", i, d.Number, d.Term, d.Epoch)
		}
		for _, h := range d.Moved {
			heads[h.Log] = h.Pts
		}
	}
	for i := range 5 {
		log := fmt.Sprintf("g%d", i)
		if heads[log] != 11 || len(s.live[log]) != 11 {
			t.Errorf("log %s: the digests say %d, live were %d; want 11 and 11", log, heads[log], len(s.live[log]))
		}
	}
}
