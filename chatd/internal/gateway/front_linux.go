package gateway

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// front is a listener whose connections go to the engine first. Accept returns those that the engine has released: all that do not begin a session.
type front struct {
	limits   *limited
	listener *net.TCPListener
	released chan net.Conn
	begun    sync.Once
	// broken is why no more connections come, once over is closed.
	broken error
	over   chan struct{}
	ended  chan struct{} // by Close
	ends   sync.Once
}

func newFront(l *net.TCPListener, limits *limited) net.Listener {
	return &front{limits: limits, listener: l, released: make(chan net.Conn), over: make(chan struct{}), ended: make(chan struct{})}
}

// Addr implements net.Listener.
func (f *front) Addr() net.Addr { return f.listener.Addr() }

// Close implements net.Listener. What the engine has not released by now it keeps.
func (f *front) Close() error {
	f.ends.Do(func() { close(f.ended) })
	return f.listener.Close()
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	f.begun.Do(func() { go f.run() })
	select {
	case conn := <-f.released:
		return conn, nil
	case <-f.over:
		return nil, f.broken
	case <-f.ended:
		return nil, net.ErrClosed
	}
}

func (f *front) run() {
	f.broken = f.acceptAll()
	close(f.over)
}

// acceptAll takes connections until the listener is closed. It takes bare descriptors: Go's poller has nothing to do with them before somebody wants a net.Conn.
func (f *front) acceptAll() error {
	// A net.TCPListener does not say when a connection waits; a file on the same socket does.
	file, err := f.listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	go func() {
		<-f.ended
		_ = file.SetReadDeadline(time.Unix(1, 0)) // ends the wait
	}()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	for pause := time.Duration(0); ; {
		fd, from, err := accept(raw)
		switch {
		case err == nil:
			pause = 0
			f.enter(fd, from)
		case isPassing(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			f.limits.admission.cfg.Logger.Warn("a connection could not be accepted", "err", err, "next_try_in", pause)
			select {
			case <-time.After(pause):
			case <-f.ended:
				return net.ErrClosed
			}
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
			return net.ErrClosed
		default:
			return os.NewSyscallError("accept4", err)
		}
	}
}

// accept waits for a connection.
func accept(raw syscall.RawConn) (fd int, from netip.Addr, err error) {
	var sa unix.Sockaddr
	waited := raw.Read(func(l uintptr) bool {
		for {
			fd, sa, err = unix.Accept4(int(l), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if waited != nil {
		return 0, from, waited
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		from = netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		from = netip.AddrFrom16(a.Addr)
	}
	return fd, from, err
}

// isPassing says of an error that it is of the system's means, of which there may be more again.
func isPassing(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// enter shows a connection in, or turns it away.
func (f *front) enter(fd int, from netip.Addr) {
	v, refusal := f.limits.admission.enter(from)
	if v == nil {
		if conn, err := connOf(fd); err == nil {
			turnAway(conn, refusal)
		}
		return
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // as Go does; it fails only for a socket that is broken
	cfg := &f.limits.admission.cfg
	cfg.Opener.Open(engine.Socket{FD: fd, Opening: &opening{v, f.release}, Within: cfg.HeadersWithin, Left: v.leave})
}

// release is given what the engine does not keep. The engine does not wait for it.
func (f *front) release(fd int, v *visitor, said []byte, late bool) {
	go func() {
		socket, err := connOf(fd)
		if err != nil {
			f.limits.admission.cfg.Logger.Debug("a connection is lost", "err", err)
			v.leave()
			return
		}
		conn := admit(socket, v, said)
		if late {
			sayGoodbye(conn, tooSlow)
			return
		}
		select {
		case f.released <- conn:
		case <-f.ended:
			conn.Close()
		}
	}()
}

// sayGoodbye answers and hangs up, and listens a little while longer: what comes after the end is answered by a reset, which may overtake the answer.
func sayGoodbye(conn net.Conn, answer string) {
	const lingers = 500 * time.Millisecond
	_ = conn.SetDeadline(time.Now().Add(lingers))
	_, _ = conn.Write([]byte(answer)) // the client is gone if this fails
	if end, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = end.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	}
	conn.Close()
}

// connOf makes a connection of a descriptor, which is closed if that fails.
func connOf(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "")
	conn, err := net.FileConn(file)
	_ = file.Close() // conn has a descriptor of its own
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlive(false) // as of all others: sessions have pings, requests deadlines
	}
	return conn, nil
}
