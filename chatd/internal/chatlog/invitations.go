package chatlog

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// MaxInvitations of a log are good at once.
	MaxInvitations = 100
	// maxDeadInvitations are remembered, so that who comes with one is told that it is over.
	maxDeadInvitations = 100
)

// invitation is one, and whether it was revoked. An Invitation in a State is never changed in place: answers hold it.
type invitation struct {
	*chatv1.Invitation
	revoked bool
}

// over says why the invitation is good no more, empty if it is.
func (i invitation) over(nowMs int64) string {
	switch {
	case i.revoked:
		return "was revoked"
	case i.ExpiresMs != 0 && nowMs >= i.ExpiresMs:
		return "has expired"
	case i.MaxUses != 0 && i.Uses >= i.MaxUses:
		return "has been used by as many as may"
	}
	return ""
}

// mayJoin says why user may not join by the invitation, or without one if id is empty.
func (s *State) mayJoin(c Command, id string) *chatv1.Error {
	if id != "" {
		return s.checkInvitation(id, c.NowMs)
	}
	if s.policy.GetByInvitation() && !s.leads(c.User) {
		e := fail(chatv1.Error_CODE_DENIED, "the log %s is private; joining it needs an invitation", s.ID)
		e.Field = "join.invitation"
		return e
	}
	return nil
}

// checkInvitation says whether an invitation is good.
func (s *State) checkInvitation(id string, nowMs int64) *chatv1.Error {
	i := s.findInvitation(id)
	if i < 0 {
		return fail(chatv1.Error_CODE_NOT_FOUND, "there is no such invitation to the log %s; it may have been copied wrongly", s.ID)
	}
	if why := s.invitations[i].over(nowMs); why != "" {
		return fail(chatv1.Error_CODE_INVITATION_OVER, "the invitation %s; ask for another", why)
	}
	return nil
}

func (s *State) findInvitation(id string) int {
	return slices.IndexFunc(s.invitations, func(i invitation) bool { return i.Id == id })
}

// mayInvite says why user has nothing to do with the log's invitations, if so.
func (s *State) mayInvite(user string) *chatv1.Error {
	if s.Kind != chatv1.LogKind_LOG_KIND_CHANNEL && s.Kind != chatv1.LogKind_LOG_KIND_GROUP || !s.leads(user) {
		return fail(chatv1.Error_CODE_DENIED, "only the owner and admins have to do with the invitations to the log %s", s.ID)
	}
	return nil
}

func (s *State) decideInvite(c Command) (Decision, *chatv1.Error) {
	if failed := s.mayInvite(c.User); failed != nil {
		return Decision{}, failed
	}
	i := proto.CloneOf(c.Invite.GetInvitation())
	i.MadeBy, i.MadeMs, i.Uses = c.User, c.NowMs, 0
	switch {
	case s.findInvitation(i.GetId()) >= 0:
		if first := s.invitations[s.findInvitation(i.GetId())]; first.ExpiresMs != i.ExpiresMs || first.MaxUses != i.MaxUses {
			return Decision{}, fail(chatv1.Error_CODE_ID_REUSED, "the random_id made an invitation with another expires_ms or max_uses; take a new random_id")
		}
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case i.GetExpiresMs() != 0 && i.GetExpiresMs() <= c.NowMs:
		return Decision{}, fail(chatv1.Error_CODE_INVALID, "expires_ms is not in the future: the server's clock is at %d", c.NowMs)
	case i.GetMaxUses() != 0 && s.Kind != chatv1.LogKind_LOG_KIND_GROUP:
		return Decision{}, fail(chatv1.Error_CODE_INVALID, "max_uses is for groups; a channel does not list who has joined")
	case len(s.Invitations(c.NowMs)) >= MaxInvitations:
		return Decision{}, fail(chatv1.Error_CODE_TOO_MANY, "the log %s has %d invitations that are good, the most that may be; revoke one", s.ID, MaxInvitations)
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_InvitationChanged{InvitationChanged: &chatv1.InvitationChanged{Invitation: i}}})
}

func (s *State) decideRevokeInvitation(c Command) (Decision, *chatv1.Error) {
	if failed := s.mayInvite(c.User); failed != nil {
		return Decision{}, failed
	}
	at := s.findInvitation(c.RevokeInvitation.GetId())
	switch {
	case at < 0:
		return Decision{}, fail(chatv1.Error_CODE_NOT_FOUND, "there is no such invitation to the log %s", s.ID)
	case s.invitations[at].revoked:
		return Decision{Pts: s.Pts, Repeated: true}, nil
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_InvitationChanged{InvitationChanged: &chatv1.InvitationChanged{
		Invitation: &chatv1.Invitation{Id: c.RevokeInvitation.GetId()}, Revoked: true}}})
}

// Invitations are those that are good, oldest first.
func (s *State) Invitations(nowMs int64) (good []*chatv1.Invitation) {
	for _, i := range s.invitations {
		if i.over(nowMs) == "" {
			good = append(good, i.Invitation)
		}
	}
	return good
}

func (s *State) applyInvitation(change *chatv1.InvitationChanged, atMs int64) {
	if change.GetRevoked() {
		if at := s.findInvitation(change.GetInvitation().GetId()); at >= 0 {
			s.invitations[at].revoked = true
		}
		return
	}
	s.invitations = append(s.invitations, invitation{Invitation: change.GetInvitation()})
	// Forget the oldest of those that are over, by the event's time, so that every fold forgets the same.
	if len(s.invitations) > MaxInvitations+maxDeadInvitations {
		if at := slices.IndexFunc(s.invitations, func(i invitation) bool { return i.over(atMs) != "" }); at >= 0 {
			s.invitations = slices.Delete(s.invitations, at, at+1)
		}
	}
}

// invited counts a use.
func (s *State) invited(id string) {
	if id == "" {
		return
	}
	if at := s.findInvitation(id); at >= 0 {
		used := proto.CloneOf(s.invitations[at].Invitation)
		used.Uses++
		s.invitations[at].Invitation = used
	}
}

func (s *State) snapshotInvitations(w *wire.LogState) {
	for _, i := range s.invitations {
		w.Invitations = append(w.Invitations, i.Invitation)
		if i.revoked {
			w.RevokedInvitations = append(w.RevokedInvitations, i.Id)
		}
	}
}

func (s *State) restoreInvitations(w *wire.LogState) {
	for _, i := range w.GetInvitations() {
		s.invitations = append(s.invitations, invitation{i, slices.Contains(w.GetRevokedInvitations(), i.GetId())})
	}
}

// HasJoined reports whether this is user's own log and says that he has joined a log.
func (s *State) HasJoined(user, log string) bool {
	_, joined := s.members[log]
	return joined && s.Kind == chatv1.LogKind_LOG_KIND_USER && s.Owner == user
}

// LookUp answers what is asked about a log, which need not exist.
func (s *State) LookUp(user string, q *wire.LookUp, nowMs int64) *wire.OwnerReply {
	r := &wire.OwnerReply{Pts: s.Pts, Name: s.Name()}
	if s.Exists() && !s.ofName() {
		r.Info = s.Info()
	}
	if log := q.GetJoined(); log != "" {
		r.Joined = s.HasJoined(user, log)
	}
	if id := q.GetInvitation(); id != "" {
		r.Error = s.checkInvitation(id, nowMs)
	}
	if log := q.GetSlot(); log != "" {
		_, r.Slot = s.naming.slots[log]
	}
	if q.GetInvitations() {
		if r.Error = s.mayInvite(user); r.Error == nil {
			r.Invitations = s.Invitations(nowMs)
		}
	}
	if limit := q.GetJoinedLimit(); limit > 0 && user == s.Owner {
		r.JoinedLogs, r.MoreJoined = s.joinedAfter(q.GetJoinedAfter(), int(limit))
	}
	return r
}
