package swarm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

const (
	// HiccupEvery is the tick, by whose lateness hiccups are measured. A dozen of workers that wake every millisecond take a tenth of a core from the fleet beside them.
	HiccupEvery  = 5 * time.Millisecond
	publishEvery = 50 * time.Millisecond
	// eventBatch bounds how long a loop is away from its tick.
	eventBatch = 256
	// gatherOne is how long a loop lets readiness add up after a batch that was not full, and gatherMany after one of more than one socket. A fan-out comes socket by
	// socket, and waking for each costs a core that shares the machine with the fleet more than reading does. It adds at most this to a latency: a thousandth of a
	// second's bound.
	gatherOne  = 200 * time.Microsecond
	gatherMany = time.Millisecond
	readBytes  = 128 << 10
)

// loop drives a part of the sessions by one epoll instance. All but control and shared belongs to its goroutine.
type loop struct {
	crowd
	behaviour Behaviour
	clock     stamp.Clock
	index, of int // which loop it is
	seed      uint64
	slowRate  int     // bytes a second that a slow reader reads; 0: none
	rate      float64 // first connects a second, of all loops
	maxUnder  int     // first connects under way

	endpoints []endpoint
	far       []endpoint
	sources   sources
	logs      []string
	logIndex  map[string]int32

	epfd     int
	wheel    *wheel
	partials partials
	book     *book
	random   *rand.Rand
	in       []byte // what is read, whoever's it is
	out      []byte
	payload  []byte
	logID    []byte
	frame    chatv1.ServerFrame
	answer   answer
	ping     chatv1.ClientFrame
	renew    chatv1.ClientFrame
	resumes  resumes

	startNs int64 // the wheel's zero
	// serverAhead is the server's time, in nanoseconds since 1970, less the clock: as of the last sign-in's answer.
	serverAhead int64
	connectNs   int64 // when the first connect was due; 0: not yet
	nextDial    int
	under       int // connections between dial and sign-in
	pingEvery   time.Duration
	nextTick    int64
	nextReport  int64

	counters Counters
	errors   errorCounts
	hiccups  *measure.Histogram
	signIn   *measure.Histogram
	levels   struct{ wanted, established, signedIn *measure.Series }
	runNs    int64
	// By their moment: sign-ins, the first of a session and all others; those by a resume token; connections lost; connections lost for good. And the
	// times from losing a connection to being signed in again, by when it was lost.
	signIns, resumed, losses, lostForGood *measure.Series
	returns                               *measure.Histogram
	waits                                 *Peaks

	awake    bool // slow readers read as fast as others
	slowTurn int  // the one of slowTurns that is next
	slowNext int64
	cutOrder *cutOrder // the last that was carried out

	control struct {
		start, stop atomic.Bool
		awake       atomic.Bool              // slow readers read like everybody
		heads       atomic.Pointer[[]uint64] // by log; asks for shared.behind
		cut         atomic.Pointer[cutOrder]
		windows     atomic.Pointer[[]Window] // when far sessions are delayed
	}
	shared struct {
		sync.Mutex
		counters Counters
		errors   errorCounts
		behind   int64
		heads    *[]uint64 // that behind is for
		cutOrder *cutOrder // the last that was carried out
		cut      int64     // how many sessions it hit
	}
}

// run drives the sessions until it is stopped, then closes them.
func (l *loop) run(ctx context.Context) error {
	var err error
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("swarm: epoll: %w", err)
	}
	defer unix.Close(l.epfd)
	defer context.AfterFunc(ctx, func() { l.control.stop.Store(true) })()
	defer func() {
		l.closeAll()
		l.publish()
	}()
	l.startNs = l.clock()
	l.nextTick = l.startNs + int64(HiccupEvery)
	events := make([]unix.EpollEvent, eventBatch)
	for !l.control.stop.Load() {
		n, err := unix.EpollWait(l.epfd, events, int(HiccupEvery/time.Millisecond))
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("swarm: epoll: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if s := &l.sessions[e.Fd]; s.fd >= 0 && s.conn == uint32(e.Pad) {
				l.ready(e.Fd, e.Events)
			}
		}
		if now := l.clock(); now >= l.nextTick {
			l.tick(now)
		}
		if n > 0 && n < eventBatch {
			l.gather(n)
		}
	}
	return nil
}

// gather waits after a batch of n. It is a raw system call: Go's scheduler gives the processor of one that it knows of to others after 20 µs, and looks every 20 µs
// for such ones from then on, which took a twentieth of the time that twelve workers beside a fleet had. In return a collection waits a millisecond for it.
func (l *loop) gather(n int) {
	d := unix.Timespec{Nsec: int64(gatherOne)}
	if n > 1 {
		d.Nsec = int64(gatherMany)
	}
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&d)), 0, 0) // cut short by a signal, it has done its work as well
}

// tick does what goes by the clock, every HiccupEvery. How late it runs is the loop's own delay, which is in every
// latency that it takes; a tick that stood for several counts as several.
func (l *loop) tick(now int64) {
	for late := now - l.nextTick; late >= 0; late -= int64(HiccupEvery) {
		l.hiccups.Record(time.Duration(late))
	}
	l.nextTick = now + int64(HiccupEvery)
	l.wheel.advance(now-l.startNs, func(id int32) { l.expired(id, now) })
	if l.control.start.Load() {
		l.dialDue(now)
	}
	l.cutDue(now)
	l.book.meter.windows = l.control.windows.Load()
	l.readSlowly(now)
	if now >= l.nextReport {
		l.nextReport = now + int64(publishEvery)
		l.publish()
	}
}

// publish lets others see the counts.
func (l *loop) publish() {
	heads := l.control.heads.Load()
	behind := int64(0)
	if heads != nil {
		behind = l.behind(*heads)
	}
	l.shared.Lock()
	defer l.shared.Unlock()
	l.shared.counters, l.shared.errors = l.counters, l.errors.clone()
	l.shared.heads, l.shared.behind = heads, behind
}

// behind counts the cursors that have not come to their log's head.
func (l *loop) behind(heads []uint64) (n int64) {
	for i := range l.book.cursors {
		if c := &l.book.cursors[i]; c.state != cursorNew && c.pts < heads[c.log] {
			n++
		}
	}
	return n
}

// expired runs a timer: a session's, or a gap's.
func (l *loop) expired(id int32, now int64) {
	if gap := id - int32(len(l.sessions)); gap > 0 {
		l.gapExpired(gap, now)
		return
	}
	s := &l.sessions[id]
	switch s.state {
	case pausing:
		l.dial(id, now)
	case connecting:
		l.cut(id, "timeout: connect", now)
	case upgrading:
		l.cut(id, "timeout: handshake", now)
	case signingIn:
		l.cut(id, "timeout: sign-in", now)
	case signedIn:
		l.pingDue(id, now)
	}
}

// timer arms the session's timer.
func (l *loop) timer(i int32, now int64, after time.Duration) {
	l.wheel.set(i, now-l.startNs+int64(after))
}

// gapNode is the timer of a gap. Gaps come after the sessions; handle 0 is none, so the first node there stays unused.
func (l *loop) gapNode(gap int32) int32 {
	id := int32(len(l.sessions)) + gap
	l.wheel.grow(id)
	return id
}

// ready handles what epoll said about a session's socket.
func (l *loop) ready(i int32, events uint32) {
	s := &l.sessions[i]
	if s.state == connecting {
		l.connected(i)
		return
	}
	if events&unix.EPOLLOUT != 0 && s.is(flagWriting) {
		l.flush(i)
	}
	if l.dozes(s) && events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		l.cut(i, "closed while it did not read", l.clock())
		return
	}
	if events&^unix.EPOLLOUT != 0 {
		l.readable(i, readBytes)
	}
}

// watch sets what epoll waits for.
func (l *loop) watch(i int32, op int, events uint32) error {
	s := &l.sessions[i]
	e := unix.EpollEvent{Events: events, Fd: i, Pad: int32(s.conn)}
	return unix.EpollCtl(l.epfd, op, int(s.fd), &e)
}

// closeAll says good-bye to every server, as far as its socket takes it at once. The counts stay those of the run.
func (l *loop) closeAll() {
	for i := range l.sessions {
		s := &l.sessions[i]
		if s.is(flagSignedIn) && !s.is(flagSlow) && s.state != signedIn {
			l.lostForGood.Add(time.Duration(l.startNs-l.runNs)+time.Duration(s.since)*signInUnit, 1)
		}
		if s.fd >= 0 {
			if s.state == signedIn {
				l.send(int32(i), opClose, []byte{1000 >> 8, 1000 & 0xFF})
			}
			unix.Close(int(s.fd))
			s.fd = -1
		}
		s.state = retired
	}
}
