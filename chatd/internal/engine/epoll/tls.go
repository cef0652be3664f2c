//go:build linux

package epoll

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// secure is TLS between a session and its socket: crypto/tls, which thinks that it reads and writes a connection. What it reads is what the loop has read; when
// there is no more, it is told so by an error that passes, after which it goes on where it was. What it writes goes to the loop.
type secure struct {
	conn *tls.Conn
	loop *loop
	come []byte // and not taken yet
}

// errNothing is the error that passes. crypto/tls asks for Temporary.
var errNothing error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing has come" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

func (t *secure) Read(p []byte) (int, error) {
	if len(t.come) == 0 {
		return 0, errNothing
	}
	n := copy(p, t.come)
	t.come = t.come[n:]
	return n, nil
}

func (t *secure) Write(p []byte) (int, error) {
	t.loop.sealed = append(t.loop.sealed, p...)
	return len(p), nil
}

// send writes to a session's socket what it takes without waiting; blocked says that it takes no more. With TLS all of data counts as written, since what is
// sealed cannot be taken back: what the socket has not taken of it is the session's sealed.
func (l *loop) send(s *session, data []byte) (n int, blocked bool, err error) {
	if s.tls == nil {
		n, blocked, err = send(s.fd, data)
		l.count.bytes.Add(uint64(n))
		return n, blocked, err
	}
	l.sealed = l.sealed[:0]
	if _, err := s.tls.conn.Write(data); err != nil {
		return 0, false, fmt.Errorf("seal: %w", err)
	}
	blocked, err = l.flushSealed(s)
	return len(data), blocked, err
}

// flushSealed writes what TLS has made, and keeps what the socket does not take.
func (l *loop) flushSealed(s *session) (blocked bool, err error) {
	n, blocked, err := send(s.fd, l.sealed)
	l.count.bytes.Add(uint64(n))
	if blocked {
		x := s.more()
		x.sealed = append(x.sealed, l.sealed[n:]...)
	}
	return blocked, err
}

// sendSealed goes on with what the socket has not taken.
func (l *loop) sendSealed(s *session) (blocked bool, err error) {
	if s.x == nil || len(s.x.sealed) == 0 {
		return false, nil
	}
	n, blocked, err := send(s.fd, s.x.sealed)
	l.count.bytes.Add(uint64(n))
	if s.x.sealed = s.x.sealed[n:]; len(s.x.sealed) == 0 {
		s.x.sealed = nil
	}
	return blocked, err
}

// open has TLS read what has come, and takes what that says.
func (l *loop) open(s *session, come []byte) {
	if l.clear == nil {
		l.clear = make([]byte, readBytes)
	}
	s.tls.come = come
	for s.phase != ended {
		l.sealed = l.sealed[:0]
		n, err := s.tls.conn.Read(l.clear)
		if len(l.sealed) > 0 && !l.answerTLS(s) {
			return
		}
		if n > 0 {
			l.take(s, l.clear[:n])
		}
		switch {
		case errors.Is(err, errNothing):
			releaseBuffers(s.tls.conn)
			return
		case err != nil && s.phase != ended:
			l.end(s, fmt.Errorf("read: %w", err))
			return
		}
	}
}

// answerTLS sends what TLS itself has to say, as new keys; false if the session has ended of it.
func (l *loop) answerTLS(s *session) bool {
	var blocked bool
	var err error
	if s.blocked { // behind what waits already
		x := s.more()
		x.sealed = append(x.sealed, l.sealed...)
	} else {
		blocked, err = l.flushSealed(s)
	}
	switch {
	case err != nil:
		l.fail(s, fmt.Errorf("write: %w", err))
	case blocked:
		l.block(s)
	}
	return s.phase != ended
}

// sayEnd tells the other side by TLS that nothing more comes. It is lost where the socket takes no more.
func (l *loop) sayEnd(s *session) {
	l.sealed = l.sealed[:0]
	if s.tls.conn.CloseWrite() == nil {
		_, _, _ = send(s.fd, l.sealed)
	}
}
