package chatlog

import (
	"cmp"
	"slices"
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
	list  []recentID           // ascending pts
	index map[recentKey]uint64 // pts
	// horizonMs: posts accepted before it may have been forgotten.
	horizonMs int64
	// forgotTo is the position of the newest post that was forgotten since the state was loaded.
	forgotTo uint64
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
		pts, ok := r.index[recentKey{sender, randomID}]
		if !ok {
			return recentID{}, false
		}
		i, _ := slices.BinarySearchFunc(r.list, pts, func(id recentID, pts uint64) int { return cmp.Compare(id.pts, pts) })
		return r.list[i], true
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
		r.index[recentKey{id.sender, id.randomID}] = id.pts
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
	r.forgotTo = max(r.forgotTo, r.list[n-1].pts)
	r.list = slices.Clone(r.list[n:])
	if r.index != nil {
		r.reindex()
	}
}

func (r *recentIDs) reindex() {
	r.index = nil
	if len(r.list) <= indexFrom {
		return
	}
	r.index = make(map[recentKey]uint64, len(r.list))
	for _, id := range r.list {
		r.index[recentKey{id.sender, id.randomID}] = id.pts
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

// Remembered is how many posts' ids are held in memory.
func (s *State) Remembered() int { return len(s.recent.list) }

// Forget drops the ids of the oldest posts, but the newest keep and those beyond a position: what is not yet in the stream cannot be read
// back from it.
func (s *State) Forget(keep int, upTo uint64) {
	r := &s.recent
	n := len(r.list) - keep
	for n > 0 && r.list[n-1].pts > upTo {
		n--
	}
	r.forget(n)
}

// Recall adds what was read back from the log, for a Decision that asked to look back: events, ascending, are all of the log's events since
// fromMs and up to a position, or the newest of them. If posts beyond that were forgotten while the log was read, nothing is recalled, and
// the Decision is the same again.
func (s *State) Recall(events []*wire.StoredEvent, fromMs int64, upTo uint64) {
	r := &s.recent
	if r.forgotTo > upTo {
		return
	}
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
