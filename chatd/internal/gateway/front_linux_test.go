package gateway

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const frontPatience = 20 * time.Second

// sockets is an engine that hands on what it is given.
type sockets chan engine.Socket

func (s sockets) Open(sock engine.Socket) { s <- sock }

func openFront(t *testing.T, change func(*Config)) (*front, sockets) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opened := make(sockets, 10)
	cfg := Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Opener: opened}
	if change != nil {
		change(&cfg)
	}
	f := LimitListener(l, cfg).(*front)
	t.Cleanup(func() { f.Close() })
	return f, opened
}

func soon[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case x := <-from:
		return x
	case <-time.After(frontPatience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// accepted is what Accept returns, and when it returns.
func accepted(f *front) <-chan net.Conn {
	conns := make(chan net.Conn, 1)
	go func() {
		conn, err := f.Accept()
		if err != nil {
			close(conns)
			return
		}
		conns <- conn
	}()
	return conns
}

// A connection goes to the engine, and to the HTTP server only if the engine does not keep it: with what was said, and a write of it is sent at once.
func TestTheFrontShowsConnectionsToTheEngine(t *testing.T) {
	f, opened := openFront(t, nil)
	conns := accepted(f)
	client, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sock := soon(t, opened)
	if on, err := unix.GetsockoptInt(sock.FD, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
		t.Errorf("TCP_NODELAY is %d (%v)", on, err)
	}
	if flags, err := unix.FcntlInt(uintptr(sock.FD), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("the socket blocks: flags %#x (%v)", flags, err)
	}
	if len(conns) > 0 {
		t.Fatal("the HTTP server has it too")
	}
	if _, err := client.Write([]byte(" world")); err != nil {
		t.Fatal(err)
	}
	sock.Opening.Released(sock.FD, []byte("hello"), false)
	conn := soon(t, conns)
	got := make([]byte, 11)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello world" {
		t.Errorf("the HTTP server reads %q (%v)", got, err)
	}
	if f.limits.admission.open != 1 {
		t.Errorf("%d connections are counted", f.limits.admission.open)
	}
	conn.Close()
	if f.limits.admission.open != 0 {
		t.Errorf("%d connections are counted after its end", f.limits.admission.open)
	}
}

// Who has said too little in time hears why, as does who finds no place.
func TestTheFrontTurnsAway(t *testing.T) {
	f, opened := openFront(t, func(c *Config) { c.MaxConnections, c.MaxUnknown = 1, 1 })
	accepted(f)
	first, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	sock := soon(t, opened)
	hears := func(c net.Conn, want string) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(frontPatience))
		if all, err := io.ReadAll(c); err != nil || !strings.Contains(string(all), want) {
			t.Errorf("heard %q (%v), want %q", all, err, want)
		}
	}
	second, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	hears(second, "503 Service Unavailable")
	sock.Opening.Released(sock.FD, nil, true)
	hears(first, "408 Request Timeout")
	for end := time.Now().Add(frontPatience); ; time.Sleep(time.Millisecond) {
		f.limits.admission.mu.Lock()
		open := f.limits.admission.open
		f.limits.admission.mu.Unlock()
		if open == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections are counted", open)
		}
	}
}

// Close ends it: nobody gets in, what the engine releases afterwards is closed, and nothing runs on.
func TestTheFrontCloses(t *testing.T) {
	f, opened := openFront(t, nil)
	conns := accepted(f)
	client, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sock := soon(t, opened)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, open := <-conns; open {
		t.Errorf("accepted %v", conn)
	}
	soon(t, f.over)
	if !errors.Is(f.broken, net.ErrClosed) {
		t.Errorf("it ended with %v", f.broken)
	}
	if _, err := f.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if c, err := net.Dial("tcp", f.Addr().String()); err == nil {
		c.Close()
		t.Error("somebody gets in")
	}
	sock.Opening.Released(sock.FD, []byte("POST"), false)
	_ = client.SetDeadline(time.Now().Add(frontPatience))
	if _, err := client.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the connection is open: %v", err)
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
