//go:build linux

package epoll

import (
	"fmt"
	"slices"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// batchBytes are gathered for one write to one session, unless one frame alone is more.
	batchBytes  = 32 << 10
	batchFrames = 256
)

// batch is what is gathered from a session for one write. What of it the socket took is then committed: cursors move only by what has been sent, so that a stuck
// session holds nothing but the rest of one frame.
type batch struct {
	entries []entry
	bytes   int
	joined  []byte
}

// entry is one frame of a batch: the rest of one, an answer, or, with a part, what lies at the session's cursor there.
type entry struct {
	data []byte
	kind entryKind
	last bool
	// counted among the answers that wait.
	counted bool
	// After this entry the cursor is next, on ring.
	p     *part
	ring  *engine.Ring
	next  uint64
	frame *engine.Frame
}

type entryKind uint8

const (
	restEntry entryKind = iota
	answerEntry
	eventEntry
	tooLongEntry
)

func newBatch() batch {
	return batch{entries: make([]entry, 0, batchFrames), joined: make([]byte, 0, batchBytes)}
}

// add takes a frame, if there is room for it or it is the first.
func (b *batch) add(e entry) bool {
	if len(b.entries) == batchFrames || len(b.entries) > 0 && b.bytes+len(e.data) > batchBytes {
		return false
	}
	b.entries = append(b.entries, e)
	b.bytes += len(e.data)
	return true
}

// data is the whole batch in one piece. One frame alone, which is nearly always, is not copied.
func (b *batch) data() []byte {
	if len(b.entries) == 1 {
		return b.entries[0].data
	}
	b.joined = b.joined[:0]
	for i := range b.entries {
		b.joined = append(b.joined, b.entries[i].data...)
	}
	return b.joined
}

// gather fills the batch: what is left of a frame, then answers, then what lies at the cursors, one log after the other.
func (l *loop) gather(s *session) {
	b := &l.output
	clear(b.entries)
	b.entries, b.bytes = b.entries[:0], 0
	x := s.x
	if x == nil {
		return
	}
	if len(x.rest) > 0 {
		b.add(entry{data: x.rest, kind: restEntry, last: x.restLast})
	}
	for i := range x.out {
		if !b.add(entry{data: x.out[i].data, kind: answerEntry, last: x.out[i].last, counted: x.out[i].counted}) {
			return
		}
	}
	before := len(b.entries)
	for i := range x.cursors {
		so, f := len(b.entries), x.cursors[i].p.f
		whole := b.follow(&x.cursors[i], s.enc)
		if f.closed.Load() { // the loop has not come to it
			clear(b.entries[so:])
			b.entries = b.entries[:so]
			continue
		}
		if !whole {
			// Its turn comes again after the others'.
			x.cursors = append(slices.Clone(x.cursors[i+1:]), x.cursors[:i+1]...)
			break
		}
	}
	if len(b.entries) > before && s.withheld() {
		clear(b.entries[before:])
		b.entries = b.entries[:before]
	}
}

// follow adds what lies at a cursor; false if there is no room for all of it.
func (b *batch) follow(c *cursor, enc engine.Encoding) bool {
	ring, next := c.p.f.ring.Load(), c.next
	if ring != c.ring {
		return b.addTooLong(c, ring, enc)
	}
	for head := ring.Head(); next <= head; next++ {
		f := ring.At(next)
		if f == nil {
			return b.addTooLong(c, ring, enc)
		}
		if !b.add(entry{data: f.Bytes(enc), kind: eventEntry, p: c.p, ring: ring, next: next + 1, frame: f}) {
			return false
		}
	}
	return true
}

func (b *batch) addTooLong(c *cursor, ring *engine.Ring, enc engine.Encoding) bool {
	f := ring.TooLong()
	return b.add(entry{data: f.Bytes(enc), kind: tooLongEntry, p: c.p, ring: ring, next: f.Pts() + 1})
}

// flush sends a batch to a session, and has it come again if there is more.
func (l *loop) flush(s *session) {
	if s.phase == ended || s.blocked {
		return
	}
	blocked, err := l.sendSealed(s)
	if !blocked && err == nil {
		l.gather(s)
		if l.leaves.Load() > 0 { // somebody may have left a log whose newest events these are
			l.doOps()
			if s.phase == ended || s.blocked {
				return
			}
			l.gather(s)
		}
		if data := l.output.data(); len(data) > 0 {
			var n int
			n, blocked, err = l.send(s, data)
			l.commit(s, n, blocked)
		}
	}
	switch {
	case err != nil:
		l.fail(s, fmt.Errorf("write: %w", err))
	case blocked:
		l.block(s)
	case s.x != nil && s.x.lastSent && s.hangUp:
		l.end(s, s.x.cause)
	case s.x != nil && (len(s.x.out) > 0 || !s.withheld() && s.lags()):
		l.wakes(s)
	default:
		s.less()
	}
}

// commit notes that the first n bytes of the batch are written. What is left of a frame of which some is becomes the session's rest.
func (l *loop) commit(s *session, n int, blocked bool) {
	x := s.x
	for i := range l.output.entries {
		e := &l.output.entries[i]
		if n < len(e.data) {
			switch {
			case e.kind == restEntry:
				x.rest = e.data[n:]
			case n > 0:
				x.rest, x.restLast = e.data[n:], e.last
				l.sent(s, e)
			}
			break
		}
		n -= len(e.data)
		if e.kind == restEntry {
			x.rest, x.restLast = nil, false
		} else {
			l.sent(s, e)
		}
		x.lastSent = x.lastSent || e.last
	}
	if blocked {
		return
	}
	for i := len(x.cursors) - 1; i >= 0; i-- {
		l.settled(s, x.cursors[i].p)
	}
	if len(x.out) == 0 {
		x.out = nil
	}
}

// sent notes that a frame has gone out, or has begun to.
func (l *loop) sent(s *session, e *entry) {
	switch e.kind {
	case answerEntry:
		if e.counted {
			s.waiting.Add(-1)
			s.waitingBytes.Add(-int32(len(e.data)))
		}
		s.x.out[0] = outgoing{}
		s.x.out = s.x.out[1:]
		return
	case eventEntry:
		l.count.deliveries.Add(1)
		if watch := e.frame.Watched(); watch != nil {
			watch.Written()
		}
	case tooLongEntry:
		l.count.tooLong.Add(1)
	}
	if c := s.cursorOf(e.p); c != nil {
		c.ring, c.next = e.ring, e.next
	}
}

// block waits until a socket takes more.
func (l *loop) block(s *session) {
	if s.blocked {
		return
	}
	s.blocked = true
	l.count.stuck.Add(1)
	s.more().writeBy = l.after(l.e.cfg.WriteTimeout)
	l.arm(s)
	l.watch(s)
}

// watch asks to be told when a socket takes more, if it is blocked, and not to be any more if it is not.
func (l *loop) watch(s *session) {
	x := s.more()
	if x.watched == s.blocked {
		return
	}
	x.watched = s.blocked
	if err := l.poll.watch(s.fd, s.slot, l.ages[s.slot], s.blocked); err != nil {
		l.fail(s, fmt.Errorf("write: %w", err))
	}
}

// unblock goes on with a session whose socket takes more.
func (l *loop) unblock(s *session) {
	s.blocked = false
	l.count.stuck.Add(-1)
	l.flush(s)
	if s.phase != ended {
		l.watch(s)
		s.less()
	}
}
