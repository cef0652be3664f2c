package perconn

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// phase is how far a session's life has come.
type phase uint8

const (
	open phase = iota
	// closing: the last frames are on their way, and nothing more is taken in.
	closing
	// ended: the connection is closed.
	ended
)

// session implements engine.Session: one connection.
type session struct {
	e    *Engine
	conn net.Conn
	raw  syscall.RawConn // nil: cannot be written without waiting
	h    engine.Handler
	enc  engine.Encoding

	mu    sync.Mutex
	phase phase
	// busy: in the ready queue, or with a worker, or with a writing goroutine. Only one of them at a time.
	busy   bool
	corked int
	subs   []*sub
	// The subs with something to be sent, oldest first, threaded through them.
	dirty, lastDirty *sub

	// out is what goes to this session alone, in order; the first gathered ones are being written.
	out      []outgoing
	outBytes int
	gathered int
	// rest is what is left of a frame of which the socket has taken a part.
	rest     []byte
	restLast bool

	cause    error
	broken   bool          // nothing can be written any more
	lastSent chan struct{} // closed when the last frame has been written, or never will be

	nextReady *session

	// stopping tells the reading goroutine, without the lock, that closing has set the deadlines.
	stopping atomic.Bool
	stopBy   atomic.Int64 // Unix nanoseconds

	// The reading goroutine's own.
	in     input
	header [ws.MaxHeaderSize - 2]byte
	armed  time.Time
	heard  bool
}

// outgoing is a ready WebSocket frame for one session.
type outgoing struct {
	data []byte
	pong bool
	last bool
}

var _ engine.Session = (*session)(nil)

func (s *session) Encoding() engine.Encoding { return s.enc }

func (s *session) Send(f *chatv1.ServerFrame) {
	data, err := engine.Encode(f, s.enc)
	if err != nil {
		s.Close(engine.ErrorFrame(chatv1.Error_CODE_INTERNAL, "an answer could not be encoded"), engine.CloseFor(chatv1.Error_CODE_INTERNAL), "")
		return
	}
	s.mu.Lock()
	full := len(s.out) >= s.e.cfg.MaxQueuedAnswers || (len(s.out) > 0 && s.outBytes+len(data) > s.e.cfg.MaxQueuedBytes)
	if s.phase == open && !full {
		s.queueLocked(outgoing{data: data})
	}
	s.mu.Unlock()
	if full {
		s.Close(engine.ErrorFrame(chatv1.Error_CODE_TOO_MANY, "more than %d answers wait to be read; read them, and ask less at once", s.e.cfg.MaxQueuedAnswers),
			engine.CloseFor(chatv1.Error_CODE_TOO_MANY), "answers are not read")
	}
}

func (s *session) SendIfIdle(f *chatv1.ServerFrame) {
	if !s.idle() {
		return // and nothing need be encoded
	}
	data, err := engine.Encode(f, s.enc)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idleLocked() {
		s.queueLocked(outgoing{data: data})
	}
}

func (s *session) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idleLocked()
}

// idleLocked reports whether the session is open and nothing waits to be sent to it.
func (s *session) idleLocked() bool {
	return s.phase == open && !s.busy && len(s.out) == 0 && len(s.rest) == 0 && s.dirty == nil
}

func (s *session) Close(final *chatv1.ServerFrame, code engine.CloseCode, reason string) {
	s.close(engine.ErrClosed, final, code, reason)
}

// close begins the end, once. It does not wait.
func (s *session) close(cause error, final *chatv1.ServerFrame, code engine.CloseCode, reason string) {
	var data []byte
	if final != nil {
		// A final frame that cannot be encoded is left out: the close code says the same in short.
		data, _ = engine.Encode(final, s.enc)
	}
	by := deadline(s.e.cfg.CloseWithin)
	s.mu.Lock()
	if s.phase != open {
		s.mu.Unlock()
		return
	}
	s.phase = closing
	s.cause = cause
	s.lastSent = make(chan struct{})
	subs := s.letGoLocked()
	if data != nil {
		s.queueLocked(outgoing{data: data})
	}
	s.queueLocked(outgoing{data: engine.CloseFrame(code, reason), last: true})
	if s.broken {
		s.noLastLocked()
	}
	s.mu.Unlock()

	s.stopBy.Store(by.UnixNano())
	s.stopping.Store(true)
	_ = s.conn.SetDeadline(by)
	for _, m := range subs {
		m.f.drop(m)
	}
}

// fail ends a session whose connection cannot be written any more.
func (s *session) fail(cause error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = cause
	}
	s.broken = true
	s.noLastLocked()
	s.mu.Unlock()
	_ = s.conn.Close()
}

// end is the last thing that happens to a session, in its reading goroutine.
func (s *session) end(cause error) {
	s.mu.Lock()
	if s.cause == nil {
		s.cause = cause
	}
	cause = s.cause
	s.phase = ended
	subs := s.letGoLocked()
	s.out, s.outBytes, s.gathered = nil, 0, 0
	s.noLastLocked()
	s.mu.Unlock()
	_ = s.conn.Close()
	for _, m := range subs {
		m.f.drop(m)
	}
	s.e.forget(s)
	s.h.Closed(s, cause)
}

func (s *session) noLastLocked() {
	if s.lastSent == nil {
		return
	}
	select {
	case <-s.lastSent:
	default:
		close(s.lastSent)
	}
}

// letGoLocked empties the list of subs. Each is then to be dropped from its fan-out, without the session's lock.
func (s *session) letGoLocked() []*sub {
	subs := s.subs
	s.subs = nil
	for _, m := range subs {
		m.detached = true
	}
	s.dirty, s.lastDirty = nil, nil
	return subs
}

func (s *session) Cork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked++
}

func (s *session) Uncork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked--
	if s.corked == 0 && s.dirty != nil {
		s.scheduleLocked()
	}
}

// pong queues the answer to a ping. Of pongs that wait only the newest is kept (RFC 6455 section 5.5.3), so that pings cost
// nothing to speak of.
func (s *session) pong(payload []byte) {
	data := pongFrame(payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != open {
		return
	}
	for i := s.gathered; i < len(s.out); i++ {
		if s.out[i].pong {
			s.outBytes += len(data) - len(s.out[i].data)
			s.out[i].data = data
			return
		}
	}
	s.queueLocked(outgoing{data: data, pong: true})
}

func (s *session) queueLocked(o outgoing) {
	s.out = append(s.out, o)
	s.outBytes += len(o.data)
	s.scheduleLocked()
}

// scheduleLocked hands the session to the workers, unless somebody has it already and will look again.
func (s *session) scheduleLocked() {
	if !s.busy {
		s.busy = true
		s.e.ready.push(listOf(s))
	}
}

// markLocked notes that m lags. True: the caller puts the session into the ready queue.
func (s *session) markLocked(m *sub) bool {
	if m.detached || m.dirty {
		return false
	}
	s.dirtyLocked(m)
	if s.busy || s.corked > 0 {
		return false
	}
	s.busy = true
	return true
}

func (s *session) dirtyLocked(m *sub) {
	m.dirty, m.nextSub = true, nil
	if s.lastDirty == nil {
		s.dirty = m
	} else {
		s.lastDirty.nextSub = m
	}
	s.lastDirty = m
}

// popDirtyLocked takes the sub that has waited longest.
func (s *session) popDirtyLocked() *sub {
	m := s.dirty
	s.dirty, m.nextSub = m.nextSub, nil
	if s.dirty == nil {
		s.lastDirty = nil
	}
	return m
}

// take removes and returns the session's sub of a fan-out, if it has one.
func (s *session) take(f *fanout) *sub {
	for i, m := range s.subs {
		if m.f == f {
			last := len(s.subs) - 1
			s.subs[i] = s.subs[last]
			s.subs[last] = nil
			s.subs = s.subs[:last]
			m.detached = true
			return m
		}
	}
	return nil
}
