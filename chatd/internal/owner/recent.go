package owner

import "sync"

// recentEvents are the newest stored events of the partition, by sequence: most fetches are for what has just been written.
// The term's goroutine adds; readers get.
type recentEvents struct {
	mu       sync.RWMutex
	bySeq    map[uint64][]byte
	order    []uint64 // ascending
	bytes    int
	maxBytes int
}

// overhead of an event in bySeq and order, about.
const overhead = 64

func newRecentEvents(maxBytes int) *recentEvents {
	return &recentEvents{bySeq: make(map[uint64][]byte), maxBytes: maxBytes}
}

func (r *recentEvents) add(seq uint64, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bySeq[seq] = data
	r.order = append(r.order, seq)
	r.bytes += len(data) + overhead
	for r.bytes > r.maxBytes && len(r.order) > 1 {
		r.bytes -= len(r.bySeq[r.order[0]]) + overhead
		delete(r.bySeq, r.order[0])
		r.order = r.order[1:]
	}
}

// get finds an event or says ErrNotFound.
func (r *recentEvents) get(seq uint64) ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if data, ok := r.bySeq[seq]; ok {
		return data, nil
	}
	return nil, ErrNotFound
}
