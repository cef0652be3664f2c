package model

import (
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/des"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// Input is what to play.
type Input struct {
	// Valid, with its defaults.
	Scenario    *v1alpha1.Scenario
	Fleet       Fleet
	Calibration calibration.Calibration
	// In place of the scenario's.
	Seed uint64
	// Every session is an event of its own.
	PerSession bool
	// Only latencies and counts are kept, and nothing over time or by shard.
	Brief bool
	// What is posted, in place of the scenario's schedule: each case is played by itself, and all are added up. What happened over time is kept of
	// the one of number Shown.
	Cases []Case
	Shown int
}

// event is what the queue holds: 16 bytes, so that an entry is half a cache line.
type event struct {
	kind kind
	n    uint32
	a, b int32
}

type kind uint32

const (
	postDue       kind = iota // a: post
	postAsked                 // a: post, at the owner
	postStored                // a: post
	postAnswered              // a: post, on its way to the author
	postCame                  // a: post, b: shard, n: its readers there
	turnEnds                  // b: shard, n: its generation
	batchWritten              // a: batch
	readingEnds               // the generator's turn
	storeTurnEnds             // on shared cores
	groupComes                // a: group of sessions
	groupAsks                 // a: group, at its shard
	groupIsIn                 // a: group
	faultComes                // a: fault
	faultEnds                 // a: fault
	shardBack                 // b: shard
	storeBack                 // b: store
)

const (
	// turnLength is how long a sweep goes on while others wait (chatd/internal/engine/epoll).
	turnLength = 2 * time.Millisecond
	// askEvery is when a shard repeats what an owner has not answered (docs/architecture.md, the way of a post).
	askEvery = 250 * time.Millisecond
	// askFor is how long an author does not give up (simulator/internal/poster).
	askFor = 20 * time.Second
	// headStart is from the last sign-in to the first moment of the load, as in a run.
	headStart = 200 * time.Millisecond
	// connectGrace is how much longer than meant connecting may take, as in a run.
	connectGrace = 30 * time.Second
)

// engine is one play.
type engine struct {
	in    Input
	s     *v1alpha1.Scenario
	cost  costs
	place places
	q     des.Queue[event]
	book  *book

	quorum, network, pauses, elections *des.Stream

	shards []shard
	stores []store
	// By partition: who owns it, and from when on it answers.
	owner     []int32
	available []time.Duration
	// Shards that are up, and those of them that have work.
	running, working int
	// Jobs of stores, on shared cores.
	storing int
	// Up to when is in the book who had work.
	accounted time.Duration
	// The generator, where it shares the cores.
	reader reader

	posts []schedule.Post
	lives []life
	// Of the post that is being published.
	copies []copyTo
	next   int
	// When the warm-up, the measuring and the settling begin, and all is over.
	origin, measureAt, settleAt, endAt time.Duration
	// Posts that somebody who is away will want.
	open []int32

	groups []group
	faults []faultState
	delays []delayState
	hits   map[string]int
	// Sessions that read, and those of them that were signed in once; sessions that are away.
	readers, joined, away int64
	// Groups that have not signed in yet for the first time, and the sessions of those that have.
	joining  int
	signedIn int64
}

// life is what becomes of a post.
type life struct {
	stored, acked time.Duration
	// Readers that were away when it came, and how many were away then of whom nobody knows yet.
	owed, awayThen, owedAt int64
	expected, delivered    int64
	longest                time.Duration
	failed                 bool
}

func newEngine(in Input, b *book) *engine {
	s := in.Scenario
	e := &engine{
		in: in, s: s, cost: costsOf(in.Fleet, in.Calibration), place: placesOf(s), book: b, hits: map[string]int{},
		quorum: des.NewStream(in.Seed, "quorum"), network: des.NewStream(in.Seed, "network"),
		pauses: des.NewStream(in.Seed, "pauses"), elections: des.NewStream(in.Seed, "elections"),
		shards: make([]shard, in.Fleet.Shards), stores: make([]store, in.Fleet.Stores),
		owner: make([]int32, in.Fleet.Partitions), available: make([]time.Duration, in.Fleet.Partitions), running: in.Fleet.Shards,
	}
	for i := range e.shards {
		e.shards[i] = shard{up: true, store: int32(i % in.Fleet.Stores)}
	}
	for i := range e.stores {
		e.stores[i] = newStore(in.Fleet.CoresPerStore)
	}
	for p := range e.owner {
		e.owner[p] = int32(p % in.Fleet.Stores)
	}
	return e
}

// run plays until a moment, or until it is so.
func (e *engine) run(until time.Duration, so func() bool) {
	for {
		at, ok := e.q.Next()
		if !ok || at > until || so != nil && so() {
			return
		}
		ev, _ := e.q.Pop()
		e.book.events++
		e.handle(ev)
	}
}

func (e *engine) handle(ev event) {
	switch ev.kind {
	case postDue:
		e.due(ev.a)
	case postAsked:
		e.asked(ev.a)
	case postStored:
		e.stored(ev.a)
	case postAnswered:
		e.answered(ev.a)
	case postCame:
		e.came(ev.a, ev.b, int64(ev.n))
	case turnEnds:
		e.turnOver(ev.b, ev.n)
	case batchWritten:
		e.written(ev.a)
	case readingEnds:
		e.account(e.q.Now())
		e.reader.working = false
		e.read()
	case storeTurnEnds:
		e.account(e.q.Now())
		e.storing--
	case groupComes:
		e.comes(ev.a)
	case groupAsks:
		e.asksIn(ev.a)
	case groupIsIn:
		e.isIn(ev.a)
	case faultComes:
		e.strike(ev.a)
	case faultEnds:
		e.mend(ev.a)
	case shardBack:
		e.shardIsBack(ev.b)
	case storeBack:
		e.storeIsBack(ev.b)
	}
}

// load lays out posts and faults from a moment on.
func (e *engine) load(from time.Duration, posts []schedule.Post) {
	p := e.s.Phases
	e.origin = from
	e.measureAt = from + p.Warmup.Std()
	e.settleAt = e.measureAt + p.Measure.Std()
	e.endAt = e.settleAt + p.Settle.Std()
	e.posts, e.lives = posts, make([]life, len(posts))
	e.pushNext()
	e.layFaults()
}

// pushNext puts the next post into the queue when the one before is due, so that the queue stays short.
func (e *engine) pushNext() {
	if e.next < len(e.posts) {
		e.q.Push(e.origin+e.posts[e.next].Due, event{kind: postDue, a: int32(e.next)})
		e.next++
	}
}

// dueAt is when a post was intended.
func (e *engine) dueAt(i int32) time.Duration { return e.origin + e.posts[i].Due }
