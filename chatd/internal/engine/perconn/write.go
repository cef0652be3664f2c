package perconn

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

const (
	// batchBytes are gathered for one write, unless one frame alone is more.
	batchBytes  = 32 << 10
	batchFrames = 256
)

// batch is what is gathered from a session for one write. What of it the socket took is then committed: cursors move only
// by what has been sent, so that a stuck session holds nothing but the rest of one frame.
type batch struct {
	entries []entry
	subs    []*sub
	bytes   int
	joined  []byte
	count   *counters
}

// entry is one frame of a batch: an answer, or, with a sub, what lies at its cursor.
type entry struct {
	data []byte
	last bool
	// After this entry the sub's cursor is next, on ring.
	sub     *sub
	ring    *engine.Ring
	next    uint64
	tooLong bool
	watch   *engine.Watch // nil of nearly all
}

func newBatch(count *counters) *batch {
	return &batch{count: count, entries: make([]entry, 0, batchFrames), joined: make([]byte, 0, batchBytes)}
}

func (b *batch) reset() {
	clear(b.entries)
	clear(b.subs)
	b.entries, b.subs, b.bytes = b.entries[:0], b.subs[:0], 0
}

func (b *batch) room() bool { return len(b.entries) < batchFrames && b.bytes < batchBytes }

// add takes a frame, if there is room for it or it is the first.
func (b *batch) add(e entry) bool {
	if len(b.entries) == batchFrames || (len(b.entries) > 0 && b.bytes+len(e.data) > batchBytes) {
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

// gatherLocked fills the batch: answers first, then what lies at the cursors that lag, one log after the other. False: there is
// nothing to send.
func (s *session) gatherLocked(b *batch) bool {
	b.reset()
	s.gathered = 0
	for s.gathered < len(s.out) && b.add(entry{data: s.out[s.gathered].data, last: s.out[s.gathered].last}) {
		s.gathered++
	}
	if s.gathered == len(s.out) && s.corked == 0 && s.phase == open {
		for s.dirty != nil && b.room() {
			m := s.popDirtyLocked()
			if m.detached {
				continue
			}
			b.subs = append(b.subs, m)
			b.follow(m)
		}
	}
	return len(b.entries) > 0 || len(b.subs) > 0
}

// follow adds what lies at a cursor.
func (b *batch) follow(m *sub) {
	ring, next := m.f.ring.Load(), m.next
	if ring != m.ring {
		b.addTooLong(m, ring)
		return
	}
	for head := ring.Head(); next <= head; next++ {
		f := ring.At(next)
		if f == nil {
			b.addTooLong(m, ring)
			return
		}
		if !b.add(entry{data: f.Bytes(m.s.enc), sub: m, ring: ring, next: next + 1, watch: f.Watched()}) {
			return
		}
	}
}

func (b *batch) addTooLong(m *sub, ring *engine.Ring) {
	f := ring.TooLong()
	b.add(entry{data: f.Bytes(m.s.enc), sub: m, ring: ring, next: f.Pts() + 1, tooLong: true})
}

// commitLocked notes that the first n bytes of the batch are written. Of a frame that is written in part, or that the socket
// has refused to begin (blocked), the remainder becomes the session's rest.
func (s *session) commitLocked(b *batch, n int, blocked bool) {
	b.count.bytes.Add(uint64(n))
	for i := range b.entries {
		e := &b.entries[i]
		if n < len(e.data) {
			if blocked {
				s.rest, s.restLast = e.data[n:], e.last
				s.sentLocked(b, e)
			}
			break
		}
		n -= len(e.data)
		s.sentLocked(b, e)
		if e.last {
			s.noLastLocked()
		}
	}
	s.gathered = 0
	for _, m := range b.subs {
		if m.detached {
			continue
		}
		m.dirty = false
		if m.lags() {
			s.dirtyLocked(m)
		}
	}
	b.reset()
}

func (s *session) sentLocked(b *batch, e *entry) {
	if e.sub == nil {
		s.popOutLocked()
		return
	}
	e.sub.next, e.sub.ring = e.next, e.ring
	if e.tooLong {
		b.count.tooLong.Add(1)
	} else {
		b.count.deliveries.Add(1)
		if e.watch != nil {
			e.watch.Written()
		}
	}
}

func (s *session) popOutLocked() {
	if len(s.out) == 0 { // the session has ended meanwhile
		return
	}
	s.outBytes -= len(s.out[0].data)
	s.out[0] = outgoing{}
	s.out = s.out[1:]
	if len(s.out) == 0 {
		s.out = nil
	}
}

// worker writes to sessions, and wakes those of large logs.
type worker struct {
	e     *Engine
	batch *batch
	write writeNow
}

func newWorker(e *Engine) *worker {
	w := &worker{e: e, batch: newBatch(e.ready.counters())}
	w.write.init()
	return w
}

func (w *worker) run() {
	for {
		f, s := w.e.ready.pop()
		switch {
		case f != nil:
			f.pass()
		case s != nil:
			w.serve(s)
		default:
			return
		}
	}
}

// serve sends one batch, and puts the session back into the queue if there is more.
func (w *worker) serve(s *session) {
	if s.raw == nil {
		w.e.writers.Go(s.writeOn)
		return
	}
	s.mu.Lock()
	if !s.gatherLocked(w.batch) {
		s.busy = false
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()

	var n int
	var blocked bool
	var err error
	if data := w.batch.data(); len(data) > 0 {
		n, blocked, err = w.write.to(s.raw, data)
	}
	s.mu.Lock()
	s.commitLocked(w.batch, n, blocked)
	more := len(s.out) > 0 || s.dirty != nil
	if err == nil && !blocked && !more {
		s.busy = false
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		s.fail(fmt.Errorf("write: %w", err))
	case blocked:
		w.e.writers.Go(s.writeRest)
	case more:
		w.e.ready.push(listOf(s))
	}
}

// writeRest waits until the socket has taken the rest of a frame, then gives the session back to the workers.
func (s *session) writeRest() {
	s.e.stuck.Add(1)
	err := s.writeWaiting(s.rest)
	s.e.stuck.Add(-1)
	if err != nil {
		s.fail(err)
		return
	}
	s.mu.Lock()
	s.e.count.bytes.Add(uint64(len(s.rest)))
	s.rest = nil
	if s.restLast {
		s.noLastLocked()
	}
	s.mu.Unlock()
	s.e.ready.push(listOf(s))
}

// batches for writeOn.
var batches = sync.Pool{New: func() any { return newBatch(nil) }}

// writeOn sends all that there is, waiting as long as it takes.
func (s *session) writeOn() {
	b := batches.Get().(*batch)
	b.count = &s.e.count
	defer batches.Put(b)
	for {
		s.mu.Lock()
		if !s.gatherLocked(b) {
			s.busy = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		data := b.data()
		if err := s.writeWaiting(data); err != nil {
			s.mu.Lock()
			s.commitLocked(b, 0, false)
			s.mu.Unlock()
			s.fail(err)
			return
		}
		s.mu.Lock()
		s.commitLocked(b, len(data), false)
		s.mu.Unlock()
	}
}

// writeWaiting writes, and gives up when the socket takes nothing for too long. A closing session's deadline is set already and
// holds for all that is left.
func (s *session) writeWaiting(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if !s.stopping.Load() {
		_ = s.conn.SetWriteDeadline(deadline(s.e.cfg.WriteTimeout))
	}
	_, err := s.conn.Write(data)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w", engine.ErrStuck, err)
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if !s.stopping.Load() {
		// Else a write without waiting would fail when this deadline has passed.
		s.clearWriteDeadline()
	}
	return nil
}
