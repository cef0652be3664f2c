package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The swarm is a process with all subscribers, the same for all targets: loops over epoll that look through whatever comes for the marker of a post.
// It reads no frames, for the marker stands in every target's as it was posted.

// order is what a swarm is told, one at a time.
type order struct {
	// Connect has so many subscribers more come in.
	Door    *door
	Connect int
	// Expect posts First to First+Posts-1 at each subscriber, within the time.
	First  uint64
	Posts  int
	Within time.Duration
}

// answer to an order.
type answer struct {
	Error string
	// Subscribers that there are.
	Subscribers int
	// Expecting is said at once, before the posts may come.
	Expecting bool
	// Deliveries that came, Doubled ones, and Disordered ones: in another order than others were given them.
	Deliveries, Doubled, Disordered int
	// When the middle one, 99 % and the last had come, nanoseconds since 1970.
	P50, P99, Last int64
}

// swarmLoops is how many threads the subscribers are divided among.
const swarmLoops = 2

// connectAtOnce is how many subscribers come in at the same time.
const connectAtOnce = 128

type swarm struct {
	loops []*loop
	count int // subscribers
	// due counts down what is expected, of all loops.
	due  atomic.Int64
	done chan struct{}
}

// swarmMain is the process of a swarm.
func swarmMain() error {
	s := &swarm{}
	for range swarmLoops {
		l, err := newLoop(s)
		if err != nil {
			return err
		}
		s.loops = append(s.loops, l)
	}
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		var err error
		if o.Connect > 0 {
			err = s.connect(*o.Door, o.Connect)
		} else {
			s.expect(o)
			if err := out.Encode(answer{Expecting: true}); err != nil {
				return err
			}
			a = s.await(o)
		}
		if a.Subscribers = s.count; err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func (s *swarm) connect(d door, more int) error {
	var failed atomic.Pointer[error]
	var pending sync.WaitGroup
	turns := make(chan int)
	for range connectAtOnce {
		pending.Go(func() {
			for i := range turns {
				c, err := comeIn(d, i)
				if err != nil {
					err = fmt.Errorf("subscriber %d: %w", i, err)
					failed.Store(&err)
					continue
				}
				s.loops[i%len(s.loops)].add(c)
			}
		})
	}
	for i := s.count; i < s.count+more && failed.Load() == nil; i++ {
		turns <- i
	}
	close(turns)
	pending.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	s.count += more
	return nil
}

// comeIn connects a subscriber. Posts come only once it is in.
func comeIn(d door, number int) (c *conn, err error) {
	at, err := netip.ParseAddrPort(d.Address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	patience := unix.NsecToTimeval(int64(20 * time.Second))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &patience); err != nil {
			return nil, err
		}
	}
	if err := connectTo(fd, at); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c = &conn{fd: fd}
	over := io.ReadWriter(&wire{fd: fd})
	if d.TLS {
		c.wire = &wire{fd: fd}
		c.tls = tls.Client(c.wire, trusting())
		if err := c.tls.Handshake(); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		over = c.tls
	}
	key := make([]byte, 16)
	binary.BigEndian.PutUint64(key, uint64(number))
	request := "GET " + d.Path + " HTTP/1.1\r\nHost: " + d.Address + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
		base64.StdEncoding.EncodeToString(key) + "\r\n"
	if d.Protocol != "" {
		request += "Sec-WebSocket-Protocol: " + d.Protocol + "\r\n"
	}
	if _, err := over.Write([]byte(request + "\r\n")); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	got, err := readUntil(over, []byte("\r\n\r\n"))
	if err != nil {
		return nil, fmt.Errorf("handshake: answered %q: %w", got, err)
	}
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 101 ")) {
		return nil, fmt.Errorf("handshake: answered %q", got)
	}
	if len(d.Hellos) > 0 {
		hello := personal(d.Hellos[number%len(d.Hellos)], number)
		if _, err := over.Write(hello); err != nil {
			return nil, fmt.Errorf("hello: %w", err)
		}
		if got, err = readUntil(over, d.Welcome); err != nil {
			return nil, fmt.Errorf("no welcome, but %q: %w", got, err)
		}
	}
	if c.tls != nil {
		c.wire.inLoop = true
	}
	return c, unix.SetNonblock(fd, true)
}

// connectTo connects a socket. One that a signal has interrupted goes on connecting.
func connectTo(fd int, at netip.AddrPort) error {
	err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	if !errors.Is(err, unix.EINTR) {
		return err
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 20_000)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return unix.ETIMEDOUT
		}
		failed, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || failed == 0 {
			return err
		}
		return unix.Errno(failed)
	}
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func readUntil(r io.Reader, end []byte) (got []byte, err error) {
	buffer := make([]byte, 4096)
	for !bytes.Contains(got, end) {
		n, err := r.Read(buffer)
		if got = append(got, buffer[:n]...); err != nil {
			return got, err
		}
	}
	return got, nil
}

// placeholder in a hello is where the subscriber's number goes.
var placeholder = []byte("@@@@@@@@")

// clientFrame is a message as a client's WebSocket frame. Its mask is zero, so that what it says can be changed.
func clientFrame(message []byte) []byte {
	frame := []byte{0x82}
	switch {
	case len(message) < 126:
		frame = append(frame, 0x80|byte(len(message)))
	default:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(len(message)))
	}
	frame = append(frame, 0, 0, 0, 0)
	return append(frame, message...)
}

func personal(hello []byte, number int) []byte {
	return bytes.ReplaceAll(hello, placeholder, fmt.Appendf(nil, "%08d", number))
}

// loop is a thread with a part of the subscribers.
type loop struct {
	swarm *swarm
	epoll int

	mu    sync.Mutex
	conns []*conn // by file descriptor
	first uint64
	posts int
	// came is when each delivery did.
	came []int64
	// sequence is the order in which posts came to the subscriber who was the first to have so many.
	sequence            []uint64
	doubled, disordered int
	failed              error
}

// conn is a subscriber.
type conn struct {
	fd int
	// tls speaks over wire; both nil without TLS.
	tls  *tls.Conn
	wire *wire
	// seen is which of the posts that are expected it has, count how many.
	seen  uint64
	count int
	// tail is the end of what it was given, where a marker may have begun.
	tail  [markerLen - 1]byte
	tails int
}

func newLoop(s *swarm) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &loop{swarm: s, epoll: epoll}
	go l.run()
	return l, nil
}

func (l *loop) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd := c.fd
	if fd >= len(l.conns) {
		l.conns = slices.Grow(l.conns, fd+1)[:fd+1]
	}
	l.conns[fd] = c
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		fatal(err)
	}
}

func (l *loop) run() {
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, 256)
	buffer, sealed := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			fatal(err)
		}
		l.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			if c := l.conns[e.Fd]; c.tls != nil {
				l.readTLS(c, sealed, buffer)
			} else {
				l.read(c, buffer)
			}
		}
		l.mu.Unlock()
	}
}

// read takes what there is of one subscriber.
func (l *loop) read(c *conn, buffer []byte) {
	kept := copy(buffer, c.tail[:c.tails])
	n, err := unix.Read(c.fd, buffer[kept:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case n <= 0:
		l.cut(c, err)
	default:
		l.look(c, buffer[:kept+n])
	}
}

// readTLS is the same over TLS.
func (l *loop) readTLS(c *conn, sealed, buffer []byte) {
	n, err := unix.Read(c.fd, sealed)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case n <= 0:
		l.cut(c, err)
		return
	}
	c.wire.come = sealed[:n]
	for {
		kept := copy(buffer, c.tail[:c.tails])
		n, err := c.tls.Read(buffer[kept:])
		switch {
		case n > 0:
			l.look(c, buffer[:kept+n])
		case errors.Is(err, errNothing):
			return
		default:
			l.cut(c, err)
			return
		}
	}
}

func (l *loop) cut(c *conn, err error) {
	l.failed = fmt.Errorf("a subscriber was cut: %w", errors.Join(err, io.EOF))
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	_ = unix.Close(c.fd)
}

// look finds the posts in what a subscriber was given.
func (l *loop) look(c *conn, data []byte) {
	now := time.Now().UnixNano()
	for {
		at := bytes.Index(data, []byte(marker))
		if at < 0 || len(data)-at < markerLen {
			break
		}
		if number, err := strconv.ParseUint(string(data[at+len(marker):at+markerLen]), 16, 64); err == nil {
			l.take(c, number, now)
		}
		data = data[at+markerLen:]
	}
	c.tails = copy(c.tail[:], data[max(0, len(data)-len(c.tail)):])
}

func (l *loop) take(c *conn, number uint64, now int64) {
	if number < l.first || number >= l.first+uint64(l.posts) {
		l.doubled++ // of an earlier round: nothing is left out there when the next one begins
		return
	}
	bit := uint64(1) << (number - l.first)
	if c.seen&bit != 0 {
		l.doubled++
		return
	}
	c.seen |= bit
	if c.count == len(l.sequence) {
		l.sequence = append(l.sequence, number)
	} else if l.sequence[c.count] != number {
		l.disordered++
	}
	c.count++
	l.came = append(l.came, now)
	if l.swarm.due.Add(-1) == 0 {
		close(l.swarm.done)
	}
}

// expect gets ready for posts, 64 at most.
func (s *swarm) expect(o order) {
	s.done = make(chan struct{})
	s.due.Store(int64(s.count * o.Posts))
	for _, l := range s.loops {
		l.mu.Lock()
		l.first, l.posts = o.First, o.Posts
		l.came = slices.Grow(l.came[:0], s.count*o.Posts/len(s.loops)+1)
		l.doubled, l.disordered, l.sequence = 0, 0, l.sequence[:0]
		for _, c := range l.conns {
			if c != nil {
				c.seen, c.count = 0, 0
			}
		}
		l.mu.Unlock()
	}
}

func (s *swarm) await(o order) (a answer) {
	select {
	case <-s.done:
	case <-time.After(o.Within):
	}
	var came []int64
	var sequence []uint64
	for i, l := range s.loops {
		l.mu.Lock()
		if i == 0 {
			sequence = slices.Clone(l.sequence)
		}
		both := min(len(sequence), len(l.sequence))
		if !slices.Equal(sequence[:both], l.sequence[:both]) {
			a.Disordered++ // at all of its subscribers
		}
		came = append(came, l.came...)
		a.Doubled += l.doubled
		a.Disordered += l.disordered
		if l.failed != nil {
			a.Error = l.failed.Error()
		}
		l.mu.Unlock()
	}
	if a.Deliveries = len(came); a.Deliveries == 0 {
		return a
	}
	slices.Sort(came)
	a.P50, a.P99, a.Last = came[len(came)/2], came[len(came)*99/100], came[len(came)-1]
	return a
}
