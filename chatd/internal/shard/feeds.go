package shard

import (
	"context"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// acquire gives the open feed of a log, opening it in user's name if it is not open. Each success is given back by release.
func (sh *Shard) acquire(ctx context.Context, user, id string) (*feed, *chatv1.Error) {
	if _, flt := sh.isAbsent(id); flt != nil {
		return nil, flt
	}
	for {
		f, leaving, flt := sh.hold(user, id)
		if flt != nil {
			return nil, flt
		}
		if leaving != nil {
			select {
			case <-leaving:
				continue
			case <-ctx.Done():
				return nil, unavailable(ctx.Err())
			}
		}
		select {
		case <-f.opened:
		case <-ctx.Done():
			sh.release(f)
			return nil, unavailable(ctx.Err())
		}
		if f.refused == nil {
			return f, nil
		}
		switch f.refused.GetCode() {
		case chatv1.Error_CODE_NOT_MEMBER:
			if f.opener == user {
				return nil, f.refused
			}
			// It was another user's right that was missing: try in this one's name.
		case chatv1.Error_CODE_UNAVAILABLE:
			// Who came late to an attempt that was given up has time for another.
			select {
			case <-time.After(firstPause):
			case <-ctx.Done():
				return nil, f.refused
			}
		default:
			return nil, f.refused
		}
	}
}

// hold adds a reference to a log's feed, and begins to open it if there is none. leaving is the end to wait for of one that is
// being closed.
func (sh *Shard) hold(user, id string) (f *feed, leaving chan struct{}, flt *chatv1.Error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.feeds[id]; f != nil {
		if f.leaving {
			return nil, f.gone, nil
		}
		sh.holdLocked(f)
		return f, nil, nil
	}
	if len(sh.feeds) >= sh.cfg.MaxLogs && !sh.closeIdlestLocked() {
		return nil, nil, tooMany(retryMs, "this shard follows %d logs, the most it may; connect anew to reach another", sh.cfg.MaxLogs)
	}
	f = newFeed(sh, id, user)
	if !sh.tasks.spawn(f.open) {
		return nil, nil, unavailable(errStopping)
	}
	f.refs = 1
	sh.feeds[id] = f
	sh.table.add(f)
	f.part.join(f)
	return f, nil, nil
}

func (sh *Shard) holdLocked(f *feed) {
	f.refs++
	if f.idleAt != nil {
		sh.idle.Remove(f.idleAt)
		f.idleAt = nil
	}
}

// peek gives the feed of a log if it is open, without opening it, and holds it.
func (sh *Shard) peek(id string) *feed {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := sh.feeds[id]
	if f == nil || f.leaving || !f.ready {
		return nil
	}
	sh.holdLocked(f)
	return f
}

// find gives the feed of a log, opening or open, without holding it.
func (sh *Shard) find(id string) *feed {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.feeds[id]
}

func (sh *Shard) release(f *feed) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f.refs--
	sh.idleLocked(f)
}

// idleLocked notes that nobody holds a feed, if so.
func (sh *Shard) idleLocked(f *feed) {
	if f.refs == 0 && f.ready && !f.leaving && f.idleAt == nil {
		f.idleSince = sh.cfg.Now()
		f.idleAt = sh.idle.PushBack(f)
	}
}

// sweep closes the feeds that nobody has read for long enough.
func (sh *Shard) sweep(now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for {
		front := sh.idle.Front()
		if front == nil || now.Sub(front.Value.(*feed).idleSince) < sh.cfg.CloseLogAfter {
			return
		}
		sh.closeIdlestLocked()
	}
}

// closeIdlestLocked begins to close the feed that has been idle longest; false if none is.
func (sh *Shard) closeIdlestLocked() bool {
	front := sh.idle.Front()
	if front == nil {
		return false
	}
	f := sh.idle.Remove(front).(*feed)
	f.idleAt, f.leaving = nil, true
	return sh.tasks.spawn(func() { sh.end(f) })
}

// end takes a feed away. Whoever wants the log meanwhile waits for gone, so that the new feed's Follow comes after this Unfollow.
func (sh *Shard) end(f *feed) {
	f.part.leave(f)
	sh.stores.Unfollow(f.part.number, f.id)
	f.unhear()
	f.shut()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.feeds, f.id)
	sh.table.remove(f)
	close(f.gone)
}
