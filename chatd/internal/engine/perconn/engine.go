// Package perconn is the engine that reads each connection in a goroutine of its own. It works with every net.Conn, TLS
// and pipes too, and on every system.
//
// Reading: the goroutine of an idle connection waits in Read with 128 bytes; larger buffers come from a pool while there is a
// message to read. Writing: a few workers take sessions that have something to be sent, gather it from the session's answers and from
// the rings behind its cursors, and write it without waiting. Only when a socket takes no more does that session get a
// goroutine that waits for it; so a stuck reader costs one goroutine and the rest of one frame. Where a connection cannot be
// written without waiting (TLS, pipes, systems that are not Unix), writing takes a goroutine for as long as there is something to send.
//
// Locks are taken in the order fanout, session, ready queue.
package perconn

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// Engine implements engine.Engine.
type Engine struct {
	cfg   engine.Config
	ready readyQueue
	count counters
	held  *engine.Held // by the rings of all open logs
	// stuck sessions wait for their sockets.
	stuck atomic.Int64

	mu       sync.Mutex
	shut     bool
	sessions map[*session]struct{}

	readers sync.WaitGroup
	workers sync.WaitGroup
	writers sync.WaitGroup
}

// counters are spread over the workers, so that they do not share a cache line.
type counters struct {
	deliveries atomic.Uint64
	tooLong    atomic.Uint64
	bytes      atomic.Uint64
	_          [104]byte
}

var _ engine.Engine = (*Engine)(nil)

// New starts an engine. Shutdown ends it.
func New(cfg engine.Config) *Engine {
	e := &Engine{cfg: cfg.WithDefaults(), held: engine.NewHeld(cfg), sessions: make(map[*session]struct{})}
	e.ready.init()
	for range max(2, runtime.GOMAXPROCS(0)) {
		e.workers.Go(newWorker(e).run)
	}
	return e
}

// OpenLog implements engine.Engine.
func (e *Engine) OpenLog(log string, epoch uint32, head uint64) engine.Fanout {
	f := &fanout{e: e, log: log}
	f.ring.Store(engine.NewRing(log, epoch, head, e.cfg, e.held))
	return f
}

// Adopt implements engine.Engine.
func (e *Engine) Adopt(conn net.Conn, early []byte, enc engine.Encoding, h engine.Handler) (engine.Session, error) {
	s := &session{e: e, conn: conn, enc: enc, h: h}
	s.in.conn, s.in.early = conn, early
	if b, ok := conn.(interface{ SetWriteBuffer(bytes int) error }); ok && e.cfg.SendBufferBytes > 0 {
		// A connection whose buffer cannot be set is broken, and its first Read will say so better.
		_ = b.SetWriteBuffer(e.cfg.SendBufferBytes)
	}
	if sc, ok := conn.(syscall.Conn); ok && canWriteNow {
		s.raw, _ = sc.SyscallConn()
	}
	e.mu.Lock()
	if e.shut {
		e.mu.Unlock()
		_ = conn.Close()
		return nil, engine.ErrShutDown
	}
	e.sessions[s] = struct{}{}
	e.readers.Go(s.read)
	e.mu.Unlock()
	return s, nil
}

// Stats implements engine.Engine.
func (e *Engine) Stats() engine.Stats {
	e.mu.Lock()
	n := len(e.sessions)
	e.mu.Unlock()
	s := e.ready.total()
	s.Sessions = n
	s.Deliveries += e.count.deliveries.Load()
	s.TooLong += e.count.tooLong.Load()
	s.WrittenBytes += e.count.bytes.Load()
	s.Stuck, s.RingBytes = int(e.stuck.Load()), e.held.Bytes()
	return s
}

// Shutdown implements engine.Engine.
func (e *Engine) Shutdown(ctx context.Context) error {
	for _, s := range e.shutAll() {
		s.Close(nil, engine.CloseGoingAway, "the server is going away")
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		e.readers.Wait()
	}()
	var err error
	select {
	case <-read:
	case <-ctx.Done():
		err = ctx.Err()
		for _, s := range e.shutAll() {
			_ = s.conn.Close()
		}
		<-read
	}
	e.ready.close()
	e.workers.Wait()
	e.writers.Wait()
	return err
}

func (e *Engine) shutAll() []*session {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shut = true
	all := make([]*session, 0, len(e.sessions))
	for s := range e.sessions {
		all = append(all, s)
	}
	return all
}

func (e *Engine) forget(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s)
}

// deadline is a time from now. Connections' deadlines are the system's business, not that of a clock from outside.
func deadline(d time.Duration) time.Time { return time.Now().Add(d) }
