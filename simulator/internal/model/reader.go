package model

import (
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

const (
	// sessionsPerReader is how many sessions a thread of the generator has at most (simulator/internal/worker).
	sessionsPerReader = 9000
	// sharedTurn is how long a turn lasts at most on shared cores: less than a shard's own, so that who reads what is written is not held up by how
	// the model cuts time.
	sharedTurn = 500 * time.Microsecond
	// Threads that have to wake up, one after the other, until a post is stored: the owner, a follower, the owner again; and until its author has the
	// answer: the shard, the author.
	writeWakes, answerWakes = 3, 2
)

// reader is the generator on shared cores: its threads read what shards have written, in that order.
type reader struct {
	working bool
	inbox   []int32
	batches []batch
	unused  []int32
}

// batch is what a turn of a sweep wrote: the same posts to n sessions.
type batch struct {
	posts []int32
	shard int32
	n     int64
	each  time.Duration
}

// readersOf is how many threads a run's generator has.
func readersOf(s *v1alpha1.Scenario) int {
	return max(int(s.Workers.Count), (s.Population.Sessions()+sessionsPerReader-1)/sessionsPerReader, 1)
}

// loops is how many threads of a shard write.
func (f Fleet) loops() float64 { return max(math.Floor(f.CoresPerShard), 1) }

// write hands what a shard writes in a turn to the reader, at the end of the turn.
func (e *engine) write(s int32, all []under, n, bytes int64, takes time.Duration) {
	r := &e.reader
	k := int32(len(r.batches))
	if last := len(r.unused) - 1; last >= 0 {
		k, r.unused = r.unused[last], r.unused[:last]
	} else {
		r.batches = append(r.batches, batch{})
	}
	b := &r.batches[k]
	b.posts = b.posts[:0]
	for _, u := range all {
		b.posts = append(b.posts, u.post)
	}
	extra := bytes - int64(len(all))*(measuredBytes+e.cost.frame)
	cost := e.cost.receive + time.Duration(len(all)-1)*e.cost.along + time.Duration(float64(extra)*e.cost.receiveByte)
	b.shard, b.n, b.each = s, n, max(cost, e.cost.receive/2)
	e.q.Push(e.q.Now()+takes, event{kind: batchWritten, a: k})
}

// written is a batch that can be read.
func (e *engine) written(k int32) {
	e.reader.inbox = append(e.reader.inbox, k)
	e.read()
}

// read begins the generator's next turn, if there is something to read.
func (e *engine) read() {
	r := &e.reader
	if r.working || len(r.inbox) == 0 {
		return
	}
	e.account(e.q.Now())
	r.working = true
	pace := e.readerPace()
	var takes time.Duration
	for len(r.inbox) > 0 && takes < sharedTurn {
		k := r.inbox[0]
		b := &r.batches[k]
		each := max(time.Duration(float64(b.each)/pace), 1)
		n := min(b.n, max(int64((sharedTurn-takes)/each), 1))
		for _, post := range b.posts {
			e.deliver(post, b.shard, e.q.Now()+takes, each, n)
		}
		e.book.read(e, time.Duration(n)*b.each)
		takes += time.Duration(n) * each
		if b.n -= n; b.n > 0 {
			break
		}
		r.inbox = r.inbox[1:]
		r.unused = append(r.unused, k)
	}
	if len(r.inbox) == 0 {
		r.inbox = r.inbox[:0:0]
	}
	e.q.Push(e.q.Now()+takes, event{kind: readingEnds})
}
