//go:build linux

package epoll

import (
	"sync/atomic"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// fanout implements engine.Fanout. Each loop has a part of its own, with the members that are its sessions.
type fanout struct {
	e      *Engine
	log    string
	ring   atomic.Pointer[engine.Ring]
	closed atomic.Bool
	at     []presence // by loop
	parts  []*part    // by loop, whose alone it is
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
	f.tell()
	return true
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
