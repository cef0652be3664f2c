package shard

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/chatfleet/chatfleet/chatd/internal/snug"
)

// feedTable gives each feed a number as long as it is there, so that a list of feeds takes four bytes for each. Feeds are added and removed under Shard.mu. Who holds a
// feed, as each list does that it is on, finds it by its number without a lock.
type feedTable struct {
	feeds atomic.Pointer[[]*feed] // by number
	free  []uint32
}

// add numbers a feed. What readers have before them does not change but where no feed was, or behind the end.
func (t *feedTable) add(f *feed) {
	var feeds []*feed
	if before := t.feeds.Load(); before != nil {
		feeds = *before
	}
	if n := len(t.free); n > 0 {
		f.number, t.free = t.free[n-1], t.free[:n-1]
		feeds[f.number] = f
		return
	}
	f.number = uint32(len(feeds))
	feeds = append(feeds, f)
	t.feeds.Store(&feeds)
}

// remove has another get the number. Nobody may hold the feed.
func (t *feedTable) remove(f *feed) {
	(*t.feeds.Load())[f.number] = nil
	t.free = append(t.free, f.number)
}

func (t *feedTable) at(number uint32) *feed { return (*t.feeds.Load())[number] }

// feedList is the feeds that a session has attached, each held, by the ids of their logs: numbers in a slice, as most sessions have few, which a map would cost more
// than all else that there is of them.
type feedList []uint32

func (l feedList) find(t *feedTable, log string) (i int, found bool) {
	return slices.BinarySearchFunc(l, log, func(n uint32, log string) int { return strings.Compare(t.at(n).id, log) })
}

// get is the feed of a log, nil if it is not there.
func (l feedList) get(t *feedTable, log string) *feed {
	if i, found := l.find(t, log); found {
		return t.at(l[i])
	}
	return nil
}

// put adds a feed; false if it is there already. Another of the same log cannot be: it would have ended, which none does that is held.
func (l *feedList) put(t *feedTable, f *feed) bool {
	i, found := l.find(t, f.id)
	if !found {
		*l = snug.Insert(*l, i, f.number)
	}
	return !found
}

// drop takes a feed away; false if it is not there, though another of its log may be.
func (l *feedList) drop(t *feedTable, f *feed) bool {
	i, found := l.find(t, f.id)
	if !found || t.at((*l)[i]) != f {
		return false
	}
	*l = snug.Delete(*l, i)
	return true
}
