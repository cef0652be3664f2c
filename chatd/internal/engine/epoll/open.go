//go:build linux

package epoll

import (
	"slices"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// Open implements engine.Opener.
func (e *Engine) Open(sock engine.Socket) {
	if !e.remember() {
		closeSocket(sock.FD)
		if sock.Left != nil {
			sock.Left()
		}
		return
	}
	s := &session{loop: e.turn(), left: sock.Left, fd: int32(sock.FD), phase: opening, x: &extra{opening: sock.Opening}}
	s.readBy = s.loop.after(sock.Within)
	s.loop.post(op{kind: opAdopt, s: s})
}

// hear shows what has come of a socket that is opening, and does what is to become of it.
func (l *loop) hear(s *session, said []byte) {
	switch o := s.x.opening.Heard(said); o.Next {
	case engine.Begin:
		l.begin(s, o, said[o.Used:])
	case engine.Release:
		l.release(s, said, false)
	default:
		l.keep(s, said, 0)
	}
}

// begin makes a session of a socket.
func (l *loop) begin(s *session, o engine.Opened, rest []byte) {
	if size := l.e.cfg.SendBufferBytes; size > 0 {
		setSendBuffer(int(s.fd), size)
	}
	s.h, s.enc, s.phase = o.Handler, o.Encoding, open
	s.x.opening, s.x.partial = nil, nil
	s.readBy = l.after(l.e.cfg.FirstMessageWithin)
	l.arm(s)
	s.queue(outgoing{data: o.Answer})
	l.wakes(s)
	if len(rest) > 0 {
		l.take(s, rest)
	}
}

// release gives a socket back. The system may have told of it once more: its place has another age then.
func (l *loop) release(s *session, said []byte, late bool) {
	o, said := s.x.opening, slices.Clone(said)
	s.over.Store(true)
	s.phase, s.x, s.wheelAt = ended, nil, 0
	l.poll.remove(s.fd)
	l.vacate(s)
	l.e.forget()
	o.Released(int(s.fd), said, late)
}

// vacate gives the place of a session that has ended to others, unless it is still attached to a log.
func (l *loop) vacate(s *session) {
	if s.joined > 0 {
		return
	}
	l.sessions[s.slot] = nil
	l.free = append(l.free, s.slot)
}
