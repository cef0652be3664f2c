package swarm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// readable reads once from a session's socket, at most so many bytes. What is left in it comes with the next round, so that nobody waits for one
// session's flood. Everything read at once was there at the same moment, and is timed by it.
func (l *loop) readable(i int32, most int) {
	s := &l.sessions[i]
	kept := 0
	if s.partial != 0 {
		kept = len(l.partials.of(s).in)
	}
	l.reserve(kept + readBytes/2)
	n, err := unix.Read(int(s.fd), l.in[kept:min(kept+most, len(l.in))])
	now := l.clock()
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err == nil && n == 0:
		err = io.EOF
	}
	if err != nil {
		l.cut(i, "read: "+err.Error(), now)
		return
	}
	l.counters.Reads++
	l.counters.BytesRead += int64(n)
	if kept > 0 {
		copy(l.in, l.partials.of(s).in)
	}
	rest, err := l.consume(i, l.in[:kept+n], now)
	if err != nil {
		l.failed(i, err, now)
		return
	}
	l.keep(s, rest)
}

// reserve makes room in the buffer that all sessions share.
func (l *loop) reserve(n int) {
	if len(l.in) < n {
		grown := make([]byte, max(n, 2*len(l.in), readBytes))
		copy(grown, l.in)
		l.in = grown
	}
}

// keep puts half a frame aside until the rest comes.
func (l *loop) keep(s *session, rest []byte) {
	if s.partial == 0 && len(rest) == 0 {
		return
	}
	p := l.partials.of(s)
	p.in = append(p.in[:0], rest...)
	if p.empty() {
		l.partials.release(s)
	}
}

// failed ends a connection for what the server sent on it.
func (l *loop) failed(i int32, err error, now int64) {
	if status := (statusError{}); errors.As(err, &status) {
		l.sessions[i].wait = uint32(status.retryAfter.Milliseconds())
	}
	l.cut(i, err.Error(), now)
}

// consume takes whole frames (and first the handshake's answer) from data and returns what is left.
func (l *loop) consume(i int32, data []byte, now int64) (rest []byte, err error) {
	s := &l.sessions[i]
	if s.state == upgrading {
		var key [24]byte
		n, err := parseHandshake(data, l.key(i, key[:0]), l.protocol(s))
		if err != nil || n == 0 {
			return data, err
		}
		data = data[n:]
		if err := l.upgraded(i, now); err != nil {
			return nil, err
		}
	}
	for {
		h, n, err := parseHeader(data)
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			return data, nil
		case h.length > uint64(l.behaviour.MaxMessageBytes):
			return nil, errTooBig
		}
		end := n + int(h.length)
		if len(data) < end {
			return data, nil
		}
		if err := l.takeFrame(i, h, data[n:end], now); err != nil {
			return nil, err
		}
		data = data[end:]
	}
}

// takeFrame handles one frame, and a message once it is whole.
func (l *loop) takeFrame(i int32, h frameHeader, payload []byte, now int64) error {
	s := &l.sessions[i]
	switch {
	case h.op == opPing:
		l.send(i, opPong, payload)
		return nil
	case h.op == opPong:
		return nil
	case h.op == opClose:
		l.send(i, opClose, payload[:min(len(payload), 2)])
		return closeError(payload)
	}
	assembling := s.partial != 0 && l.partials.of(s).op != 0
	switch {
	case h.op != opContinuation && assembling:
		return errInterleaved
	case h.op == opContinuation && !assembling:
		return errContinues
	case h.fin && !assembling:
		return l.message(i, h.op, payload, now)
	}
	p := l.partials.of(s)
	if !assembling {
		p.op, p.message = h.op, p.message[:0]
	}
	if len(p.message)+len(payload) > l.behaviour.MaxMessageBytes {
		return errTooBig
	}
	p.message = append(p.message, payload...)
	if !h.fin {
		return nil
	}
	// The message leaves the record before it is handled: handling it may take another session's record and move them all.
	op, whole := p.op, p.message
	p.op, p.message = 0, nil
	return l.message(i, op, whole, now)
}

// closeError names the server's reason. The text of it is for people and not counted apart.
func closeError(payload []byte) error {
	if len(payload) < 2 {
		return fmt.Errorf("closed: no code")
	}
	code := binary.BigEndian.Uint16(payload)
	if name, ok := chatv1.Error_Code_name[int32(code)-4000]; ok && code >= 4000 {
		return fmt.Errorf("closed: %d %s", code, name)
	}
	return fmt.Errorf("closed: %d", code)
}

// message handles a whole message: nearly always an event in protobuf, which takes the fast path.
func (l *loop) message(i int32, op byte, payload []byte, now int64) error {
	s := &l.sessions[i]
	json := s.is(flagJSON)
	if json != (op == opText) {
		return errOpcode
	}
	if !json {
		if ev, ok := parseEvent(payload); ok {
			l.push(i, &ev, now)
			return nil
		}
	}
	if err := parseFrame(payload, &l.frame, json); err != nil {
		return err
	}
	return l.handle(i, &l.frame, now)
}

// push gives an event to the book.
func (l *loop) push(i int32, ev *event, now int64) {
	ci := l.find(i, ev.log)
	if ci < 0 {
		l.counters.Pushes++
		l.counters.Stray++
		return
	}
	l.book.meter.from(l.home(i), &l.sessions[i])
	if do := l.book.pushed(ci, i, ev, now); do != nothing {
		l.do(i, ci, do, now)
	}
}

// find returns the session's cursor for a log, below 0 if it has none.
func (l *loop) find(i int32, log []byte) int32 {
	index, ok := l.logIndex[string(log)]
	if !ok {
		return -1
	}
	from, to := l.cursorsOf(i)
	for to-from > 8 {
		middle := (from + to) / 2
		if l.book.cursors[middle].log > index {
			to = middle
		} else {
			from = middle
		}
	}
	for ci := from; ci < to; ci++ {
		if l.book.cursors[ci].log == index {
			return ci
		}
	}
	return -1
}
