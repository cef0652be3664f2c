package shard

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A private channel is read by who has joined it, which stands in his own log alone. So that log's owner is asked, at an attach and at
// a difference, and the answer counts for a while; then it is asked again for those who are attached. Who leaves is sent away at once where
// his leaving is carried out, and where his own log is attached; elsewhere by the next time that it is asked, within half a minute. Who is
// banned is sent away at once, as from any channel.

const (
	// readFor is how long an answer counts, askReaders how often it is looked for answers that count no more. Together, half a minute.
	readFor    = 20 * time.Second
	askReaders = 10 * time.Second
	// maxReaders who were let in are remembered, at least half as many.
	maxReaders = 200_000
	// joinedBatch is how many one request asks for.
	joinedBatch = 256
)

// readers are the users who have been let in to private channels, and until when that counts. When there are many, those who were let in
// before are forgotten.
type readers struct {
	mu            sync.Mutex
	until, before map[reader]time.Time
}

type reader struct{ user, log string }

func (r *readers) knows(user, log string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := reader{user, log}
	return now.Before(r.until[who]) || now.Before(r.before[who])
}

// letIn notes the answer to what was asked at a time.
func (r *readers) letIn(user, log string, asked time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) >= maxReaders/2 || r.until == nil {
		r.until, r.before = make(map[reader]time.Time), r.until
	}
	r.until[reader{user, log}] = asked.Add(readFor)
}

func (r *readers) forget(user, log string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, reader{user, log})
	delete(r.before, reader{user, log})
}

// readsPrivate says why user may not read a private channel, if so.
func (sh *Shard) readsPrivate(ctx context.Context, user, log string) *chatv1.Error {
	now := sh.cfg.Now()
	if sh.readers.knows(user, log, now) {
		return nil
	}
	may, flt := sh.hasJoined(ctx, user, log)
	if flt == nil && !may {
		var leaders []string
		leaders, flt = sh.leaders(ctx, log)
		may = slices.Contains(leaders, user)
	}
	switch {
	case flt != nil:
		return flt
	case !may:
		return notInvitedTo(log)
	}
	sh.readers.letIn(user, log, now)
	return nil
}

// leaders are the owner and admins of a channel, who read it also if they have not joined it.
func (sh *Shard) leaders(ctx context.Context, log string) ([]string, *chatv1.Error) {
	channel, flt := sh.lookUp(ctx, "", &wire.LookUp{Log: log})
	return append(channel.GetInfo().GetAdmins(), channel.GetInfo().GetOwner()), flt
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

func (f *feed) isPrivate() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.private
}

// setPrivateLocked takes note of what the channel is. When it becomes private, who has not joined is sent away.
func (f *feed) setPrivateLocked(private bool) {
	if private && !f.private {
		f.sh.tasks.spawn(func() { f.sh.sortOut(f.sh.visitorsOf(map[*feed]bool{f: true}, "")) })
	}
	f.private = private
}

// hasLeft sends a user away from a channel that he has left, if it is private and he has not come back.
func (sh *Shard) hasLeft(user, log string) {
	sh.readers.forget(user, log)
	f := sh.glance(log)
	if f == nil || f.group != nil {
		return
	}
	sh.tasks.spawn(func() {
		if f.isPrivate() {
			sh.sortOut(sh.visitorsOf(map[*feed]bool{f: true}, user))
		}
	})
}

// sortOutReaders asks again for those whose answers count no more.
func (sh *Shard) sortOutReaders(time.Time) {
	open := make([]*feed, 0, 64)
	sh.mu.Lock()
	for _, f := range sh.feeds {
		if f.ready && !f.leaving && f.kind == chatv1.LogKind_LOG_KIND_CHANNEL {
			open = append(open, f)
		}
	}
	sh.mu.Unlock()
	private := make(map[*feed]bool)
	for _, f := range open {
		if f.isPrivate() {
			private[f] = true
		}
	}
	sh.sortOut(sh.visitorsOf(private, ""))
}

// visitor is a user with sessions that have a private channel attached.
type visitor struct {
	user string
	feed *feed
	his  []*session
}

// visitorsOf are those of some channels, all or a single user, who are not known to have joined.
func (sh *Shard) visitorsOf(feeds map[*feed]bool, user string) []*visitor {
	if len(feeds) == 0 {
		return nil
	}
	found := make(map[reader]*visitor)
	now := sh.cfg.Now()
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	for s := range sh.sessions {
		s.mu.Lock()
		if s.phase != ready || user != "" && s.user != user {
			s.mu.Unlock()
			continue
		}
		for _, number := range s.feeds {
			f := sh.table.at(number)
			log := f.id
			who := reader{s.user, log}
			switch {
			case !feeds[f]:
			case found[who] != nil:
				found[who].his = append(found[who].his, s)
			case !sh.readers.knows(s.user, log, now):
				found[who] = &visitor{s.user, f, []*session{s}}
			}
		}
		s.mu.Unlock()
	}
	all := make([]*visitor, 0, len(found))
	for _, v := range found {
		all = append(all, v)
	}
	return all
}

// sortOut asks for visitors whether they have joined, many at once, and ends the pushes to those who have not.
func (sh *Shard) sortOut(all []*visitor) {
	byPartition := make(map[int][]*visitor)
	for _, v := range all {
		p := logid.Partition(logid.User(v.user), sh.cfg.Partitions)
		byPartition[p] = append(byPartition[p], v)
	}
	var asking errgroup.Group
	asking.SetLimit(openAtOnce)
	for p, some := range byPartition {
		for batch := range slices.Chunk(some, joinedBatch) {
			asking.Go(func() error {
				sh.sendAwayStrangers(p, batch)
				return nil
			})
		}
	}
	_ = asking.Wait() // none fails
}

// sendAwayStrangers does so for visitors whose own logs are in one partition, however long that takes to answer.
func (sh *Shard) sendAwayStrangers(partition int, visitors []*visitor) {
	joined := &wire.Joined{}
	for _, v := range visitors {
		joined.Users, joined.Logs = append(joined.Users, v.user), append(joined.Logs, v.feed.id)
	}
	var now time.Time
	var answer []bool
	sh.insist(func(ctx context.Context) *chatv1.Error {
		now = sh.cfg.Now()
		reply, err := sh.stores.Ask(ctx, partition, &wire.OwnerRequest{Body: &wire.OwnerRequest_Joined{Joined: joined}})
		if err != nil {
			return unavailable(err)
		}
		answer = reply.GetAllJoined()
		return reply.GetError()
	})
	strangers := make(map[*feed][]*visitor)
	for i, v := range visitors {
		switch {
		case i >= len(answer): // the shard is stopping
		case answer[i]:
			sh.readers.letIn(v.user, v.feed.id, now)
		default:
			strangers[v.feed] = append(strangers[v.feed], v)
		}
	}
	for f, them := range strangers {
		f.sendAway(them, now)
	}
}

// sendAway ends the pushes to visitors who have not joined, if they have no other right to be there.
func (f *feed) sendAway(them []*visitor, asked time.Time) {
	var leaders []string
	ok := f.sh.insist(func(ctx context.Context) (flt *chatv1.Error) {
		leaders, flt = f.sh.leaders(ctx, f.id)
		return flt
	})
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shutUp {
		return
	}
	for _, v := range them {
		if slices.Contains(leaders, v.user) {
			f.sh.readers.letIn(v.user, f.id, asked)
		}
		if !f.keepsOutLocked(v.user) {
			continue // or it is public again, or he has joined meanwhile
		}
		for _, s := range v.his {
			f.sendAwayLocked(s)
		}
	}
}

// insist asks until there is an answer; false if there is none because the shard is stopping.
func (sh *Shard) insist(ask func(context.Context) *chatv1.Error) bool {
	for pause := firstPause; sh.ctx.Err() == nil; pause = min(2*pause, maxPause) {
		ctx, cancel := context.WithTimeout(sh.ctx, sh.cfg.RequestTimeout)
		flt := ask(ctx)
		cancel()
		if flt == nil {
			return true
		}
		select {
		case <-time.After(pause):
		case <-sh.ctx.Done():
		}
	}
	return false
}

// sendAwayLocked ends the pushes to a session, which is told that it is sent no more.
func (f *feed) sendAwayLocked(s *session) {
	if !s.sentAway(f) {
		return
	}
	f.fanout.Detach(s.conn)
	s.conn.Send(f.sentAwayLocked())
	f.sh.release(f)
}

// sentAwayLocked is what a session is told that is sent no more: it asks for the difference, and hears why. The position is one that there is
// not yet, since of one that the device has it would not ask.
func (f *feed) sentAwayLocked() *chatv1.ServerFrame { return f.tooLong(f.fanout.Head() + 1) }
