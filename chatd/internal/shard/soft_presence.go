package shard

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// gatherFor is how long other shards have to say who is online with them: who is slow makes the answer partial.
	gatherFor = 250 * time.Millisecond
	// onlineFor is how long an answer is good for everybody who asks.
	onlineFor = 2 * time.Second
	// presencePrice is how many requests a question counts as: it goes to all shards.
	presencePrice = 5
	// maxShards whose answers are taken.
	maxShards = 4096
)

// online is who is online in a log, or will be once done is closed.
type online struct {
	done chan struct{}
	// Before that nobody looks at these.
	at       time.Time
	shards   uint32
	sessions uint64
	users    map[string]struct{}
}

func (o *online) over(now time.Time) bool {
	select {
	case <-o.done:
		return now.Sub(o.at) >= onlineFor
	default:
		return false
	}
}

// Presence says who is online in a log, for callers without a session.
func (sh *Shard) Presence(ctx context.Context, user string, req *chatv1.PresenceRequest) (*chatv1.PresenceResponse, *chatv1.Error) {
	if flt := sh.charge(user, presencePrice-1); flt != nil {
		return nil, flt
	}
	return sh.presence(ctx, user, req)
}

// presence is the same for a session, which has paid.
func (sh *Shard) presence(ctx context.Context, user string, req *chatv1.PresenceRequest) (*chatv1.PresenceResponse, *chatv1.Error) {
	log := req.GetLog()
	if flt := sharedLog(log, "presence.log", "asked who is online in it"); flt != nil {
		return nil, flt
	}
	// Rights as for reading: the owner is asked, or what the shard knows of a log that it follows.
	if f := sh.peek(log); f != nil {
		flt := f.allowed(ctx, user)
		sh.release(f)
		if flt != nil {
			return nil, flt
		}
	} else {
		q := question{user: user, log: log, kind: logid.Kind(log), cursor: &chatv1.Cursor{Log: log}}
		if _, flt := sh.fetchFor(ctx, q, &wire.Fetch{Log: log}, ""); flt != nil {
			return nil, flt
		}
	}
	known, flt := sh.rightsOf(ctx, user, log)
	if flt != nil {
		return nil, flt
	}
	o := sh.gather(log)
	select {
	case <-o.done:
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	if !known.named() {
		return &chatv1.PresenceResponse{Online: uint32(min(o.sessions, 1<<32-1)), Sessions: true, Shards: o.shards}, nil
	}
	return &chatv1.PresenceResponse{Online: uint32(len(o.users)), Users: slices.Sorted(maps.Keys(o.users)), Shards: o.shards}, nil
}

// gather asks all shards that have the log open, once for all who want to know within onlineFor.
func (sh *Shard) gather(log string) *online {
	now := sh.cfg.Now()
	sh.soft.mu.Lock()
	defer sh.soft.mu.Unlock()
	if o := sh.soft.online[log]; o != nil && !o.over(now) {
		return o
	}
	o := &online{done: make(chan struct{}), users: map[string]struct{}{}}
	if sh.cfg.Soft == nil || !sh.tasks.spawn(func() { sh.gatherInto(o, log) }) {
		o.at = now
		o.add(sh.onlineHere(log))
		close(o.done)
		return o
	}
	if len(sh.soft.online) < softLogs {
		sh.soft.online[log] = o
	}
	return o
}

func (sh *Shard) gatherInto(o *online, log string) {
	defer close(o.done)
	ctx, cancel := context.WithTimeout(sh.ctx, gatherFor)
	defer cancel()
	sh.cfg.Soft.Gather(ctx, logid.Partition(log, sh.cfg.Partitions), log, o.add)
	o.at = sh.cfg.Now()
}

func (o *online) add(a *wire.SoftAnswer) {
	if a == nil || o.shards >= maxShards {
		return
	}
	o.shards++
	o.sessions += uint64(a.GetSessions())
	for _, user := range a.GetUsers() {
		if len(o.users) < namedMembers {
			o.users[user] = struct{}{}
		}
	}
}

// onlineHere is what this shard answers; nil if the log is not open here.
func (sh *Shard) onlineHere(log string) *wire.SoftAnswer {
	f := sh.glance(log)
	if f == nil {
		return nil
	}
	answer := &wire.SoftAnswer{Sessions: uint32(f.fanout.Sessions())}
	if f.group == nil {
		return answer
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	users := make(map[string]struct{})
	for s := range f.group.sessions {
		if len(users) == namedMembers {
			break
		}
		users[s.user] = struct{}{}
	}
	answer.Users = slices.Collect(maps.Keys(users))
	return answer
}
