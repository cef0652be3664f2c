package engine

import "sync/atomic"

// Ring holds the newest events of one incarnation of a log, for the engines. One goroutine at a time appends; any number
// read, without a lock. It grows with what it holds, up to its bounds, and shrinks when others need the room (see Held), so that a quiet
// log costs little.
type Ring struct {
	log       string
	epoch     uint32
	maxFrames int
	maxBytes  int
	held      *Held

	// head is stored after the frame, and slots before: who sees a head finds the slots that hold it.
	head  atomic.Uint64
	slots atomic.Pointer[[]atomic.Pointer[Frame]]

	// These belong to held.mu: the oldest position held, one beyond the head if none is, and the bytes of all held.
	first uint64
	bytes int

	tooLong atomic.Pointer[Frame]
}

const firstSlots = 8

// NewRing makes an empty ring: its next event is head+1. Its frames count among held.
func NewRing(log string, epoch uint32, head uint64, cfg Config, held *Held) *Ring {
	cfg = cfg.WithDefaults()
	r := &Ring{log: log, epoch: epoch, maxFrames: cfg.RingFrames, maxBytes: cfg.RingBytes, held: held, first: head + 1}
	slots := make([]atomic.Pointer[Frame], min(firstSlots, cfg.RingFrames))
	r.slots.Store(&slots)
	r.head.Store(head)
	return r
}

// Epoch is the log's incarnation.
func (r *Ring) Epoch() uint32 { return r.epoch }

// Head is the position of the newest event.
func (r *Ring) Head() uint64 { return r.head.Load() }

// Append adds the next event, whose frame is on no ring yet; false, if f is not that.
func (r *Ring) Append(f *Frame) bool {
	head := r.head.Load()
	if f.pts != head+1 {
		return false
	}
	f.held = r.held
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	if held, room := int(f.pts-r.first), len(*r.slots.Load()); held == room {
		if room < r.maxFrames {
			r.resizeLocked(min(2*room, r.maxFrames))
		} else {
			r.evictLocked()
		}
	}
	r.bytes += f.Size()
	for r.bytes > r.maxBytes && r.first < f.pts {
		r.evictLocked()
	}
	slots := *r.slots.Load()
	slots[f.pts%uint64(len(slots))].Store(f)
	r.head.Store(f.pts)
	f.ring = r
	r.held.addLocked(f)
	return true
}

// resizeLocked moves what is held to so many slots.
func (r *Ring) resizeLocked(n int) {
	old := *r.slots.Load()
	slots := make([]atomic.Pointer[Frame], n)
	for pts := r.first; pts <= r.head.Load(); pts++ {
		slots[pts%uint64(n)].Store(old[pts%uint64(len(old))].Load())
	}
	r.slots.Store(&slots)
}

// evictLocked drops the oldest event.
func (r *Ring) evictLocked() {
	slots := *r.slots.Load()
	f := slots[r.first%uint64(len(slots))].Swap(nil)
	r.bytes -= f.Size()
	r.first++
	r.held.removeLocked(f)
	if held := int(r.head.Load() + 1 - r.first); len(slots) > firstSlots && held <= len(slots)/4 {
		r.resizeLocked(len(slots) / 2)
	}
}

// Drop empties the ring, after which nothing may be appended: another takes its place.
func (r *Ring) Drop() {
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	for r.first <= r.head.Load() {
		r.evictLocked()
	}
}

// At is the event at a position up to Head, or nil if the ring does not hold it any more.
func (r *Ring) At(pts uint64) *Frame {
	slots := *r.slots.Load()
	f := slots[pts%uint64(len(slots))].Load()
	if f == nil || f.pts != pts {
		return nil
	}
	return f
}

// Start says where a session with this cursor begins: see Fanout.Attach.
func (r *Ring) Start(cursor uint64) (from uint64, covered bool) {
	head := r.Head()
	switch {
	case cursor == Newest:
		return head, true
	case cursor >= head || r.At(cursor+1) != nil:
		return cursor, true
	}
	return head, false
}

// Recent returns held events: see Fanout.Recent.
func (r *Ring) Recent(cursor uint64, limit int) (frames []*Frame, head uint64, ok bool) {
	head = r.Head()
	for pts := cursor; pts < head && len(frames) < limit; pts++ {
		f := r.At(pts + 1)
		if f == nil {
			return nil, head, false
		}
		frames = append(frames, f)
	}
	return frames, head, true
}

// TooLong is the frame that tells a session that it has missed events up to the newest one, whose position is the frame's.
// Sessions that fall behind together share it.
func (r *Ring) TooLong() *Frame {
	head := r.Head()
	if f := r.tooLong.Load(); f != nil && f.pts == head {
		return f
	}
	f := newTooLong(r.log, r.epoch, head)
	r.tooLong.Store(f)
	return f
}
