//go:build linux

package epoll

import (
	"slices"
	"sync/atomic"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// phase is how far a session's life has come.
type phase uint8

const (
	open phase = iota
	// opening: it is not known yet whether it becomes a session.
	opening
	// closing: the last frames are on their way, and nothing more is taken in.
	closing
	// ended: the socket is closed.
	ended
)

// session implements engine.Session: one socket. But for what is marked, it belongs to its loop.
type session struct {
	loop *loop
	h    engine.Handler
	left func()
	tls  *secure // nil without TLS

	// Of any goroutine: answers that wait, in number and bytes; whether the session is over, as far as others need to know.
	waiting      atomic.Int32
	waitingBytes atomic.Int32
	over         atomic.Bool
	// corked holds events back. It counts up at once, and down when the loop has done what was asked for meanwhile.
	corked atomic.Int32

	enc   engine.Encoding
	phase phase
	// ready: among those that the loop serves next. blocked: the socket takes no more for now.
	ready, blocked bool
	// heard: a message has come. begun: the next has begun, and is to be whole by readBy.
	heard, begun bool
	// deaf: what comes is read and dropped. hangUp: once the last frame is sent, nobody waits for the other side.
	deaf, hangUp bool

	fd   int32
	slot uint32
	// Ticks: until when something must be read; when the wheel brings the session up.
	readBy, wheelAt uint32

	// joined is how many parts have it among their members, by its slot: which is another's only when it has ended and is in none.
	joined uint32
	x      *extra // nil of nearly all
}

// extra is what only few sessions have at a time.
type extra struct {
	// opening decides what becomes of the socket, as long as it is opening. What has come of it is partial.
	opening engine.Opening
	// Of a session that is blocked: the tick until when the socket must take something. watched: the system is to say when it does.
	writeBy uint32
	watched bool
	// out is what goes to this session alone, in order.
	out []outgoing
	// rest is what is left of a frame of which the socket has taken a part.
	rest     []byte
	restLast bool
	cursors  []cursor
	// sealed is what TLS has made of frames that count as sent, and the socket has not taken.
	sealed []byte
	// partial is what has come of a frame that is not whole; message the fragments of a message, text or not by op, so far.
	partial   []byte
	message   []byte
	fragments bool
	cause     error
	lastSent  bool
}

// outgoing is a ready WebSocket frame for one session.
type outgoing struct {
	data []byte
	pong bool
	last bool
	// counted among the answers that wait.
	counted bool
}

// cursor is where a session is that is not where the others of a part are: the event to be sent next, from ring; another ring means too long.
type cursor struct {
	p    *part
	ring *engine.Ring
	next uint64
}

var _ engine.Session = (*session)(nil)

func (s *session) Encoding() engine.Encoding { return s.enc }

func (s *session) Send(f *chatv1.ServerFrame) {
	if s.over.Load() {
		return
	}
	data, err := engine.Encode(f, s.enc)
	if err != nil {
		s.Close(engine.ErrorFrame(chatv1.Error_CODE_INTERNAL, "an answer could not be encoded"), engine.CloseFor(chatv1.Error_CODE_INTERNAL), "")
		return
	}
	cfg := &s.loop.e.cfg
	if n := s.waiting.Add(1); int(n) > cfg.MaxQueuedAnswers || n > 1 && int(s.waitingBytes.Load())+len(data) > cfg.MaxQueuedBytes {
		s.waiting.Add(-1)
		s.Close(engine.ErrorFrame(chatv1.Error_CODE_TOO_MANY, "more than %d answers wait to be read; read them, and ask less at once", cfg.MaxQueuedAnswers),
			engine.CloseFor(chatv1.Error_CODE_TOO_MANY), "answers are not read")
		return
	}
	s.waitingBytes.Add(int32(len(data)))
	s.loop.post(op{kind: opSend, s: s, data: data})
}

func (s *session) SendIfIdle(f *chatv1.ServerFrame) {
	if s.over.Load() || s.waiting.Load() > 0 {
		return // and nothing need be encoded
	}
	data, err := engine.Encode(f, s.enc)
	if err != nil {
		return
	}
	s.loop.post(op{kind: opSendIfIdle, s: s, data: data})
}

func (s *session) Close(final *chatv1.ServerFrame, code engine.CloseCode, reason string) {
	if s.over.Swap(true) {
		return
	}
	var data []byte
	if final != nil {
		// A final frame that cannot be encoded is left out: the close code says the same in short.
		data, _ = engine.Encode(final, s.enc)
	}
	s.loop.post(op{kind: opClose, s: s, data: data, last: engine.CloseFrame(code, reason)})
}

func (s *session) Cork()   { s.corked.Add(1) }
func (s *session) Uncork() { s.loop.post(op{kind: opUncork, s: s}) }

// more is the session's extra, made if there is none.
func (s *session) more() *extra {
	if s.x == nil {
		s.x = new(extra)
	}
	return s.x
}

// less drops it once there is nothing in it.
func (s *session) less() {
	if x := s.x; x != nil && s.phase == open && !s.blocked && !x.watched && len(x.out) == 0 && len(x.rest) == 0 && len(x.sealed) == 0 && len(x.cursors) == 0 && len(x.partial) == 0 && !x.fragments {
		s.x = nil
	}
}

// withheld says that no event may be sent now: somebody has asked for that, though the loop may not have come to it. It is asked after the ring was, so that what is
// appended after the asking is not sent.
func (s *session) withheld() bool { return s.phase != open || s.over.Load() || s.corked.Load() > 0 }

// idle reports whether the session is open and nothing waits to be sent to it.
func (s *session) idle() bool {
	return s.phase == open && !s.blocked && (s.x == nil || len(s.x.out) == 0 && len(s.x.rest) == 0 && !s.lags())
}

// lags says whether a cursor has something before it.
func (s *session) lags() bool {
	if s.x == nil {
		return false
	}
	return slices.ContainsFunc(s.x.cursors, func(c cursor) bool { return c.lags() })
}

func (c *cursor) lags() bool {
	ring := c.p.f.ring.Load()
	return ring != c.ring || c.next <= ring.Head()
}

// queue adds a frame for this session alone.
func (s *session) queue(o outgoing) {
	if s.phase != open {
		return
	}
	x := s.more()
	x.out = append(x.out, o)
}

// follow gives the session a cursor in a part.
func (s *session) follow(c cursor) {
	x := s.more()
	x.cursors = append(x.cursors, c)
}

// unfollow takes it away, if there is one.
func (s *session) unfollow(p *part) {
	if s.x != nil {
		s.x.cursors = slices.DeleteFunc(s.x.cursors, func(c cursor) bool { return c.p == p })
		s.less()
	}
}

func (s *session) cursorOf(p *part) *cursor {
	if s.x != nil {
		for i := range s.x.cursors {
			if s.x.cursors[i].p == p {
				return &s.x.cursors[i]
			}
		}
	}
	return nil
}

// deadline is the tick at which the session's time is over.
func (s *session) deadline() uint32 {
	if s.blocked && s.phase == open {
		return min(s.readBy, s.x.writeBy)
	}
	return s.readBy
}

// close begins the end, once: final (if any), then the close frame last.
func (l *loop) close(s *session, cause error, final, last []byte, hangUp bool) {
	if s.phase != open {
		s.hangUp = s.hangUp || hangUp
		return
	}
	s.over.Store(true)
	x := s.more()
	if final != nil {
		x.out = append(x.out, outgoing{data: final})
	}
	x.out = append(x.out, outgoing{data: last, last: true})
	x.cause, x.cursors, x.partial, x.message, x.fragments = cause, nil, nil, nil, false
	s.phase, s.hangUp = closing, hangUp
	s.readBy = l.after(l.e.cfg.CloseWithin)
	l.arm(s)
	l.wakes(s)
}

// fail ends a session whose socket cannot be written any more.
func (l *loop) fail(s *session, cause error) { l.end(s, cause) }

// end is the last thing that happens to a session.
func (l *loop) end(s *session, cause error) {
	if s.phase == ended {
		return
	}
	s.over.Store(true)
	if s.blocked {
		l.count.stuck.Add(-1)
	}
	if s.x != nil && s.x.cause != nil {
		cause = s.x.cause
	}
	if s.tls != nil && !s.blocked {
		l.sayEnd(s)
	}
	s.phase, s.blocked, s.x, s.wheelAt = ended, false, nil, 0
	l.vacate(s)
	if s.h != nil { // else it was no session yet
		s.h.Closed(s, cause)
	}
	if s.left != nil {
		s.left()
	}
	closeSocket(int(s.fd)) // last: who sees the end of a connection, and comes again, finds it accounted for
	l.e.forget()
}

// due is called when a session's deadline may have passed.
func (l *loop) due(s *session) {
	if s.phase == ended {
		return
	}
	if by := s.deadline(); by > l.wheel.now {
		l.wheel.add(s, by)
		return
	}
	l.expire(s)
}
