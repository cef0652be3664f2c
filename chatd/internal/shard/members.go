package shard

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// membership is what a group's feed knows of its members: those who have shown up here. What the owner has said once is kept
// exact by the group's own events, so that a member who connects again costs no question.
type membership struct {
	// members, each with the position as of which he is one.
	members map[string]uint64
	// sessions that are attached.
	sessions map[*session]struct{}
	// lastLeft is the position of the newest event by which somebody left: an answer that is older proves nothing.
	lastLeft uint64
}

func newMembership() *membership {
	return &membership{members: make(map[string]uint64), sessions: make(map[*session]struct{})}
}

func (m *membership) allow(user string, asOf uint64) {
	m.members[user] = max(m.members[user], asOf)
}

// anyone is some member, best one with a session.
func (m *membership) anyone() (string, bool) {
	for s := range m.sessions {
		return s.user, true
	}
	for user := range m.members {
		return user, true
	}
	return "", false
}

// allowed says whether user may read the log, asking its owner if the shard does not know.
func (f *feed) allowed(ctx context.Context, user string) *chatv1.Error {
	if f.group == nil {
		if f.kind == chatv1.LogKind_LOG_KIND_USER && user != f.opener {
			return f.notAllowed()
		}
		if flt := f.failBanned(user); flt != nil || !f.keepsOut(user) {
			return flt
		}
		return f.sh.readsPrivate(ctx, user, f.id)
	}
	for {
		if f.knows(user) {
			return nil
		}
		reply, err := f.fetch(ctx, user, &wire.Fetch{Log: f.id}, reasonAttach)
		switch {
		case err != nil:
			return unavailable(err)
		case reply.GetError() != nil:
			return reply.GetError()
		case !reply.GetMayRead():
			return f.notAllowed()
		}
		f.mu.Lock()
		if reply.GetPts() >= f.group.lastLeft || reply.GetEpoch() != f.epoch {
			f.group.allow(user, reply.GetPts())
			if f.fanout != nil {
				f.healLocked(reasonAttach)
			}
		}
		f.mu.Unlock()
	}
}

func (f *feed) knows(user string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.group.members[user]
	return ok
}

// followMembersLocked keeps the members exact as the group's events pass. A member who has left is sent no more.
func (f *feed) followMembersLocked(event *chatv1.Event) {
	switch {
	case event.GetMemberJoined() != nil:
		f.group.allow(event.GetMemberJoined().GetUser(), event.GetPts())
	case event.GetMemberLeft() != nil || event.GetRoleChanged().GetRole() == chatv1.Role_ROLE_BANNED:
		f.group.lastLeft = event.GetPts()
		user := event.GetMemberLeft().GetUser() + event.GetRoleChanged().GetUser() // one of the two
		if asOf, ok := f.group.members[user]; ok && event.GetPts() > asOf {
			f.leftLocked(user, event.GetPts())
		}
	}
}

// leftLocked ends the pushes to a user who has left, at that event exactly. Then his rights are asked for: he may be back
// already, and is pushed what came after it; or he is not, and is told.
func (f *feed) leftLocked(user string, pts uint64) {
	delete(f.group.members, user)
	var his []*session
	for s := range f.group.sessions {
		if s.user == user {
			his = append(his, s)
			f.fanout.Detach(s.conn)
		}
	}
	if len(his) > 0 {
		f.sh.tasks.spawn(func() {
			f.ask(user, func(reply *wire.OwnerReply) { f.leftOrBackLocked(user, his, pts, reply) })
		})
	}
}

func (f *feed) leftOrBackLocked(user string, his []*session, pts uint64, reply *wire.OwnerReply) {
	if _, ok := f.group.members[user]; !ok && !reply.GetMayRead() {
		f.dropMemberLocked(user)
		return
	}
	f.group.allow(user, reply.GetPts())
	for _, s := range his {
		if _, ok := f.group.sessions[s]; !ok {
			continue
		}
		if from, covered := f.fanout.Attach(s.conn, pts); !covered {
			s.conn.Send(f.tooLong(from))
		}
	}
}

func (f *feed) tooLong(pts uint64) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{TooLong: &chatv1.TooLong{Log: f.id, Epoch: f.epoch, Pts: pts}}}
}

// dropMemberLocked ends what a user who is no member any more has here. Each of his sessions is told that it is sent no more: it
// asks for the difference, and hears why.
func (f *feed) dropMemberLocked(user string) {
	delete(f.group.members, user)
	for s := range f.group.sessions {
		if s.user == user {
			delete(f.group.sessions, s)
			f.fanout.Detach(s.conn)
			s.conn.Send(f.sentAwayLocked())
			if s.sentAway(f) {
				f.sh.release(f)
			}
		}
	}
}

// recheckMembersLocked asks anew, after events have been passed over, who still is a member.
func (f *feed) recheckMembersLocked() {
	if f.group == nil || len(f.group.members) == 0 {
		return
	}
	users := slices.Collect(maps.Keys(f.group.members))
	head := f.fanout.Head()
	f.sh.tasks.spawn(func() {
		for _, user := range users {
			f.recheck(user, head)
		}
	})
}

// recheck asks whether user is a member still. Meanwhile he is taken for one: nothing is kept from a member in silence.
func (f *feed) recheck(user string, asOf uint64) {
	f.ask(user, func(reply *wire.OwnerReply) {
		at, ok := f.group.members[user]
		switch {
		case !ok:
		case reply.GetMayRead():
			f.group.allow(user, reply.GetPts())
		case at <= asOf: // else an event after the reset has said that he has joined since
			f.dropMemberLocked(user)
		}
	})
}

// ask asks the owner, until there is an answer, what a user may do, and does with it what is to be done under the feed's lock.
func (f *feed) ask(user string, locked func(*wire.OwnerReply)) {
	f.askOwner(user, &wire.Fetch{Log: f.id}, locked)
}

func (f *feed) askOwner(user string, what *wire.Fetch, locked func(*wire.OwnerReply)) {
	for pause := firstPause; f.sh.ctx.Err() == nil; pause = min(2*pause, maxPause) {
		ctx, cancel := context.WithTimeout(f.sh.ctx, f.sh.cfg.RequestTimeout)
		reply, err := f.fetch(ctx, user, what, reasonGap)
		cancel()
		if err == nil && (reply.GetError() == nil || reply.GetError().GetCode() == chatv1.Error_CODE_NOT_FOUND) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.shutUp {
				locked(reply)
			}
			return
		}
		select {
		case <-time.After(pause):
		case <-f.sh.ctx.Done():
		}
	}
}
