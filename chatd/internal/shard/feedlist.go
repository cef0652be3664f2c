package shard

import (
	"slices"
	"strings"
)

// feedList is the feeds that a session has attached, by the ids of their logs: a slice, as most sessions have few, which a map would cost more than all else
// that there is of them.
type feedList []*feed

func (l feedList) find(log string) (i int, found bool) {
	return slices.BinarySearchFunc(l, log, func(f *feed, log string) int { return strings.Compare(f.id, log) })
}

// get is the feed of a log, nil if it is not there.
func (l feedList) get(log string) *feed {
	if i, found := l.find(log); found {
		return l[i]
	}
	return nil
}

// put adds a feed, in place of the one of the same log that was there, which it returns.
func (l *feedList) put(f *feed) (before *feed) {
	i, found := l.find(f.id)
	if found {
		before, (*l)[i] = (*l)[i], f
		return before
	}
	if len(*l) == cap(*l) { // a quarter more, and not twice as much
		grown := make(feedList, len(*l), len(*l)+1+len(*l)/4)
		copy(grown, *l)
		*l = grown
	}
	*l = slices.Insert(*l, i, f)
	return nil
}

// drop takes a feed away; false if it is not there, though another of its log may be.
func (l *feedList) drop(f *feed) bool {
	i, found := l.find(f.id)
	if !found || (*l)[i] != f {
		return false
	}
	if *l = slices.Delete(*l, i, i+1); len(*l) == 0 {
		*l = nil
	}
	return true
}
