package chatlog

import (
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

const (
	// RememberFor is how long a repeat of a post is known to be one.
	RememberFor = 24 * time.Hour
	// rememberMost ids of a log are held in memory; what is older is looked up in the log.
	rememberMost = 4096
	// rememberInSnapshot ids stand in a snapshot, which is written once a checkpoint for each log that has moved.
	rememberInSnapshot = 128
	// indexFrom so many ids on they are found by a map; below, by looking at each.
	indexFrom = 16
)

// recentID remembers a post.
type recentID struct {
	sender   string
	randomID uint64
	sum      uint64
	pts      uint64
	timeMs   int64
}

type recentKey struct {
	sender   string
	randomID uint64
}

// recentIDs are the newest posts of a log, by (sender, random id). Bounded: what is forgotten moves the horizon.
type recentIDs struct {
	list  []recentID // ascending pts
	index map[recentKey]recentID
	// horizonMs: posts accepted before it may have been forgotten.
	horizonMs int64
}

// clocksApart is how far a shard's clock may be ahead of the owner's.
const clocksApart = 5 * time.Second

// notAhead is when a post was first sent, at the latest, if a shard's clock says that it was at sentMs. One that lies in the owner's future
// shows that the shard's clock is ahead: by little, as clocks are, or by nobody knows how much.
func notAhead(sentMs, nowMs int64) int64 {
	switch ahead := sentMs - nowMs; {
	case ahead > clocksApart.Milliseconds():
		return nowMs - RememberFor.Milliseconds()
	case ahead > 0:
		return nowMs - clocksApart.Milliseconds()
	}
	return sentMs
}

func (r *recentIDs) find(sender string, randomID uint64) (recentID, bool) {
	if r.index != nil {
		id, ok := r.index[recentKey{sender, randomID}]
		return id, ok
	}
	for i := len(r.list) - 1; i >= 0; i-- {
		if r.list[i].randomID == randomID && r.list[i].sender == sender {
			return r.list[i], true
		}
	}
	return recentID{}, false
}

func (r *recentIDs) add(id recentID) {
	if len(r.list) >= rememberMost {
		// By halves, so that the copy costs a constant a post.
		r.forget(len(r.list) - rememberMost/2)
	}
	r.list = append(r.list, id)
	switch {
	case r.index != nil:
		r.index[recentKey{id.sender, id.randomID}] = id
	case len(r.list) > indexFrom:
		r.reindex()
	}
}

// forget drops the n oldest.
func (r *recentIDs) forget(n int) {
	if n <= 0 {
		return
	}
	r.horizonMs = max(r.horizonMs, r.list[n-1].timeMs+1)
	kept := make([]recentID, len(r.list)-n, rememberMost)
	copy(kept, r.list[n:])
	r.list = kept
	if r.index != nil {
		r.reindex()
	}
}

func (r *recentIDs) reindex() {
	r.index = make(map[recentKey]recentID, len(r.list))
	for _, id := range r.list {
		r.index[recentKey{id.sender, id.randomID}] = id
	}
}

func (r *recentIDs) snapshot() ([]*wire.RecentId, int64) {
	list, horizon := r.list, r.horizonMs
	if n := len(list) - rememberInSnapshot; n > 0 {
		horizon = max(horizon, list[n-1].timeMs+1)
		list = list[n:]
	}
	out := make([]*wire.RecentId, len(list))
	for i, id := range list {
		out[i] = &wire.RecentId{Sender: id.sender, RandomId: id.randomID, ContentSum: id.sum, Pts: id.pts, TimeMs: id.timeMs}
	}
	return out, horizon
}

func (r *recentIDs) restore(list []*wire.RecentId, horizonMs int64) {
	r.horizonMs = horizonMs
	for _, id := range list {
		r.add(recentID{id.Sender, id.RandomId, id.ContentSum, id.Pts, id.TimeMs})
	}
}

// Recall adds what was read back from the log, for a Decision that asked to look back: events, ascending, are all of the
// log's events since fromMs that are older than what the state remembers, or the newest of them.
func (s *State) Recall(events []*wire.StoredEvent, fromMs int64) {
	r := &s.recent
	oldest := s.Pts + 1
	if len(r.list) > 0 {
		oldest = r.list[0].pts
	}
	recalled := make([]recentID, 0, len(events)+len(r.list))
	for _, e := range events {
		if e.RandomId != 0 && e.ContentSum != 0 && e.Pts < oldest {
			recalled = append(recalled, recentID{e.Sender, e.RandomId, e.ContentSum, e.Pts, e.TimeMs})
		}
	}
	r.list = append(recalled, r.list...)
	r.horizonMs = min(r.horizonMs, fromMs)
	r.reindex()
}
