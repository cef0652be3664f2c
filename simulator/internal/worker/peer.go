package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// peer is one worker, as the pool sees it.
type peer struct {
	index           int
	process         *process
	first, sessions int
	conn            net.Conn
	sending         sync.Mutex

	ready    chan struct{} // closed when the plan is carried out
	finished chan struct{} // closed when the result has come
	settled  chan settled
	severed  chan severed
	gone     chan struct{} // closed when nothing more comes

	mu       sync.Mutex
	prepared bool
	lost     bool
	progress swarm.Progress
	result   *swarm.Result
}

func newPeer(index int, proc *process, first, sessions int) *peer {
	return &peer{index: index, process: proc, first: first, sessions: sessions, ready: make(chan struct{}), finished: make(chan struct{}),
		settled: make(chan settled, 1), severed: make(chan severed, 1), gone: make(chan struct{})}
}

func (w *peer) String() string {
	return fmt.Sprintf("worker %d (process %d, sessions %d to %d)", w.index, w.process.cmd.Process.Pid, w.first, w.first+w.sessions-1)
}

func (w *peer) send(m message) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	return send(w.conn, m)
}

func (w *peer) lastProgress() swarm.Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress
}

func (w *peer) takeResult() *swarm.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result
}

// silence is how long the worker may be silent now. Before it is ready it makes tokens, and its stage's deadline holds.
func (w *peer) silence(d Deadlines) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.prepared {
		return d.Prepare
	}
	return d.Silence
}

// follow takes what a worker says, until it says no more.
func (p *Pool) follow(w *peer) {
	defer close(w.gone)
	r := bufio.NewReader(w.conn)
	for {
		if err := w.conn.SetReadDeadline(time.Now().Add(w.silence(p.cfg.Deadlines))); err != nil {
			p.lose(w, err)
			return
		}
		m, err := receive(r, maxMessageBytes)
		if err == nil {
			err = w.take(m)
		}
		if err != nil {
			p.lose(w, err)
			return
		}
		if m.Result != nil {
			return
		}
	}
}

// take handles one message.
func (w *peer) take(m message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case m.Failed != nil:
		return errors.New(m.Failed.Error)
	case m.Progress != nil:
		w.progress = *m.Progress
	case m.Ready != nil && !w.prepared:
		w.prepared = true
		close(w.ready)
	case m.Settled != nil:
		select {
		case w.settled <- *m.Settled:
		default:
			return errors.New("it answered what was not asked")
		}
	case m.Severed != nil:
		select {
		case w.severed <- *m.Severed:
		default:
			return errors.New("it answered what was not asked")
		}
	case m.Result != nil:
		w.result = m.Result
		close(w.finished)
	}
	return nil
}

// lose notes that a worker is gone before its time, with what its process has to say about it.
func (p *Pool) lose(w *peer, err error) {
	w.conn.Close()
	if over(err) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		// Nearly always because the process ended; why, is what one wants to read.
		select {
		case <-w.process.ended:
			err = errors.New(ending(w.process.reason))
		case <-time.After(leaveWithin):
		}
	}
	w.mu.Lock()
	again := w.lost
	w.lost = true
	w.progress.Counters.SignedInNow = 0
	w.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing && !again {
		p.lost = append(p.lost, fmt.Sprintf("%s: %v", w, err))
	}
}

// ending says how a process ended.
func ending(reason error) string {
	if reason == nil {
		return "it ended without an error"
	}
	return reason.Error()
}

// alive returns the workers from which something may still come.
func (p *Pool) alive() []*peer {
	var some []*peer
	for _, w := range p.peers {
		select {
		case <-w.gone:
		default:
			some = append(some, w)
		}
	}
	return some
}

// await waits until all workers have come to a stage, and returns an error for the first that has not.
func (p *Pool) await(ctx context.Context, what string, within time.Duration, reached func(*peer) <-chan struct{}) error {
	patience := time.NewTimer(within)
	defer patience.Stop()
	var first error
	for _, w := range p.peers {
		select {
		case <-reached(w):
			continue
		default:
		}
		var err error
		select {
		case <-reached(w):
		case <-w.gone:
			select {
			case <-reached(w):
			default:
				err = fmt.Errorf("a worker could not %s: %v", what, p.Lost())
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-patience.C:
			return fmt.Errorf("%s did not %s within %s", w, what, within)
		}
		if first == nil {
			first = err
		}
	}
	return first
}
