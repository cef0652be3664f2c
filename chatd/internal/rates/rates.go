// Package rates counts how often somebody does something: a token bucket for each key, of which there are a bounded number.
//
// The gateway counts by address, the shard by user. It is not for limits that must be exact over a whole fleet: a table is one process's
// own, and who uses two shards has two buckets.
package rates

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys is how many keys a table remembers. One takes about 200 bytes.
const maxKeys = 100_000

// Table is a bucket for each key. Who has not been seen for longest is forgotten when there are too many: his bucket would be full
// again, but for a stranger with a hundred thousand addresses, whom no count by address stops. It may be used by many goroutines.
type Table[K comparable] struct {
	perSecond float64
	burst     int

	mu      sync.Mutex
	buckets map[K]*list.Element
	recent  list.List // of *bucket[K], the latest first
}

type bucket[K comparable] struct {
	key     K
	limiter *rate.Limiter
}

// NewTable makes buckets that hold burst and fill at a pace.
func NewTable[K comparable](perSecond float64, burst int) *Table[K] {
	return &Table[K]{perSecond: perSecond, burst: burst, buckets: make(map[K]*list.Element)}
}

// PerSecond is the pace.
func (t *Table[K]) PerSecond() float64 { return t.perSecond }

// Take takes n out of a bucket, all of it if n is more than it holds; or nothing, and says after what time there will be enough.
func (t *Table[K]) Take(key K, n int, now time.Time) (wait time.Duration, ok bool) {
	n = min(n, t.burst)
	l := t.limiter(key)
	if l.AllowN(now, n) {
		return 0, true
	}
	return t.wait(l, n, now), false
}

// Spent says whether a bucket is empty, and after what time it is not.
func (t *Table[K]) Spent(key K, now time.Time) (wait time.Duration, spent bool) {
	l := t.limiter(key)
	if l.TokensAt(now) >= 1 {
		return 0, false
	}
	return t.wait(l, 1, now), true
}

func (t *Table[K]) wait(l *rate.Limiter, n int, now time.Time) time.Duration {
	lacks := float64(n) - l.TokensAt(now)
	return max(time.Duration(lacks/t.perSecond*float64(time.Second)), 10*time.Millisecond)
}

func (t *Table[K]) limiter(key K) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.buckets[key]; e != nil {
		t.recent.MoveToFront(e)
		return e.Value.(*bucket[K]).limiter
	}
	for len(t.buckets) >= maxKeys {
		oldest := t.recent.Remove(t.recent.Back()).(*bucket[K])
		delete(t.buckets, oldest.key)
	}
	b := &bucket[K]{key, rate.NewLimiter(rate.Limit(t.perSecond), t.burst)}
	t.buckets[key] = t.recent.PushFront(b)
	return b.limiter
}
