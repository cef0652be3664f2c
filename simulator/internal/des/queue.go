package des

import "time"

// arity of the heap. With four children a level is one cache line's worth of comparisons and the tree is half as deep as with two; among
// 2, 4 and 8 it was the fastest on what BenchmarkHold measures.
const arity = 4

// Queue holds events of one type by value, and gives them back by their moment, those of the same moment in the order in which they came.
// The zero value is empty and ready. Once it has been as long as it gets, it allocates nothing.
type Queue[E any] struct {
	heap []entry[E]
	seq  uint64
	now  time.Duration
}

type entry[E any] struct {
	at    time.Duration
	seq   uint64
	event E
}

func (a *entry[E]) before(b *entry[E]) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

// Len is how many events wait.
func (q *Queue[E]) Len() int { return len(q.heap) }

// Now is the moment of the last event that came out.
func (q *Queue[E]) Now() time.Duration { return q.now }

// Push puts in an event. A moment that has passed is now: nothing happens in the past.
func (q *Queue[E]) Push(at time.Duration, event E) {
	q.heap = append(q.heap, entry[E]{max(at, q.now), q.seq, event})
	q.seq++
	q.up(len(q.heap) - 1)
}

// Next is the moment of the next event; ok is false if there is none.
func (q *Queue[E]) Next() (at time.Duration, ok bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}

// Pop takes out the next event and makes its moment now; ok is false if there is none.
func (q *Queue[E]) Pop() (event E, ok bool) {
	if len(q.heap) == 0 {
		return event, false
	}
	q.now, event = q.heap[0].at, q.heap[0].event
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap[last] = entry[E]{} // keeps nothing alive that it pointed to
	q.heap = q.heap[:last]
	if last > 0 {
		q.down(moved)
	}
	return event, true
}

// up moves the entry at a place towards the root.
func (q *Queue[E]) up(i int) {
	e := q.heap[i]
	for i > 0 {
		parent := (i - 1) / arity
		if !e.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = e
}

// down puts an entry where the root was, and moves it to its place.
func (q *Queue[E]) down(e entry[E]) {
	heap := q.heap
	i := 0
	for {
		first := i*arity + 1
		if first >= len(heap) {
			break
		}
		least := first
		for child := first + 1; child < min(first+arity, len(heap)); child++ {
			if heap[child].before(&heap[least]) {
				least = child
			}
		}
		if !heap[least].before(&e) {
			break
		}
		heap[i] = heap[least]
		i = least
	}
	heap[i] = e
}
