// Package shard is what a shard does for its sessions: sign-in, attaching logs, requests, and keeping every log that a session has
// attached exact and up to date.
//
// It is domain code: the sockets are behind package engine, the stores behind the interface Stores, and users' tokens behind
// package token. The gateway hands connections and HTTP requests to it, the bus what the stores send, and package node starts and
// drains it. It is not for deciding what is appended to a log, nor for knowing who is a member: the owner of the log does that.
//
// A log is a feed here from its first attachment until some time after its last: one subscription and one ring for all its
// sessions. Live events are a hint. That none is missing is known from the positions, and from the owners' numbered digests; what
// is missing is fetched once for the whole shard, and in order, before the feed goes on. Memberships of a group that the shard has
// learned are kept exact by the group's own events.
//
// Locks are taken in the order feed, session; feed, Shard; and Shard.sessionsMu, session. None is held while a store is asked.
package shard

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/rates"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Stores is how a shard reaches the stores.
type Stores interface {
	// Ask sends a request to the owner of a partition, and sends it again (about every 250 ms, with back-off) until it is
	// answered or ctx ends. A reply with an error in it is an answer.
	Ask(ctx context.Context, partition int, req *wire.OwnerRequest) (*wire.OwnerReply, error)
	// Follow asks for the live events of a log, and returns once the interest is registered with the local server.
	Follow(partition int, log string) error
	// Unfollow ends that.
	Unfollow(partition int, log string)
}

// Shard serves sessions. Make it with New, call Start, and give it to the bus, which tells it what the stores send, and to the
// gateway; at the end Depart, Close, and shut the engine down.
type Shard struct {
	cfg     Config
	engine  engine.Engine
	stores  Stores
	tokens  *token.Verifier
	shown   *token.Memo // tokens of requests without a session
	metrics *Metrics
	users   *rates.Table[string]
	pace    *rates.Pace // of each session's requests
	began   time.Time   // what sessions count the time from
	readers readers
	absent  absent

	ctx    context.Context
	cancel context.CancelFunc
	tasks  tasks

	partitions  []*partition
	differences singleflight.Group

	mu    sync.Mutex
	feeds map[string]*feed
	table feedTable
	idle  list.List // of *feed, longest idle first

	sessionsMu sync.Mutex
	sessions   map[*session]struct{}
	sessionsOf map[string]int // by user, those that have signed in
	drain      drain

	expiry expiry

	soft *soft

	// revoking tells that Config.Revoked has more.
	revoking chan struct{}
}

// New makes a shard. The engine must have been made with Config.Engine, and is the caller's to shut down, after Close.
func New(cfg Config, eng engine.Engine, stores Stores, tokens *token.Verifier, metrics *Metrics) (*Shard, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("shard: %w", err)
	}
	sh := &Shard{
		cfg: cfg, engine: eng, stores: stores, tokens: tokens, shown: token.NewMemo(tokens), metrics: metrics,
		feeds: make(map[string]*feed), sessions: make(map[*session]struct{}), sessionsOf: make(map[string]int),
		revoking: make(chan struct{}, 1),
		soft:     newSoft(),
		users:    rates.NewTable[string](cfg.UserRequestsPerSecond, cfg.UserRequestBurst, cfg.Now()),
		pace:     rates.NewPace(cfg.RequestsPerSecond, cfg.RequestBurst, cfg.Now()),
		began:    cfg.Now(),
	}
	sh.ctx, sh.cancel = context.WithCancel(context.Background())
	for n := range cfg.Partitions {
		sh.partitions = append(sh.partitions, newPartition(sh, n))
	}
	metrics.watch(sh)
	return sh, nil
}

// Start begins what a shard does by itself: closing logs that nobody reads, and noticing that an owner has fallen silent.
func (sh *Shard) Start() {
	sh.tasks.spawn(func() { sh.every(sh.cfg.CloseLogAfter/8, sh.sweep) })
	sh.tasks.spawn(func() { sh.every(sh.cfg.SilenceAfter/8, sh.listen) })
	sh.tasks.spawn(func() { sh.every(askReaders, sh.sortOutReaders) })
	if sh.cfg.Soft != nil {
		sh.tasks.spawn(func() { sh.every(softTick, sh.tellSoft) })
	}
	if sh.cfg.Revoked != nil {
		sh.tasks.spawn(sh.endRevoked)
		sh.tasks.spawn(func() { sh.every(time.Minute, sh.cfg.Revoked.Forget) })
	}
}

// Close ends all work and waits for it. What is asked of the shard afterwards fails.
func (sh *Shard) Close() {
	sh.cancel()
	sh.tasks.stop()
}

// Accepting is nil while new sessions are taken, else why not.
func (sh *Shard) Accepting() *chatv1.Error {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	if !sh.drain.closed() {
		return nil
	}
	flt := draining()
	if sh.drain.order.Shed {
		flt.Message = "this shard gives sessions to others; connect anew"
	}
	// Whoever comes has most likely waited already, and another shard takes him at once: chance, of whoever balances, decides which is asked next. Where
	// an operator wants sessions to stay away for longer than is usual, these too.
	flt.RetryAfterMs = elsewhereMs
	if hint := sh.drain.order.Hint; hint > longHint {
		flt.RetryAfterMs = uint32(hint.Milliseconds())
	}
	return flt
}

// Connect takes over a connection whose WebSocket handshake is done, and closes it at the end, also if it fails. early is what was
// read from the connection already.
func (sh *Shard) Connect(conn net.Conn, early []byte, enc engine.Encoding) error {
	g, _ := conn.(guest)
	s := sh.begin(g)
	held, err := sh.engine.Adopt(conn, early, enc, s)
	if err != nil {
		s.Closed(nil, err)
		return fmt.Errorf("take over a connection: %w", err)
	}
	s.setConn(held)
	return nil
}

// Begin is the handler of a new session on a connection that the engine has already. g, if it is not nil, is told when the session has signed in, or could not
// and is not to blame for it.
func (sh *Shard) Begin(g guest) engine.Handler { return sh.begin(g) }

func (sh *Shard) begin(g guest) *session {
	s := newSession(sh)
	s.guest = g
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	sh.sessions[s] = struct{}{}
	return s
}

// Sessions is the number of connections, signed in or not.
func (sh *Shard) Sessions() int {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	return len(sh.sessions)
}

// AttachedLogs is the number of logs that are open because sessions have attached them, or had until just now.
func (sh *Shard) AttachedLogs() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.feeds)
}

func (sh *Shard) isDraining() bool {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	return sh.drain.closed()
}

// every calls f at a pace until Close.
func (sh *Shard) every(d time.Duration, f func(now time.Time)) {
	tick := time.NewTicker(max(d, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f(sh.cfg.Now())
		case <-sh.ctx.Done():
			return
		}
	}
}

var errStopping = errors.New("this shard is stopping")

// tasks are goroutines that are waited for.
type tasks struct {
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// spawn runs f in a goroutine; false if it is too late for that.
func (t *tasks) spawn(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.running.Go(f)
	return true
}

func (t *tasks) stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.running.Wait()
}
