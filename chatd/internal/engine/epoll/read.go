//go:build linux

package epoll

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// read reads what has come, once: who sends more than fits comes again after the others.
func (l *loop) read(s *session) {
	n, again, err := receive(s.fd, l.input)
	switch {
	case again:
	case err != nil:
		l.end(s, fmt.Errorf("read: %w", err))
	case n == 0 && s.x != nil && (len(s.x.partial) > 0 || s.x.fragments):
		l.end(s, fmt.Errorf("read: %w", io.ErrUnexpectedEOF))
	case n == 0:
		l.end(s, fmt.Errorf("read: %w", io.EOF))
	case s.tls != nil:
		l.open(s, l.input[:n])
	default:
		l.take(s, l.input[:n])
	}
}

// take does what a piece of the client's bytes says. It may change them, and keeps none.
func (l *loop) take(s *session, data []byte) {
	if s.deaf || s.phase == ended {
		return
	}
	if s.x != nil && len(s.x.partial) > 0 {
		// Little by little: the buffer grows with what has come, not with what was promised.
		s.x.partial = append(s.x.partial, data...)
		data = s.x.partial
	}
	if s.phase == opening {
		l.hear(s, data)
		return
	}
	used, err := l.frames(s, data)
	if s.phase == ended {
		return
	}
	if err != nil {
		l.refuse(s, err)
		return
	}
	l.keep(s, data, used)
	l.listen(s)
}

// keep keeps what is not used yet.
func (l *loop) keep(s *session, data []byte, used int) {
	rest := data[used:]
	switch {
	case len(rest) == 0:
		if s.x != nil {
			s.x.partial = nil
			s.less()
		}
	case s.x != nil && len(s.x.partial) > 0:
		if used > 0 {
			s.x.partial = append([]byte(nil), rest...)
		}
	default:
		s.more().partial = append([]byte(nil), rest...)
	}
}

// listen sets the time by which something must come next.
func (l *loop) listen(s *session) {
	if s.phase != open || !s.heard {
		return // the time for the first message, or for the end, goes on
	}
	cfg := &l.e.cfg
	begun := s.x != nil && (len(s.x.partial) > 0 || s.x.fragments)
	switch {
	case !begun:
		s.readBy = l.after(cfg.IdleAfter)
	case !s.begun:
		s.readBy = l.after(cfg.MessageWithin)
	}
	s.begun = begun
	l.arm(s)
}

// frames does what whole frames say, one after the other, and says how much they were.
func (l *loop) frames(s *session, data []byte) (used int, err error) {
	for used < len(data) && s.phase != ended && !s.deaf {
		h, size, err := header(data[used:])
		if err != nil || size == 0 {
			return used, err
		}
		if err := l.check(s, h); err != nil {
			return used, err
		}
		if int64(len(data)-used-size) < h.Length {
			return used, nil
		}
		payload := data[used+size : used+size+int(h.Length)]
		used += size + int(h.Length)
		ws.Cipher(payload, h.Mask, 0)
		if h.OpCode.IsControl() {
			err = l.control(s, h, payload)
		} else {
			err = l.data(s, h, payload)
		}
		if err != nil {
			return used, err
		}
	}
	return used, nil
}

// header reads a frame's header; size is 0 if it is not whole.
func header(data []byte) (h ws.Header, size int, err error) {
	if len(data) < 2 {
		return h, 0, nil
	}
	size = ws.MinHeaderSize
	if data[1]&0x80 != 0 {
		size += 4
	}
	switch data[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if len(data) < size {
		return h, 0, nil
	}
	r := reader{data[:size]}
	h, err = ws.ReadHeader(&r)
	if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
		err = engine.Violation(engine.CloseProtocol, "%v", err)
	}
	return h, size, err
}

// check refuses a frame by its header, before its payload has come.
func (l *loop) check(s *session, h ws.Header) error {
	state := ws.StateServerSide
	sofar := 0
	if s.x != nil && s.x.fragments {
		state = state.Set(ws.StateFragmented)
		sofar = len(s.x.message)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return engine.Violation(engine.CloseProtocol, "%v", err)
	}
	if h.OpCode.IsControl() {
		return nil
	}
	if h.OpCode != ws.OpContinuation && h.OpCode != s.enc.OpCode() {
		return engine.Violation(engine.CloseWrongType, "the sub-protocol %v has %s messages only", s.enc, map[bool]string{true: "text", false: "binary"}[s.enc == engine.JSON])
	}
	if h.Length > int64(l.e.cfg.MaxMessageBytes-sofar) {
		return engine.Violation(engine.CloseTooBig, "a message of more than %d bytes", l.e.cfg.MaxMessageBytes)
	}
	return nil
}

func (l *loop) control(s *session, h ws.Header, payload []byte) error {
	switch h.OpCode {
	case ws.OpPing:
		l.pong(s, payload)
	case ws.OpClose:
		code, err := engine.ParseClose(payload)
		if err != nil {
			return err
		}
		s.deaf = true
		l.close(s, engine.ErrPeerClosed, nil, engine.CloseFrame(code, ""), true)
		if s.x != nil && s.x.lastSent { // it answers ours
			l.end(s, engine.ErrPeerClosed)
		}
	}
	return nil
}

// pong queues the answer to a ping. Of pongs that wait only the newest is kept (RFC 6455 section 5.5.3), so that pings cost nothing to speak of.
func (l *loop) pong(s *session, payload []byte) {
	if s.phase != open {
		return
	}
	data := append([]byte{0x80 | byte(ws.OpPong), byte(len(payload))}, payload...)
	if s.x != nil {
		for i := range s.x.out {
			if s.x.out[i].pong {
				s.x.out[i].data = data
				return
			}
		}
	}
	s.queue(outgoing{data: data, pong: true})
	l.wakes(s)
}

// data takes a data frame, and hands the message over when it is the last of it.
func (l *loop) data(s *session, h ws.Header, payload []byte) error {
	if h.Fin && (s.x == nil || !s.x.fragments) {
		return l.deliver(s, payload)
	}
	x := s.more()
	x.message = append(x.message, payload...)
	x.fragments = !h.Fin
	if !h.Fin {
		return nil
	}
	message := x.message
	x.message = nil
	return l.deliver(s, message)
}

func (l *loop) deliver(s *session, payload []byte) error {
	if s.enc == engine.JSON && !utf8.Valid(payload) {
		return engine.Violation(engine.CloseNotUTF8, "a text message that is not UTF-8")
	}
	s.heard, s.begun = true, false
	if s.phase == open && !s.over.Load() {
		s.h.Message(s, payload)
	}
	return nil
}

// refuse ends a session whose client has broken the protocol, and reads on until the client has seen why: the system answers unread bytes with a reset that would
// overtake the close frame.
func (l *loop) refuse(s *session, err error) {
	var violation *engine.ViolationError
	if !errors.As(err, &violation) {
		l.end(s, err)
		return
	}
	s.deaf = true
	if s.phase == closing {
		return
	}
	l.close(s, err, nil, engine.CloseFrame(violation.Code, violation.Reason), false)
}

// expire ends a session whose time is over, and says why.
func (l *loop) expire(s *session) {
	cfg := &l.e.cfg
	silent := func(cause error, reason string) {
		l.close(s, cause, nil, engine.CloseFrame(engine.CloseSilent, reason), true)
	}
	switch {
	case s.phase == opening:
		l.release(s, s.x.partial, true)
	case s.phase == closing:
		l.end(s, s.x.cause)
	case s.blocked && s.x.writeBy <= l.wheel.now:
		l.fail(s, engine.ErrStuck)
	case !s.heard:
		final, _ := engine.Encode(engine.ErrorFrame(chatv1.Error_CODE_UNAUTHENTICATED, "no sign_in within %v", cfg.FirstMessageWithin), s.enc)
		l.close(s, engine.ErrNoFirstMessage, final, engine.CloseFrame(engine.CloseFor(chatv1.Error_CODE_UNAUTHENTICATED), "no sign_in"), true)
	case s.begun:
		silent(fmt.Errorf("%w in the middle of a message", engine.ErrSilent), fmt.Sprintf("the message was not complete within %v", cfg.MessageWithin))
	default:
		silent(engine.ErrSilent, fmt.Sprintf("nothing heard for %v; send a ping when there is nothing to say", cfg.IdleAfter))
	}
}

// reader gives a header to those who read from a reader.
type reader struct{ data []byte }

func (r *reader) Read(p []byte) (int, error) {
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}
