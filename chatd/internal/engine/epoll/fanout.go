//go:build linux

package epoll

import (
	"sync/atomic"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// holdEach is how long, for each member of a log, all of them wait at most for events that are expected, to be sent them at once: a tenth of what it takes to
	// write to them. What comes to less than holdLeast is not worth a timer; holdMost is the most.
	holdEach  = time.Microsecond
	holdLeast = time.Millisecond
	holdMost  = 10 * time.Millisecond
)

// fanout implements engine.Fanout. Each loop has a part of its own, with the members that are its sessions.
type fanout struct {
	e      *Engine
	log    string
	ring   atomic.Pointer[engine.Ring]
	closed atomic.Bool
	at     []presence // by loop
	parts  []*part    // by loop, whose alone it is

	// expected is how many events are. holding: some have been appended of which the loops are not told yet; timer ends that, and belongs to Append.
	expected atomic.Int64
	holding  atomic.Bool
	timer    *time.Timer
}

// presence is what is known of a loop's members without asking it.
type presence struct {
	// members is how many there are, with those who are on their way. It is corrected when a loop finds one to have been attached before, or to be gone.
	members atomic.Int64
	// told: the loop has been told of news, and has not looked yet.
	told atomic.Bool
	_    [48]byte
}

var _ engine.Fanout = (*fanout)(nil)

func (f *fanout) Append(frame *engine.Frame) bool {
	if !f.ring.Load().Append(frame) {
		return false
	}
	if f.expected.Load() > 1 && f.hold() { // this one is among them
		return true
	}
	f.holding.Store(false)
	f.tell()
	return true
}

// Expect has what is appended wait a little while more of it is expected, where there are many to be written to. What comes while they are written to goes along
// only to those who have not been reached, and the others are written to twice; and the writing takes from what is expected the time of the cores.
func (f *fanout) Expect(n int) {
	if f.expected.Add(int64(n)) <= 0 {
		f.release()
	}
}

// hold has the loops told later, if that is worth it.
func (f *fanout) hold() bool {
	d := min(time.Duration(f.Sessions())*holdEach, f.e.holdMost)
	switch {
	case d < holdLeast:
		return false
	case f.holding.Swap(true):
		return true
	case f.timer == nil:
		f.timer = time.AfterFunc(d, f.release)
	default:
		f.timer.Reset(d)
	}
	if f.expected.Load() <= 0 { // by now
		f.release()
	}
	return true
}

// release tells the loops of what was held.
func (f *fanout) release() {
	if f.holding.Swap(false) {
		f.tell()
	}
}

func (f *fanout) Reset(epoch uint32, head uint64) {
	f.ring.Swap(engine.NewRing(f.log, epoch, head, f.e.cfg, f.e.held)).Drop()
	f.tell()
}

// tell has the loops with members look at the ring. One that attaches meanwhile looks by itself.
func (f *fanout) tell() {
	if f.closed.Load() {
		return
	}
	for i, l := range f.e.loops {
		if at := &f.at[i]; at.members.Load() > 0 && !at.told.Swap(true) {
			l.post(op{kind: opNews, f: f})
		}
	}
}

func (f *fanout) Epoch() uint32 { return f.ring.Load().Epoch() }
func (f *fanout) Head() uint64  { return f.ring.Load().Head() }

func (f *fanout) Recent(cursor uint64, limit int) ([]*engine.Frame, uint64, bool) {
	return f.ring.Load().Recent(cursor, limit)
}

func (f *fanout) Sessions() int {
	if f.closed.Load() {
		return 0
	}
	n := int64(0)
	for i := range f.at {
		n += f.at[i].members.Load()
	}
	return int(n)
}

func (f *fanout) Attach(es engine.Session, cursor uint64) (from uint64, covered bool) {
	s := es.(*session)
	ring := f.ring.Load()
	from, covered = ring.Start(cursor)
	if s.over.Load() || f.closed.Load() {
		return from, covered
	}
	f.at[s.loop.id].members.Add(1)
	s.loop.post(op{kind: opAttach, s: s, f: f, ring: ring, next: from + 1})
	return from, covered
}

func (f *fanout) Detach(es engine.Session) {
	s := es.(*session)
	s.loop.leaves.Add(1)
	s.loop.post(op{kind: opDetach, s: s, f: f})
}

func (f *fanout) Close() {
	if f.closed.Swap(true) {
		return
	}
	f.ring.Load().Drop()
	f.e.postAll(op{kind: opCloseLog, f: f})
}
