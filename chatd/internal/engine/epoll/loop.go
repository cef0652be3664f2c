//go:build linux

package epoll

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// stretch is how long a loop writes before it looks whether there is something to be read, and goes on with another log.
	stretch = 2 * time.Millisecond
	// strideSessions are served between two looks at the clock.
	strideSessions = 32
	// readBytes are read at once.
	readBytes = 64 << 10
)

// counters of a loop, away from those of others.
type counters struct {
	deliveries, tooLong, bytes atomic.Uint64
	stuck, ready               atomic.Int64
	_                          [88]byte
}

// loop serves its sessions. Everything in it and in its sessions and parts belongs to the goroutine of run, but for the inbox.
type loop struct {
	e     *Engine
	id    int
	count counters
	poll  poll

	inbox struct {
		sync.Mutex
		ops    []op
		asleep bool // in a wait that a new op must end
	}
	ops []op // of the inbox, being done; its memory is the next inbox's
	// leaves is how many wishes to detach are in the inbox, or about to be. Who sends events looks at it after he has looked at the ring.
	leaves atomic.Int32

	began    time.Time
	stretch  time.Duration
	sessions []*session // by slot
	free     []uint32   // slots
	ages     []uint32   // by slot: how often it was given
	wheel    wheel

	// ready sessions have something to be sent, as far as is known. sweeps are parts whose members lack events; wave is what one of them was brought last.
	ready  []*session
	sweeps []*part
	wave   wave

	input  []byte // of one read
	output batch
	// clear is what TLS has read of it, and sealed what TLS has made to be written.
	clear, sealed []byte
	// goingAway and cut are what becomes of sessions that come when the engine is being shut down; stop ends the loop.
	goingAway, cut, stop bool
}

func newLoop(e *Engine, id int) (*loop, error) {
	l := &loop{e: e, id: id, began: time.Now(), stretch: stretch, input: make([]byte, readBytes), output: newBatch()}
	return l, l.poll.open()
}

// opKind is what others want of a loop.
type opKind uint8

const (
	opAdopt opKind = iota
	opSend
	opSendIfIdle
	opClose
	opUncork
	opAttach
	opDetach
	opNews
	opCloseLog
	opGoAway
	opCut
	opStop
)

// op is one such wish. Which fields count depends on its kind.
type op struct {
	kind opKind
	s    *session
	f    *fanout
	ring *engine.Ring
	next uint64
	data []byte // a frame for one session, or what was read early
	last []byte // a close frame
}

// post puts a wish into the inbox. Anybody may, the loop itself too.
func (l *loop) post(o op) {
	l.inbox.Lock()
	l.inbox.ops = append(l.inbox.ops, o)
	asleep := l.inbox.asleep
	l.inbox.asleep = false
	l.inbox.Unlock()
	if asleep {
		l.poll.wake()
	}
}

// run is the loop.
func (l *loop) run() {
	defer l.poll.close()
	for l.doOps(); !l.stop; l.doOps() {
		l.write()
		if until, idle := l.patience(); idle {
			l.handle(l.poll.wait(until))
		} else {
			l.handle(l.poll.glance())
		}
	}
}

// patience is until when the loop may wait for its sockets, if it has nothing else to do.
func (l *loop) patience() (until time.Time, idle bool) {
	if len(l.ready) > 0 || len(l.sweeps) > 0 {
		return never, false
	}
	l.inbox.Lock()
	defer l.inbox.Unlock()
	if len(l.inbox.ops) > 0 {
		return never, false
	}
	l.inbox.asleep = true
	ticks, found := l.wheel.next()
	if !found {
		return never, true
	}
	return l.began.Add(time.Duration(l.wheel.now+ticks) * tick), true
}

// handle reads what can be read, and goes on with who can be written to again.
func (l *loop) handle(events []unix.EpollEvent) {
	l.inbox.Lock()
	l.inbox.asleep = false
	l.inbox.Unlock()
	for i := range events {
		ev := &events[i]
		if ev.Fd == noSlot {
			l.poll.woken()
			continue
		}
		s := l.sessions[ev.Fd]
		if s == nil || l.ages[ev.Fd] != uint32(ev.Pad) { // it has ended, in this very round
			continue
		}
		if ev.Events&unix.EPOLLOUT != 0 && s.blocked {
			l.unblock(s)
		}
		if ev.Events&^unix.EPOLLOUT != 0 && s.phase != ended {
			l.read(s)
		}
	}
	l.wheel.advance(uint32(time.Since(l.began)/tick), l.due)
}

// doOps does what is in the inbox.
func (l *loop) doOps() {
	l.inbox.Lock()
	l.ops, l.inbox.ops = l.inbox.ops, l.ops[:0]
	l.inbox.Unlock()
	for i := range l.ops {
		l.do(&l.ops[i])
		l.ops[i] = op{}
	}
	if cap(l.ops) > 4096 {
		l.ops = nil
	}
}

func (l *loop) do(o *op) {
	switch s := o.s; o.kind {
	case opAdopt:
		l.adopt(s, o.data)
	case opSend:
		s.queue(outgoing{data: o.data, counted: true})
		l.wakes(s)
	case opSendIfIdle:
		if s.idle() {
			s.queue(outgoing{data: o.data})
			l.wakes(s)
		}
	case opClose:
		l.close(s, engine.ErrClosed, o.data, o.last, false)
	case opUncork:
		s.corked.Add(-1)
		l.wakes(s)
	case opAttach:
		l.attach(s, o.f, o.ring, o.next)
	case opDetach:
		l.leaves.Add(-1)
		l.detach(s, o.f)
	case opNews:
		o.f.at[l.id].told.Store(false)
		if p := o.f.parts[l.id]; p != nil {
			l.lacks(p)
		}
	case opCloseLog:
		l.closePart(o.f)
	case opGoAway:
		l.goingAway = true
		l.shut()
	case opCut:
		l.cut = true
		l.shut()
	case opStop:
		l.stop = true
	}
}

// shut closes all sessions, or ends them.
func (l *loop) shut() {
	for _, s := range l.sessions {
		switch {
		case s == nil:
		case l.cut || s.phase == opening:
			l.end(s, engine.ErrClosed)
		default:
			l.close(s, engine.ErrClosed, nil, engine.CloseFrame(engine.CloseGoingAway, "the server is going away"), false)
		}
	}
}

// write serves ready sessions, then sweeps, for a stretch. What is left keeps the loop from waiting.
func (l *loop) write() {
	if len(l.ready) == 0 && len(l.sweeps) == 0 {
		return
	}
	until := time.Now().Add(l.stretch)
	for len(l.ready) > 0 {
		n := min(len(l.ready), strideSessions)
		for i, s := range l.ready[:n] {
			l.ready[i] = nil
			s.ready = false
			l.flush(s)
		}
		l.ready = l.ready[n:]
		if time.Now().After(until) {
			break
		}
	}
	if len(l.ready) == 0 {
		l.ready = nil
	}
	for first := true; len(l.sweeps) > 0 && (first || time.Now().Before(until)); first = false { // one stride at least, whatever else there is
		p := l.sweeps[0]
		if !l.sweep(p) {
			continue
		}
		// It has come to its end, or been given up: another may follow it at once, after the others.
		l.sweeps = l.sweeps[1:]
		p.queued = false
		if len(p.members) > 0 && p.lacks() {
			l.lacks(p)
		}
	}
	switch len(l.sweeps) {
	case 0:
		l.sweeps = nil
	case 1:
	default: // a log with few members does not wait for one with many
		l.sweeps = append(l.sweeps[1:], l.sweeps[0])
	}
	l.count.ready.Store(int64(len(l.ready)))
	runtime.Gosched() // whoever fills the inbox may need this core
}

// wakes has a session served that may have something to be sent.
func (l *loop) wakes(s *session) {
	if s.ready || s.blocked || s.phase == ended {
		return
	}
	s.ready = true
	l.ready = append(l.ready, s)
}

// lacks has a part's members brought what they lack.
func (l *loop) lacks(p *part) {
	if p.queued || len(p.members) == 0 {
		return
	}
	p.queued = true
	l.sweeps = append(l.sweeps, p)
}

// adopt gives a session its place.
func (l *loop) adopt(s *session, early []byte) {
	if n := len(l.free); n > 0 {
		s.slot, l.free = l.free[n-1], l.free[:n-1]
	} else {
		s.slot = uint32(len(l.sessions))
		l.sessions = append(l.sessions, nil)
		l.ages = append(l.ages, 0)
	}
	l.sessions[s.slot] = s
	l.ages[s.slot]++
	if s.phase != opening { // which has a time of its own
		s.readBy = l.after(l.e.cfg.FirstMessageWithin)
	}
	l.arm(s)
	if err := l.poll.add(s.fd, s.slot, l.ages[s.slot]); err != nil {
		l.end(s, err)
		return
	}
	if len(early) > 0 {
		l.take(s, early)
	}
	if s.tls != nil {
		l.open(s, nil) // TLS may have read more than it has given
	}
	if l.goingAway || l.cut {
		l.shut()
	}
}

// after is the tick by which a time has passed.
func (l *loop) after(d time.Duration) uint32 {
	return uint32((time.Since(l.began) + d + tick - 1) / tick)
}

// arm sees to it that a session comes up when its deadline has passed.
func (l *loop) arm(s *session) {
	if by := s.deadline(); s.wheelAt <= l.wheel.now || by < s.wheelAt {
		l.wheel.add(s, by)
	}
}
