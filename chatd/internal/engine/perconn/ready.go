package perconn

import (
	"sync"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// sessionList is a list of sessions, threaded through them: a session is in at most one at a time.
type sessionList struct {
	head, tail *session
	len        int
}

func listOf(s *session) sessionList {
	var l sessionList
	l.push(s)
	return l
}

func (l *sessionList) push(s *session) {
	if l.tail == nil {
		l.head = s
	} else {
		l.tail.nextReady = s
	}
	l.tail = s
	l.len++
}

func (l *sessionList) pop() *session {
	s := l.head
	if s == nil {
		return nil
	}
	l.head, s.nextReady = s.nextReady, nil
	if l.head == nil {
		l.tail = nil
	}
	l.len--
	return s
}

func (l *sessionList) join(more sessionList) {
	switch {
	case more.head == nil:
	case l.tail == nil:
		*l = more
	default:
		l.tail.nextReady = more.head
		l.tail = more.tail
		l.len += more.len
	}
}

// readyQueue is what the workers have to do: fan-outs with members to wake, and sessions with something to send.
type readyQueue struct {
	mu     sync.Mutex
	filled sync.Cond
	idle   int
	closed bool

	passes, lastPass *fanout
	sessions         sessionList
	// passed says that the last thing taken was a pass: the two take turns, so that neither starves.
	passed bool

	counts []*counters
}

func (q *readyQueue) init() { q.filled.L = &q.mu }

func (q *readyQueue) push(l sessionList) {
	if l.head == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sessions.join(l)
	q.call(l.len)
}

func (q *readyQueue) pushPass(f *fanout) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f.nextPass = nil
	if q.lastPass == nil {
		q.passes = f
	} else {
		q.lastPass.nextPass = f
	}
	q.lastPass = f
	q.call(1)
}

// call wakes as many idle workers as there are new things to do.
func (q *readyQueue) call(n int) {
	for range min(n, q.idle) {
		q.filled.Signal()
	}
}

// pop waits for something to do: a pass, or a session. Neither, once the queue is closed.
func (q *readyQueue) pop() (*fanout, *session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return nil, nil
		}
		if f := q.passes; f != nil && (!q.passed || q.sessions.head == nil) {
			q.passed = true
			q.passes, f.nextPass = f.nextPass, nil
			if q.passes == nil {
				q.lastPass = nil
			}
			return f, nil
		}
		q.passed = false
		if s := q.sessions.pop(); s != nil {
			return nil, s
		}
		q.idle++
		q.filled.Wait()
		q.idle--
	}
}

func (q *readyQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

// counters gives a worker its own.
func (q *readyQueue) counters() *counters {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := new(counters)
	q.counts = append(q.counts, c)
	return c
}

// total is what the workers have done, and how many sessions wait for them.
func (q *readyQueue) total() (s engine.Stats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.counts {
		s.Deliveries += c.deliveries.Load()
		s.TooLong += c.tooLong.Load()
		s.WrittenBytes += c.bytes.Load()
	}
	s.Ready = q.sessions.len
	return s
}
