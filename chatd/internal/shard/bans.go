package shard

import (
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A channel's readers are not listed, but those who are banned from it are: its feed has them from the owner when it opens, and
// keeps them exact by the channel's own events. So who attaches costs no question, however many do.

// failBanned is the fault of a user who is banned from the log, nil if he is not.
func (f *feed) failBanned(user string) *chatv1.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failBannedLocked(user)
}

func (f *feed) failBannedLocked(user string) *chatv1.Error {
	if _, ok := f.banned[user]; ok {
		return fault(chatv1.Error_CODE_DENIED, "you are banned from the channel %s", f.id)
	}
	return nil
}

// setBannedLocked puts another list in place of the one that was known.
func (f *feed) setBannedLocked(users []string) {
	before := f.banned
	f.banned = make(map[string]struct{}, len(users))
	for _, user := range users {
		f.banned[user] = struct{}{}
		if _, known := before[user]; !known {
			f.expelLocked(user)
		}
	}
}

// followBansLocked keeps the list exact as the channel's events pass.
func (f *feed) followBansLocked(event *chatv1.Event) {
	if policy := event.GetPolicyChanged(); policy != nil {
		f.roles = event.GetPts()
		f.setPrivateLocked(policy.GetByInvitation())
	}
	change := event.GetRoleChanged()
	if change == nil {
		return
	}
	f.roles = event.GetPts()
	if change.GetRole() == chatv1.Role_ROLE_BANNED {
		f.banned[change.GetUser()] = struct{}{}
		f.expelLocked(change.GetUser())
	} else {
		delete(f.banned, change.GetUser())
	}
}

// expelLocked ends the pushes to a banned user's sessions. Each is told that it is sent no more: it asks for the difference, and hears
// why.
func (f *feed) expelLocked(user string) {
	f.sh.tasks.spawn(func() {
		his := f.sh.sessionsOfUser(user)
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, still := f.banned[user]; !still || f.shutUp {
			return // he is back before he was sent away
		}
		for _, s := range his {
			f.sendAwayLocked(s)
		}
	})
}

// recheckBansLocked asks anew who is banned, after events have been passed over. An answer that lacks a change of a role which has
// passed meanwhile proves nothing.
func (f *feed) recheckBansLocked() {
	f.sh.tasks.spawn(func() {
		for {
			stale := false // also if the feed has ended and the answer is not looked at
			f.askOwner("", &wire.Fetch{Log: f.id, WithBanned: true}, func(reply *wire.OwnerReply) {
				stale = reply.GetEpoch() < f.epoch || reply.GetEpoch() == f.epoch && reply.GetPts() < f.roles
				if !stale {
					f.setBannedLocked(reply.GetBanned())
					f.setPrivateLocked(reply.GetInfo().GetPolicy().GetByInvitation())
				}
			})
			if !stale {
				return
			}
			select {
			case <-time.After(firstPause):
			case <-f.sh.ctx.Done():
				return
			}
		}
	})
}

// sessionsOfUser are the sessions that a user has here.
func (sh *Shard) sessionsOfUser(user string) (his []*session) {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	for s := range sh.sessions {
		s.mu.Lock()
		is := s.phase == ready && s.user == user
		s.mu.Unlock()
		if is {
			his = append(his, s)
		}
	}
	return his
}

// bannedFrom says of a user, and of an owner's answer that lists them, whether he is among the banned.
func bannedFrom(log, user string, reply *wire.OwnerReply) *chatv1.Error {
	for _, banned := range reply.GetBanned() {
		if banned == user {
			return fault(chatv1.Error_CODE_DENIED, "you are banned from the channel %s", log)
		}
	}
	return nil
}
