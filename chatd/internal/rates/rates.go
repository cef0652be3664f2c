// Package rates counts how often somebody does something: a token bucket for each key, of which there are a bounded number.
//
// The gateway counts by address, the shard by user. It is not for limits that must be exact over a whole fleet: a table is one process's
// own, and who uses two shards has two buckets.
package rates

import (
	"container/list"
	"sync"
	"time"
)

// maxKeys is how many keys a table remembers. One takes about 150 bytes.
const maxKeys = 100_000

// Table is a bucket for each key. Who has not been seen for longest is forgotten when there are too many: his bucket would be full
// again, but for a stranger with a hundred thousand addresses, whom no count by address stops. It may be used by many goroutines.
type Table[K comparable] struct {
	pace *Pace

	mu      sync.Mutex
	buckets map[K]*list.Element
	recent  list.List // of *entry[K], the latest first
}

type entry[K comparable] struct {
	key    K
	bucket Bucket
}

// NewTable makes buckets that hold burst and fill at a pace.
func NewTable[K comparable](perSecond float64, burst int, now time.Time) *Table[K] {
	return &Table[K]{pace: NewPace(perSecond, burst, now), buckets: make(map[K]*list.Element)}
}

// PerSecond is the pace.
func (t *Table[K]) PerSecond() float64 { return t.pace.perSecond }

// Take takes n out of a bucket, all of it if n is more than it holds; or nothing, and says after what time there will be enough.
func (t *Table[K]) Take(key K, n int, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bucketLocked(key).Take(t.pace, n, now)
}

// Spent says whether a bucket is empty, and after what time it is not.
func (t *Table[K]) Spent(key K, now time.Time) (wait time.Duration, spent bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bucketLocked(key).spent(t.pace, now)
}

func (t *Table[K]) bucketLocked(key K) *Bucket {
	if e := t.buckets[key]; e != nil {
		t.recent.MoveToFront(e)
		return &e.Value.(*entry[K]).bucket
	}
	for len(t.buckets) >= maxKeys {
		oldest := t.recent.Remove(t.recent.Back()).(*entry[K])
		delete(t.buckets, oldest.key)
	}
	e := &entry[K]{key: key}
	t.buckets[key] = t.recent.PushFront(e)
	return &e.bucket
}
