//go:build linux

package epoll

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// take takes the socket of a connection away from Go's own poller: the descriptor is ours from now on, and the connection of no use.
func take(conn net.Conn) (fd int, d engine.Detached, err error) {
	d.Socket, _ = conn.(*net.TCPConn)
	if detacher, ok := conn.(engine.Detacher); ok {
		d = detacher.Detach()
	}
	if d.Socket == nil || d.TLS != nil && d.Redirect == nil {
		return 0, d, fmt.Errorf("%w: %T", ErrNoSocket, conn)
	}
	raw, err := d.Socket.SyscallConn()
	if err != nil {
		return 0, d, fmt.Errorf("take a socket over: %w", err)
	}
	var failed error
	err = raw.Control(func(its uintptr) { fd, failed = unix.FcntlInt(its, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return 0, d, fmt.Errorf("take a socket over: %w", err)
	}
	_ = d.Socket.Close() // the socket lives on by our descriptor
	return fd, d, nil
}

// setSendBuffer may fail: a socket whose buffer cannot be set is broken, and its first read says so better.
func setSendBuffer(fd, bytes int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bytes) }

func closeSocket(fd int) { _ = unix.Close(fd) }

// send writes to a socket what it takes without waiting; blocked says that it took only the first n bytes. It is a raw system call: a socket that does not
// block needs no word to the scheduler, which would cost more than all else that we do for a delivery.
func send(fd int32, data []byte) (n int, blocked bool, err error) {
	for {
		r, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(r), int(r) < len(data), nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, true, nil
		}
		return 0, false, errno
	}
}

// receive reads what there is. again says that there is nothing for now; 0 bytes without an error are the end.
func receive(fd int32, into []byte) (n int, again bool, err error) {
	for {
		r, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(r), false, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, true, nil
		}
		return 0, false, errno
	}
}

// poll is an epoll instance, and a counter by which others end its wait. It waits by Go's own poller, in which the instance is itself a file that can be read: a
// thread that waits in a system call keeps Go's monitor looking after it, every 20 µs at first, and a call that comes after a rest then costs a fifth of a millisecond.
type poll struct {
	fd, wakeFd int
	file       *os.File // fd
	ready      syscall.RawConn
	events     [512]unix.EpollEvent
	got        int
	look       func(fd uintptr) bool
	deadline   time.Time // of file
}

// noSlot is the place of the wake-up call among sessions.
const noSlot = -1

func (p *poll) open() error {
	var err error
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make an epoll instance: %w", err)
	}
	if p.wakeFd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, p.wakeFd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: noSlot})
	}
	if err == nil {
		err = unix.SetNonblock(p.fd, true)
	}
	if err != nil {
		_ = unix.Close(p.fd)
		return fmt.Errorf("make an epoll instance that can be woken: %w", err)
	}
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	p.ready, err = p.file.SyscallConn()
	if err == nil {
		err = p.file.SetReadDeadline(never) // fails where Go's poller does not take it
	}
	if err != nil {
		p.close()
		return fmt.Errorf("wait for an epoll instance: %w", err)
	}
	p.look = func(uintptr) bool { return p.take() }
	return nil
}

func (p *poll) close() {
	_ = unix.Close(p.wakeFd)
	_ = p.file.Close()
}

// take takes the events that there are, and reports whether there are any.
func (p *poll) take() bool {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events)), uintptr(len(p.events)), 0, 0, 0)
	if p.got = int(n); errno != 0 { // EINTR; any other would be our own mistake
		p.got = 0
	}
	return p.got > 0
}

// add begins to watch a socket; watch changes for what.
func (p *poll) add(fd int32, slot uint32, generation uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(slot), Pad: int32(generation)})
}

func (p *poll) watch(fd int32, slot uint32, generation uint32, writable bool) error {
	events := uint32(unix.EPOLLIN)
	if writable {
		events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, int(fd), &unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(generation)})
}

// remove ends the watch of a socket that lives on. It fails only for one that is not watched.
func (p *poll) remove(fd int32) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, int(fd), nil) }

// wait waits for sockets, until a time at most; never waits for as long as it takes.
func (p *poll) wait(until time.Time) []unix.EpollEvent {
	if p.take() {
		return p.events[:p.got]
	}
	if !until.Equal(p.deadline) {
		_ = p.file.SetReadDeadline(until) // fails only for a file that is closed
		p.deadline = until
	}
	_ = p.ready.Read(p.look) // fails when the time is over
	return p.events[:p.got]
}

// glance are the events that there are, without a wait.
func (p *poll) glance() []unix.EpollEvent {
	p.take()
	return p.events[:p.got]
}

// never is no time at all.
var never time.Time

// wake ends the wait, or the next one.
func (p *poll) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wakeFd, one[:]) // a counter that is full wakes too
}

// woken takes the call back.
func (p *poll) woken() {
	var count [8]byte
	_, _ = unix.Read(p.wakeFd, count[:])
}
