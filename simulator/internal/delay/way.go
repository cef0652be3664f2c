package delay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

const (
	pieceBytes = 4 << 10
	// windowBytes bounds what is on its way in one direction of a connection, as the windows of TCP would. What is beyond it waits
	// with its sender.
	windowBytes = 256 << 10
)

// piece is some bytes on their way, or the end of them.
type piece struct {
	data  []byte
	dueNs int64
	end   error // io.EOF, or what broke the connection
}

// way is one direction of a connection.
type way struct {
	from, to *net.TCPConn

	mu     sync.Mutex
	pieces []piece
	bytes  int
	lastNs int64
	some   chan struct{} // there is a piece
	room   chan struct{} // there is room for one
}

func newWay(from, to *net.TCPConn) *way {
	return &way{from: from, to: to, some: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// read takes what comes, until its end.
func (w *way) read(ctx context.Context, due func(now int64) int64) {
	buffer := make([]byte, pieceBytes)
	for {
		n, err := w.from.Read(buffer)
		at := due(stamp.Now())
		if n > 0 && !w.put(ctx, piece{data: append([]byte(nil), buffer[:n]...), dueNs: at}) {
			return
		}
		if err != nil {
			w.put(ctx, piece{dueNs: at, end: err})
			return
		}
	}
}

// put adds a piece to what is on its way, once there is room. Nothing overtakes what came before it.
func (w *way) put(ctx context.Context, p piece) bool {
	for {
		w.mu.Lock()
		if w.bytes < windowBytes {
			p.dueNs = max(p.dueNs, w.lastNs)
			w.lastNs = p.dueNs
			w.bytes += len(p.data)
			w.pieces = append(w.pieces, p)
			w.mu.Unlock()
			wake(w.some)
			return true
		}
		w.mu.Unlock()
		select {
		case <-w.room:
		case <-ctx.Done():
			return false
		}
	}
}

// next is the oldest piece, once there is one.
func (w *way) next(ctx context.Context) (piece, bool) {
	for {
		w.mu.Lock()
		if len(w.pieces) > 0 {
			p := w.pieces[0]
			w.pieces[0] = piece{}
			w.pieces = w.pieces[1:]
			w.mu.Unlock()
			return p, true
		}
		w.pieces = nil // A connection at rest keeps no list.
		w.mu.Unlock()
		select {
		case <-w.some:
		case <-ctx.Done():
			return piece{}, false
		}
	}
}

// write passes on what is due, until its end. false: the connection is to be cut, in both directions.
func (w *way) write(ctx context.Context) bool {
	for {
		p, ok := w.next(ctx)
		if !ok || !sleep(ctx, time.Duration(p.dueNs-stamp.Now())) {
			return false
		}
		switch {
		case p.end == nil:
			if _, err := w.to.Write(p.data); err != nil {
				return false
			}
			w.mu.Lock()
			w.bytes -= len(p.data)
			w.mu.Unlock()
			wake(w.room)
		case errors.Is(p.end, io.EOF):
			return w.to.CloseWrite() == nil
		default:
			abort(w.to) // It came to an end by a reset, so it goes on as one.
			return false
		}
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep waits; false: it is over before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
