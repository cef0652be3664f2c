package shard

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A private channel is read by who has joined it, which stands in his own log alone. So that log's owner is asked, at an attach and at
// a difference, and the answer counts for a while: who leaves is sent no more when he attaches or asks the next time, readFor later at
// the latest. Who is banned is sent away at once, as from any channel.

const (
	readFor = 30 * time.Second
	// maxReaders who were let in are remembered.
	maxReaders = 100_000
)

// readers are the users who have been let in to private channels, and until when that counts.
type readers struct {
	mu    sync.Mutex
	until map[reader]time.Time
}

type reader struct{ user, log string }

func (r *readers) knows(user, log string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[reader{user, log}])
}

func (r *readers) letIn(user, log string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) >= maxReaders || r.until == nil {
		r.until = make(map[reader]time.Time) // they are asked for anew
	}
	r.until[reader{user, log}] = now.Add(readFor)
}

func (r *readers) forget(user, log string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, reader{user, log})
}

// readsPrivate says why user may not read a private channel, if so.
func (sh *Shard) readsPrivate(ctx context.Context, user, log string) *chatv1.Error {
	if sh.readers.knows(user, log, sh.cfg.Now()) {
		return nil
	}
	may, flt := sh.hasJoined(ctx, user, log)
	if flt != nil {
		return flt
	}
	if !may {
		channel, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: log})
		if flt != nil {
			return flt
		}
		may = channel.GetInfo().GetOwner() == user || slices.Contains(channel.GetInfo().GetAdmins(), user)
	}
	if !may {
		return notInvitedTo(log)
	}
	sh.readers.letIn(user, log, sh.cfg.Now())
	return nil
}

func notInvitedTo(log string) *chatv1.Error {
	return fault(chatv1.Error_CODE_NOT_MEMBER, "the channel %s is private; join it with an invitation first", log)
}

// keepsOut reports whether the feed's channel is private, and user not known to have joined it.
func (f *feed) keepsOut(user string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.keepsOutLocked(user)
}

func (f *feed) keepsOutLocked(user string) bool {
	return f.private && !f.sh.readers.knows(user, f.id, f.sh.cfg.Now())
}

// setPrivateLocked takes note of what the channel is. When it becomes private, who has not joined is sent away.
func (f *feed) setPrivateLocked(private bool) {
	if private && !f.private {
		f.sh.tasks.spawn(f.sendAwayStrangers)
	}
	f.private = private
}

// sendAwayStrangers asks for each user with a session here whether he has joined, and ends the pushes to those who have not.
func (f *feed) sendAwayStrangers() {
	var asking errgroup.Group
	asking.SetLimit(openAtOnce)
	for user, his := range f.sh.sessionsWith(f) {
		asking.Go(func() error {
			f.sendAwayStranger(user, his)
			return nil
		})
	}
	_ = asking.Wait() // none fails
}

func (f *feed) sendAwayStranger(user string, his []*session) {
	for pause := firstPause; f.sh.ctx.Err() == nil; pause = min(2*pause, maxPause) {
		flt := f.sh.readsPrivate(f.sh.ctx, user, f.id)
		if flt == nil {
			return
		}
		if flt.GetCode() == chatv1.Error_CODE_NOT_MEMBER {
			break
		}
		select {
		case <-time.After(pause):
		case <-f.sh.ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shutUp || !f.keepsOutLocked(user) {
		return // it is public again, or he has joined meanwhile
	}
	for _, s := range his {
		f.sendAwayLocked(s)
	}
}

// sendAwayLocked ends the pushes to a session, which is told that it is sent no more: it asks for the difference, and hears why.
func (f *feed) sendAwayLocked(s *session) {
	if !s.forget(f) {
		return
	}
	f.fanout.Detach(s.conn)
	s.conn.Send(f.tooLong(f.fanout.Head()))
	f.sh.release(f)
}

// sessionsWith are the sessions that have a feed's log attached, by user.
func (sh *Shard) sessionsWith(f *feed) map[string][]*session {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	with := make(map[string][]*session)
	for s := range sh.sessions {
		s.mu.Lock()
		if s.phase == ready && s.feeds[f.id] == f {
			with[s.user] = append(with[s.user], s)
		}
		s.mu.Unlock()
	}
	return with
}
