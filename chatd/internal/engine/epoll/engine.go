//go:build linux

// Package epoll is the engine for sockets on Linux, plain and with TLS: one event loop a core, each with an epoll instance of its own, and no
// goroutine, lock or buffer a connection (but for the keys that crypto/tls keeps).
//
// A session belongs to one loop, which alone reads, writes and closes its socket. All others tell the loop what they want, in its inbox, and go on;
// what one goroutine says of one session is done in the order in which it was said. Of a log, each loop has the list of its own members. A sweep goes
// through it with the frames that the members lack, put together once, which it writes to one socket after the other. It gives way to sockets that can be
// read, and takes what comes meanwhile along to all whom it has not reached: under load, writes grow, not their number. Members are no more than numbers;
// only who does not take what a sweep brings has a cursor of his own, until a later sweep finds him where the others are.
//
// Package enginetest is the suite that it passes; package perconn is the engine for everything else.
package epoll

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// Engine implements engine.Engine.
type Engine struct {
	cfg   engine.Config
	held  *engine.Held // by the rings of all open logs
	loops []*loop
	next  atomic.Uint32 // loop that gets a session
	ends  sync.Once
	ended sync.WaitGroup // of the loops

	mu       sync.Mutex
	shut     bool
	sessions int
	idle     chan struct{} // closed when none is left after shut

	// holdMost is how long a log is held at most: the constant of that name, but in tests.
	holdMost time.Duration
}

var _ engine.Engine = (*Engine)(nil)

// New starts an engine. Shutdown ends it. Its error is that of the system, which has no epoll instance left to give.
func New(cfg engine.Config) (*Engine, error) {
	e := &Engine{cfg: cfg.WithDefaults(), held: engine.NewHeld(cfg), holdMost: holdMost, idle: make(chan struct{})}
	for id := range e.cfg.Loops {
		l, err := newLoop(e, id)
		if err != nil {
			for _, l := range e.loops {
				l.poll.close()
			}
			return nil, err
		}
		e.loops = append(e.loops, l)
	}
	for _, l := range e.loops {
		e.ended.Go(l.run)
	}
	return e, nil
}

// OpenLog implements engine.Engine.
func (e *Engine) OpenLog(log string, epoch uint32, head uint64) engine.Fanout {
	f := &fanout{e: e, log: log, parts: make([]*part, len(e.loops)), at: make([]presence, len(e.loops))}
	f.ring.Store(engine.NewRing(log, epoch, head, e.cfg, e.held))
	return f
}

// Adopt implements engine.Engine. A connection that is no socket is refused with ErrNoSocket.
func (e *Engine) Adopt(conn net.Conn, early []byte, enc engine.Encoding, h engine.Handler) (engine.Session, error) {
	fd, d, err := take(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if e.cfg.SendBufferBytes > 0 {
		setSendBuffer(fd, e.cfg.SendBufferBytes)
	}
	if !e.remember() {
		closeSocket(fd)
		d.Gone()
		return nil, engine.ErrShutDown
	}
	s := &session{loop: e.turn(), h: h, left: d.Left, fd: int32(fd), enc: enc}
	if d.TLS != nil {
		s.tls = &secure{conn: d.TLS, loop: s.loop}
		d.Redirect(s.tls)
	}
	s.loop.post(op{kind: opAdopt, s: s, data: early})
	return s, nil
}

// turn is the loop that gets the next session.
func (e *Engine) turn() *loop { return e.loops[int(e.next.Add(1))%len(e.loops)] }

// remember counts a session that begins; false if none may any more.
func (e *Engine) remember() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		return false
	}
	e.sessions++
	return true
}

// forget counts a session that has ended.
func (e *Engine) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions--
	if e.shut && e.sessions == 0 {
		close(e.idle)
	}
}

// Stats implements engine.Engine.
func (e *Engine) Stats() engine.Stats {
	e.mu.Lock()
	s := engine.Stats{Sessions: e.sessions, RingBytes: e.held.Bytes()}
	e.mu.Unlock()
	for _, l := range e.loops {
		s.Deliveries += l.count.deliveries.Load()
		s.TooLong += l.count.tooLong.Load()
		s.WrittenBytes += l.count.bytes.Load()
		s.Stuck += int(l.count.stuck.Load())
		s.Ready += int(l.count.ready.Load())
	}
	return s
}

// Shutdown implements engine.Engine.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	if !e.shut {
		e.shut = true
		if e.sessions == 0 {
			close(e.idle)
		}
	}
	e.mu.Unlock()
	e.postAll(op{kind: opGoAway})
	var err error
	select {
	case <-e.idle:
	case <-ctx.Done():
		err = ctx.Err()
		e.postAll(op{kind: opCut})
		<-e.idle
	}
	e.ends.Do(func() { e.postAll(op{kind: opStop}) })
	e.ended.Wait()
	return err
}

func (e *Engine) postAll(o op) {
	for _, l := range e.loops {
		l.post(o)
	}
}

// ErrNoSocket: the connection is none that can be taken over (see engine.Detacher), so that only the other engine can hold it.
var ErrNoSocket = errors.New("the connection is no socket that can be taken over")
