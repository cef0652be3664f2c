package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bare is the floor: the least that a server can do for a broadcast over the sockets of this machine, which is a write for each. It shakes hands,
// and reads nothing after that.
type bare struct {
	threads int
	// batch puts all frames of a burst into one write.
	batch bool

	mu      sync.Mutex
	sockets []int
	work    []chan []byte // frames, for each thread
	done    sync.WaitGroup
}

func (b *bare) listen() (door, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return door{}, err
	}
	go b.accept(l)
	for i := range b.threads {
		frames := make(chan []byte)
		b.work = append(b.work, frames)
		go func() {
			runtime.LockOSThread()
			for frame := range frames {
				b.write(i, frame)
				b.done.Done()
			}
		}()
	}
	return door{Address: l.Addr().String(), Path: "/"}, nil
}

func (b *bare) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fd, err := b.shake(conn)
		if err != nil {
			fatal(err)
		}
		b.mu.Lock()
		b.sockets = append(b.sockets, fd)
		b.mu.Unlock()
	}
}

// shake answers a handshake, and takes the socket out of Go's poller.
func (b *bare) shake(conn net.Conn) (int, error) {
	defer conn.Close()
	request := make([]byte, 2048)
	n := 0
	for !bytes.Contains(request[:n], []byte("\r\n\r\n")) {
		more, err := conn.Read(request[n:])
		if err != nil {
			return 0, err
		}
		n += more
	}
	_, rest, _ := bytes.Cut(request[:n], []byte("Sec-WebSocket-Key: "))
	key, _, _ := bytes.Cut(rest, []byte("\r\n"))
	sum := sha1.Sum(append(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		return 0, err
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var failed error
	if err := raw.Control(func(of uintptr) { fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return 0, err
	}
	return fd, failed
}

func (b *bare) post(texts []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var frames []byte
	for _, t := range texts {
		frame := textFrame(t)
		if b.batch {
			frames = append(frames, frame...)
			continue
		}
		b.broadcast(frame)
	}
	if b.batch {
		b.broadcast(frames)
	}
	return nil
}

func (b *bare) broadcast(frame []byte) {
	b.done.Add(len(b.work))
	for _, w := range b.work {
		w <- frame
	}
	b.done.Wait()
}

// write writes a frame to the sockets of one thread.
func (b *bare) write(thread int, frame []byte) {
	for i := thread; i < len(b.sockets); i += b.threads {
		rest := frame
		for len(rest) > 0 {
			n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(b.sockets[i]), uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)))
			switch {
			case errno == 0:
				rest = rest[n:]
			case errno == unix.EAGAIN:
				wait := []unix.PollFd{{Fd: int32(b.sockets[i]), Events: unix.POLLOUT}}
				if _, err := unix.Poll(wait, 1000); err != nil && !errors.Is(err, unix.EINTR) {
					fatal(err)
				}
			case errno != unix.EINTR:
				fatal(fmt.Errorf("write: %w", errno))
			}
		}
	}
}

// textFrame is a text as a server's WebSocket frame.
func textFrame(s string) []byte {
	frame := []byte{0x81}
	switch {
	case len(s) < 126:
		frame = append(frame, byte(len(s)))
	case len(s) < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(len(s)))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(len(s)))
	}
	return append(frame, s...)
}
