package perconn

import (
	"sync"
	"sync/atomic"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// inlineMembers are woken by Append itself; more of them by the workers, so that Append returns at once.
	inlineMembers = 64
	// passChunk members are woken under one hold of the fan-out's lock.
	passChunk = 1024
)

// fanout implements engine.Fanout. A session that is attached is a sub: its cursor in this log.
type fanout struct {
	e    *Engine
	log  string
	ring atomic.Pointer[engine.Ring]

	mu      sync.Mutex
	members []*sub
	closed  bool
	// While passing, a worker wakes the members chunk by chunk and has come to position at; again says that there was
	// another event meanwhile, so that it begins anew.
	passing  bool
	again    bool
	at       int
	nextPass *fanout
}

// sub is one session's cursor in one log.
type sub struct {
	s *session
	f *fanout
	// pos is the place in f.members.
	pos int

	// The rest belongs to s.mu. next is the position to be sent next, from ring; another ring means too long.
	ring     *engine.Ring
	next     uint64
	dirty    bool
	detached bool
	nextSub  *sub
}

var _ engine.Fanout = (*fanout)(nil)

func (f *fanout) Append(frame *engine.Frame) bool {
	if !f.ring.Load().Append(frame) {
		return false
	}
	f.wakeAll()
	return true
}

// Expect does nothing: a session's goroutine takes some time to wake, and sends then what has come.
func (f *fanout) Expect(int) {}

func (f *fanout) Reset(epoch uint32, head uint64) {
	f.ring.Swap(engine.NewRing(f.log, epoch, head, f.e.cfg, f.e.held)).Drop()
	f.wakeAll()
}

func (f *fanout) Epoch() uint32 { return f.ring.Load().Epoch() }
func (f *fanout) Head() uint64  { return f.ring.Load().Head() }

func (f *fanout) Recent(cursor uint64, limit int) ([]*engine.Frame, uint64, bool) {
	return f.ring.Load().Recent(cursor, limit)
}

func (f *fanout) Sessions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.members)
}

// wakeAll has every member look at the ring: at once if they are few.
func (f *fanout) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.passing {
		f.again = true
		return
	}
	if len(f.members) <= inlineMembers {
		f.wake(f.members)
		return
	}
	f.passing, f.at = true, 0
	f.e.ready.pushPass(f)
}

// pass wakes the next members, in a worker. f comes back to the queue until all have been woken.
func (f *fanout) pass() {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := min(f.at+passChunk, len(f.members))
	f.wake(f.members[min(f.at, end):end])
	f.at = end
	if f.at == len(f.members) {
		if !f.again {
			f.passing = false
			return
		}
		f.again, f.at = false, 0
	}
	f.e.ready.pushPass(f)
}

func (f *fanout) wake(members []*sub) {
	var ready sessionList
	for _, m := range members {
		m.s.mu.Lock()
		if m.s.markLocked(m) {
			ready.push(m.s)
		}
		m.s.mu.Unlock()
	}
	f.e.ready.push(ready)
}

func (f *fanout) Attach(es engine.Session, cursor uint64) (from uint64, covered bool) {
	s := es.(*session)
	f.mu.Lock()
	defer f.mu.Unlock()
	s.mu.Lock()
	before := s.take(f)
	s.mu.Unlock()
	if before != nil {
		f.remove(before)
	}
	ring := f.ring.Load()
	from, covered = ring.Start(cursor)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.closed || s.phase != open {
		return from, covered
	}
	m := &sub{s: s, f: f, pos: len(f.members), ring: ring, next: from + 1}
	f.members = append(f.members, m)
	s.subs = append(s.subs, m)
	if m.lags() && s.markLocked(m) {
		f.e.ready.push(listOf(s))
	}
	return from, covered
}

func (f *fanout) Detach(es engine.Session) {
	s := es.(*session)
	f.mu.Lock()
	defer f.mu.Unlock()
	s.mu.Lock()
	m := s.take(f)
	s.mu.Unlock()
	if m != nil {
		f.remove(m)
	}
}

func (f *fanout) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.ring.Load().Drop()
	for _, m := range f.members {
		m.s.mu.Lock()
		m.s.take(f)
		m.s.mu.Unlock()
	}
	f.members = nil
}

// drop removes a member whose session has let go of it.
func (f *fanout) drop(m *sub) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.remove(m)
	}
}

// remove takes m out of members and puts the last one in its place. A pass that has come beyond that place would not meet the
// one moved there, so it is woken here. No session's lock may be held.
func (f *fanout) remove(m *sub) {
	last := len(f.members) - 1
	f.members[m.pos] = f.members[last]
	f.members[m.pos].pos = m.pos
	f.members[last] = nil
	f.members = f.members[:last]
	if f.passing && m.pos < f.at && m.pos < last {
		f.wake(f.members[m.pos : m.pos+1])
	}
}

// lags reports whether the ring has something to be sent.
func (m *sub) lags() bool {
	ring := m.f.ring.Load()
	return ring != m.ring || m.next <= ring.Head()
}
