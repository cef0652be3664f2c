//go:build linux

package epoll_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/epoll"
)

const testPatience = 20 * time.Second

// visitor is a socket that is opened by "hello\n", and released by "other\n".
type visitor struct {
	messages chan string
	closed   chan error
	released chan string
	late     atomic.Bool
	left     atomic.Int32
}

func newVisitor() *visitor {
	return &visitor{messages: make(chan string, 100), closed: make(chan error, 2), released: make(chan string, 2)}
}

func (v *visitor) Heard(said []byte) engine.Opened {
	at := bytes.IndexByte(said, '\n')
	switch {
	case at < 0:
		return engine.Opened{}
	case string(said[:at]) == "hello":
		return engine.Opened{Next: engine.Begin, Answer: []byte("welcome\n"), Used: at + 1, Encoding: engine.JSON, Handler: v}
	}
	return engine.Opened{Next: engine.Release}
}

func (v *visitor) Released(fd int, said []byte, late bool) {
	v.late.Store(late)
	if _, err := unix.Write(fd, []byte("released\n")); err != nil { // it must not be closed
		panic(err)
	}
	_ = unix.Close(fd)
	v.released <- string(said)
}

func (v *visitor) Message(_ engine.Session, payload []byte) { v.messages <- string(payload) }
func (v *visitor) Closed(_ engine.Session, cause error)     { v.closed <- cause }

// visit opens a socket, and returns its other end.
func visit(t *testing.T, e engine.Engine, v *visitor, within time.Duration) net.Conn {
	t.Helper()
	server, client := socketPair(t)
	fd := descriptor(t, server)
	e.(engine.Opener).Open(engine.Socket{FD: fd, Opening: v, Within: within, Left: func() { v.left.Add(1) }})
	_ = client.SetDeadline(time.Now().Add(testPatience))
	return client
}

// descriptor is one of the socket's own, of which nobody else knows.
func descriptor(t *testing.T, conn net.Conn) int {
	t.Helper()
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // which Fd has undone
	}
	if err = errors.Join(err, file.Close(), conn.Close()); err != nil {
		t.Fatal(err)
	}
	return fd
}

func say(t *testing.T, c net.Conn, words ...string) {
	t.Helper()
	for i, w := range words {
		if i > 0 {
			time.Sleep(2 * time.Millisecond) // likely to be read by itself
		}
		if _, err := c.Write([]byte(w)); err != nil {
			t.Fatal(err)
		}
	}
}

func hears(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("heard %q (%v), want %q", got, err, want)
	}
}

func take[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case x := <-from:
		return x
	case <-time.After(testPatience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// hi is a whole masked text message "hi", whose mask is of zeros.
const hi = "\x81\x82\x00\x00\x00\x00hi"

// A socket becomes a session by its first words, in whatever pieces they come, and what comes with them is not lost.
func TestASocketBecomesASession(t *testing.T) {
	e := newEngine(engine.Config{})
	defer e.Shutdown(t.Context())
	for _, words := range [][]string{
		{"hello\n", hi}, {"hel", "lo\n", hi}, {"h", "e", "l", "l", "o", "\n" + hi}, {"hello\n" + hi}, {"hello\n" + hi[:3], hi[3:]}, {"hel", "lo\n" + hi[:7], hi[7:]},
	} {
		v := newVisitor()
		c := visit(t, e, v, time.Hour)
		say(t, c, words...)
		hears(t, c, "welcome\n")
		if got := take(t, v.messages); got != "hi" {
			t.Errorf("%q: the message is %q", words, got)
		}
		if v.left.Load() != 0 {
			t.Errorf("%q: left, and it is here", words)
		}
		c.Close()
		take(t, v.closed)
		for end := time.Now().Add(testPatience); v.left.Load() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		if n := v.left.Load(); n != 1 || len(v.closed) > 0 || len(v.released) > 0 {
			t.Errorf("%q: left %d times, closed again: %d, released: %d", words, n, len(v.closed), len(v.released))
		}
	}
}

// What is no session is released, as it is, with all that it has said, and the engine knows nothing of it any more.
func TestASocketIsReleased(t *testing.T) {
	e := newEngine(engine.Config{})
	defer e.Shutdown(t.Context())
	for _, words := range [][]string{{"other\nand more"}, {"oth", "er\n"}} {
		v := newVisitor()
		c := visit(t, e, v, time.Hour)
		say(t, c, words...)
		hears(t, c, "released\n")
		if got, want := take(t, v.released), join(words); got != want || v.late.Load() {
			t.Errorf("released with %q, late: %v; want %q in time", got, v.late.Load(), want)
		}
		if n := e.Stats().Sessions; n != 0 || v.left.Load() != 0 || len(v.closed) > 0 {
			t.Errorf("the engine has %d sessions; left %d times, closed %d times", n, v.left.Load(), len(v.closed))
		}
	}
}

func join(words []string) (s string) {
	for _, w := range words {
		s += w
	}
	return s
}

// Who says too little in his time is released as late, also if he says something all the while.
func TestASocketIsLate(t *testing.T) {
	e := newEngine(engine.Config{})
	defer e.Shutdown(t.Context())
	v := newVisitor()
	c := visit(t, e, v, 300*time.Millisecond)
	for range 2 {
		say(t, c, "x")
		time.Sleep(50 * time.Millisecond)
	}
	hears(t, c, "released\n")
	if got := take(t, v.released); got != "xx" || !v.late.Load() {
		t.Errorf("released with %q, late: %v", got, v.late.Load())
	}
}

// Who leaves before he has said what he wants is counted as gone, and nobody else is told.
func TestASocketLeavesFirst(t *testing.T) {
	e := newEngine(engine.Config{})
	defer e.Shutdown(t.Context())
	for _, word := range []string{"", "hel"} {
		v := newVisitor()
		c := visit(t, e, v, time.Hour)
		say(t, c, word)
		c.Close()
		for end := time.Now().Add(testPatience); v.left.Load() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		if v.left.Load() != 1 || len(v.closed)+len(v.released) > 0 {
			t.Errorf("after %q: left %d times, closed %d, released %d", word, v.left.Load(), len(v.closed), len(v.released))
		}
	}
}

// The engine's end closes sockets that have not said what they want, and those that come later.
func TestShutdownEndsSocketsThatAreOpening(t *testing.T) {
	e := newEngine(engine.Config{})
	before, after := newVisitor(), newVisitor()
	c := visit(t, e, before, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	d := visit(t, e, after, time.Hour)
	for _, conn := range []net.Conn{c, d} {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the socket is open: %v", err)
		}
	}
	if before.left.Load() != 1 || after.left.Load() != 1 {
		t.Errorf("left %d and %d times, want once each", before.left.Load(), after.left.Load())
	}
}

// A session that began as a socket has the time for its first message that all have.
func TestABegunSessionMustSpeak(t *testing.T) {
	e := newEngine(engine.Config{FirstMessageWithin: 100 * time.Millisecond})
	defer e.Shutdown(t.Context())
	v := newVisitor()
	c := visit(t, e, v, time.Hour)
	say(t, c, "hello\n")
	if err := take(t, v.closed); !errors.Is(err, engine.ErrNoFirstMessage) {
		t.Errorf("closed for %v", err)
	}
}

var _ engine.Opener = (*epoll.Engine)(nil)
