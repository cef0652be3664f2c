package engine

import (
	"sync/atomic"
	"time"
)

// Watch counts the sessions to which one event has been written, for traces. An event that has none, as nearly all, costs nothing more.
type Watch struct {
	want int64
	n    atomic.Int64
	last atomic.Int64 // Unix nanoseconds
	done chan struct{}
}

// NewWatch waits for so many sessions, at least one.
func NewWatch(sessions int) *Watch {
	return &Watch{want: int64(sessions), done: make(chan struct{})}
}

// Written is called by engines for each session that the event has been written to.
func (w *Watch) Written() {
	w.last.Store(time.Now().UnixNano())
	if w.n.Add(1) == w.want {
		close(w.done)
	}
}

// Done is closed once all have it. That may never be: sessions end, or fall off the ring.
func (w *Watch) Done() <-chan struct{} { return w.done }

// So is how many sessions have it, and when the last of them got it.
func (w *Watch) So() (sessions int, last time.Time) {
	n := int(w.n.Load())
	if n == 0 {
		return 0, time.Time{}
	}
	return n, time.Unix(0, w.last.Load())
}

// Watch has the deliveries of a frame counted, which must not be on a ring yet.
func (f *Frame) Watch(w *Watch) { f.watch = w }

// Watched is the watch of a frame, or nil.
func (f *Frame) Watched() *Watch { return f.watch }
