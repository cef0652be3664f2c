package perconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// input is what has been read and not yet used. Its buffer is all that an idle connection holds.
type input struct {
	conn  net.Conn
	early []byte // read before the engine took over
	buf   [128]byte
	r, w  int

	// begun: some of the current message has been used. hurried: the deadline for its end is in force.
	begun, hurried bool
	// message holds the fragments of a message so far; fragments says that there is one, text or not by op.
	message   *buffer
	fragments bool
	op        ws.OpCode
}

// read is the reading goroutine.
func (s *session) read() {
	s.armReadDeadline(s.e.cfg.FirstMessageWithin)
	var err error
	for err == nil {
		if s.heard && (s.in.hurried || time.Since(s.armed) > s.e.cfg.IdleAfter/8) && !s.in.begun {
			// Not for each message: moving a deadline costs more than many a message.
			s.armReadDeadline(s.e.cfg.IdleAfter)
			s.in.hurried = false
		}
		err = s.readFrame()
	}
	s.in.message.release()
	s.in.message = nil
	s.end(s.lastWords(err))
}

// lastWords says to the client why reading has ended, if it can still be told, and to the handler.
func (s *session) lastWords(err error) error {
	var violation *engine.ViolationError
	switch {
	case errors.As(err, &violation):
		s.close(err, nil, violation.Code, violation.Reason)
		s.discard()
	case errors.Is(err, engine.ErrPeerClosed):
		s.awaitLast()
	case !errors.Is(err, os.ErrDeadlineExceeded) || s.stopping.Load():
		return fmt.Errorf("read: %w", err)
	case !s.heard:
		err = engine.ErrNoFirstMessage
		s.close(err, engine.ErrorFrame(chatv1.Error_CODE_UNAUTHENTICATED, "no sign_in within %v", s.e.cfg.FirstMessageWithin),
			engine.CloseFor(chatv1.Error_CODE_UNAUTHENTICATED), "no sign_in")
		s.awaitLast()
	case s.in.begun:
		err = fmt.Errorf("%w in the middle of a message", engine.ErrSilent)
		s.close(err, nil, engine.CloseSilent, fmt.Sprintf("the message was not complete within %v", s.e.cfg.MessageWithin))
		s.awaitLast()
	default:
		err = engine.ErrSilent
		s.close(err, nil, engine.CloseSilent, fmt.Sprintf("nothing heard for %v; send a ping when there is nothing to say", s.e.cfg.IdleAfter))
		s.awaitLast()
	}
	return err
}

// awaitLast waits until the closing frames are written.
func (s *session) awaitLast() {
	timeout := time.NewTimer(s.e.cfg.CloseWithin)
	defer timeout.Stop()
	select {
	case <-s.lastSent: // made by close, which has been called, in this goroutine or before phase was seen to be closing
	case <-timeout.C:
	}
}

// discard reads on until the other side closes or the closing deadline, so that the system does not answer unread bytes with a
// reset that would overtake the closing frames.
func (s *session) discard() {
	for {
		if _, err := s.conn.Read(s.in.buf[:]); err != nil {
			return
		}
	}
}

// armReadDeadline gives the client that long, unless the session is closing.
func (s *session) armReadDeadline(d time.Duration) {
	s.armed = time.Now()
	_ = s.conn.SetReadDeadline(s.armed.Add(d))
	if s.stopping.Load() {
		_ = s.conn.SetReadDeadline(time.Unix(0, s.stopBy.Load()))
	}
}

// clearWriteDeadline lets writes that do not wait be tried at any time, unless the session is closing.
func (s *session) clearWriteDeadline() {
	_ = s.conn.SetWriteDeadline(time.Time{})
	if s.stopping.Load() {
		_ = s.conn.SetWriteDeadline(time.Unix(0, s.stopBy.Load()))
	}
}

// readFrame reads one WebSocket frame and does what it says.
func (s *session) readFrame() error {
	h, err := ws.ReadHeaderBuffer((*headerReader)(s), s.header[:])
	if err != nil {
		if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
			return engine.Violation(engine.CloseProtocol, "%v", err)
		}
		return err
	}
	state := ws.StateServerSide
	if s.in.fragments {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return engine.Violation(engine.CloseProtocol, "%v", err)
	}
	if h.OpCode.IsControl() {
		return s.readControl(h)
	}
	return s.readData(h)
}

func (s *session) readControl(h ws.Header) error {
	payload, err := s.small(int(h.Length))
	if err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	s.in.begun = s.in.fragments
	switch h.OpCode {
	case ws.OpPing:
		s.pong(payload)
	case ws.OpClose:
		return s.peerCloses(payload)
	}
	return nil
}

// peerCloses answers the client's close frame with its own code.
func (s *session) peerCloses(payload []byte) error {
	code, err := engine.ParseClose(payload)
	if err != nil {
		return err
	}
	s.close(engine.ErrPeerClosed, nil, code, "")
	return engine.ErrPeerClosed
}

// readData reads a data frame, and hands the message over when it is the last of it.
func (s *session) readData(h ws.Header) error {
	sofar := 0
	if s.in.fragments {
		sofar = len(s.in.message.data)
	} else {
		s.in.op = h.OpCode
	}
	if s.in.op != s.enc.OpCode() {
		return engine.Violation(engine.CloseWrongType, "the sub-protocol %v has %s messages only", s.enc, map[bool]string{true: "text", false: "binary"}[s.enc == engine.JSON])
	}
	if h.Length > int64(s.e.cfg.MaxMessageBytes-sofar) {
		return engine.Violation(engine.CloseTooBig, "a message of more than %d bytes", s.e.cfg.MaxMessageBytes)
	}
	if h.Fin && !s.in.fragments && h.Length <= int64(len(s.in.buf)) {
		payload, err := s.small(int(h.Length))
		if err != nil {
			return err
		}
		ws.Cipher(payload, h.Mask, 0)
		return s.deliver(payload)
	}
	if err := s.large(int(h.Length)); err != nil {
		return err
	}
	ws.Cipher(s.in.message.data[sofar:], h.Mask, 0)
	s.in.fragments = !h.Fin
	if !h.Fin {
		return nil
	}
	err := s.deliver(s.in.message.data)
	s.in.message.release()
	s.in.message = nil
	return err
}

func (s *session) deliver(payload []byte) error {
	s.in.begun = false
	if s.enc == engine.JSON && !utf8.Valid(payload) {
		return engine.Violation(engine.CloseNotUTF8, "a text message that is not UTF-8")
	}
	if !s.heard {
		// From now on it is idleness that counts: have the deadline set anew.
		s.heard, s.in.hurried = true, true
	}
	if !s.stopping.Load() {
		s.h.Message(s, payload)
	}
	return nil
}

// small returns the next n bytes, at most as many as the buffer has, in place: good until the next read.
func (s *session) small(n int) ([]byte, error) {
	in := &s.in
	if in.r+n > len(in.buf) {
		in.w = copy(in.buf[:], in.buf[in.r:in.w])
		in.r = 0
	}
	for in.w-in.r < n {
		got, err := s.readSome(in.buf[in.w:])
		if err != nil {
			return nil, noEOF(err)
		}
		in.w += got
	}
	p := in.buf[in.r : in.r+n]
	in.r += n
	return p, nil
}

// large appends the next n bytes to the message. Its buffer grows with what has come, not with what was promised.
func (s *session) large(n int) error {
	in := &s.in
	if in.message == nil {
		in.message = newBuffer(min(n, firstBuffer))
	}
	take := min(n, in.w-in.r)
	in.message = in.message.append(in.buf[in.r : in.r+take])
	in.r += take
	for n -= take; n > 0; {
		in.message = in.message.room()
		free := in.message.free()
		got, err := s.readSome(free[:min(n, len(free))])
		if err != nil {
			return noEOF(err)
		}
		in.message.data = in.message.data[:len(in.message.data)+got]
		n -= got
	}
	return nil
}

// headerReader is the session as ws.ReadHeaderBuffer wants it.
type headerReader session

func (r *headerReader) Read(p []byte) (int, error) {
	s := (*session)(r)
	in := &s.in
	if in.r == in.w {
		n, err := s.readSome(in.buf[:])
		if err != nil {
			return 0, err
		}
		in.r, in.w = 0, n
	}
	in.begun = true
	n := copy(p, in.buf[in.r:in.w])
	in.r += n
	return n, nil
}

// readSome reads from the connection. Once a message has begun, the rest must come in time.
func (s *session) readSome(p []byte) (int, error) {
	in := &s.in
	if len(in.early) > 0 {
		n := copy(p, in.early)
		in.early = in.early[n:]
		if len(in.early) == 0 {
			in.early = nil
		}
		return n, nil
	}
	if in.begun && s.heard && !in.hurried {
		in.hurried = true
		s.armReadDeadline(s.e.cfg.MessageWithin)
	}
	return in.conn.Read(p)
}

// noEOF: an end in the middle of a message is no orderly end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func pongFrame(payload []byte) []byte {
	frame := make([]byte, 0, 2+len(payload))
	frame = append(frame, 0x80|byte(ws.OpPong), byte(len(payload)))
	return append(frame, payload...)
}
