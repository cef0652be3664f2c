package engine

import "sync"

// Held is what the rings of one engine hold together: their frames, the oldest first. It is bounded in bytes. Once it holds more, the
// oldest frames of all go, whosever they are, so that the logs share the memory by how much is said in each; a log in which nothing was
// said for long holds nothing then, and who comes back to it is told what it missed by a fetch.
//
// One lock guards it and what the rings' appenders change. It is taken once an event and once for its JSON, never for a delivery.
type Held struct {
	max int64

	mu             sync.Mutex
	bytes          int64
	oldest, newest *Frame
}

// frameOverhead is what a frame on a ring costs beside its bytes: its struct and its slot, rounded up as the allocator does.
const frameOverhead = 192

// NewHeld bounds rings to cfg.AllRingsBytes.
func NewHeld(cfg Config) *Held { return &Held{max: int64(cfg.WithDefaults().AllRingsBytes)} }

// Bytes is what is held now: frames in each encoding that they have been asked for, and what they cost beside.
func (h *Held) Bytes() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes
}

// addLocked puts a ring's new frame at the end. What is too much goes, but not this one.
func (h *Held) addLocked(f *Frame) {
	f.cost = int64(len(f.binary)) + frameOverhead
	f.older, h.newest = h.newest, f
	if f.older != nil {
		f.older.newer = f
	} else {
		h.oldest = f
	}
	h.bytes += f.cost
	h.boundLocked()
}

func (h *Held) boundLocked() {
	for h.bytes > h.max && h.oldest != h.newest {
		h.oldest.ring.evictLocked()
	}
}

// removeLocked takes out a frame whose ring lets go of it.
func (h *Held) removeLocked(f *Frame) {
	if f.older != nil {
		f.older.newer = f.newer
	} else {
		h.oldest = f.newer
	}
	if f.newer != nil {
		f.newer.older = f.older
	} else {
		h.newest = f.older
	}
	h.bytes -= f.cost
	f.ring, f.older, f.newer = nil, nil, nil
}

// grew says that a frame has another encoding, of n bytes.
func (h *Held) grew(f *Frame, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.cost += int64(n)
	if f.ring != nil {
		h.bytes += int64(n)
		h.boundLocked()
	}
}
