package chatlog

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// SkipEvery is the distance in positions between the events that skip pointers name: a reader that looks for an old event
// takes at most pts/SkipEvery + SkipEvery reads.
const SkipEvery = 64

// State is the fold of a log's events up to Pts. The zero State with an ID is a log that does not exist.
// A State belongs to one goroutine.
type State struct {
	ID    string
	Kind  chatv1.LogKind
	Title string
	// Owner is the user who made the log; of a user log, the user.
	Owner string
	// Pts is the position of the newest event, 0 if the log does not exist.
	Pts uint64
	// LastSeq is the stream sequence of event Pts; SkipSeq that of the newest event whose pts is a multiple of SkipEvery.
	LastSeq, SkipSeq uint64

	// Limits are the fleet's, and no part of the fold: whoever decides sets them.
	Limits Limits

	createID uint64
	// members of a group; of a user log, the logs that the user has joined. Nil for channels, whose readers are not listed.
	members map[string]chatv1.LogKind
	recent  recentIDs
	// joinedAsOf is, of a user log, as of which position of each of them.
	joinedAsOf map[string]uint64
	// tallies of a channel's members.
	tallies Tallies
	// lastBan is the position of the newest ban of anybody.
	lastBan uint64

	roles  roles
	policy *chatv1.Policy
	naming naming
	// invitations, oldest first.
	invitations []invitation
	// lastPostMs is when members posted last, in slow mode; it is swept once it has sweepPostsAt entries.
	lastPostMs   map[string]int64
	sweepPostsAt int
	pace         pace
	made         made // of a user log
}

// Exists reports whether the log has been made.
func (s *State) Exists() bool { return s.Pts > 0 }

// MayRead reports whether user may read the log. The nameless user, the fleet itself, reads channels.
func (s *State) MayRead(user string) bool {
	switch s.Kind {
	case chatv1.LogKind_LOG_KIND_CHANNEL:
		return s.Role(user) != chatv1.Role_ROLE_BANNED
	case chatv1.LogKind_LOG_KIND_GROUP:
		return s.isMember(user)
	case chatv1.LogKind_LOG_KIND_USER:
		return user == s.Owner
	}
	return false
}

// Info is the state as a reader may know it.
func (s *State) Info() *chatv1.LogInfo {
	info := &chatv1.LogInfo{Log: s.ID, Kind: s.Kind, Title: s.Title, Owner: s.Owner, Pts: s.Pts}
	if s.Kind == chatv1.LogKind_LOG_KIND_GROUP {
		info.Members = uint32(len(s.members))
	}
	if s.Kind == chatv1.LogKind_LOG_KIND_CHANNEL {
		info.Members = s.tallies.Members()
	}
	if s.Kind != chatv1.LogKind_LOG_KIND_USER {
		info.Admins, info.Policy = slices.Sorted(maps.Keys(s.roles.admins)), s.policyInForce()
		info.Name = s.naming.name
	}
	return info
}

func (s *State) isMember(user string) bool {
	_, ok := s.members[user]
	return ok
}

// Snapshot is the state as it is stored.
func (s *State) Snapshot() *wire.LogState {
	w := &wire.LogState{
		Log: s.ID, Pts: s.Pts, LastSeq: s.LastSeq, SkipSeq: s.SkipSeq,
		Kind: s.Kind, Title: s.Title, Owner: s.Owner, CreateRandomId: s.createID,
		Members: slices.Sorted(maps.Keys(s.members)),
		Admins:  slices.Sorted(maps.Keys(s.roles.admins)), Banned: s.Banned(), Policy: s.policy, LastPostMs: maps.Clone(s.lastPostMs),
	}
	if s.Kind == chatv1.LogKind_LOG_KIND_USER {
		w.MemberKinds = make([]chatv1.LogKind, len(w.Members))
		for i, m := range w.Members {
			w.MemberKinds[i] = s.members[m]
		}
		w.JoinedAsOf = make([]uint64, len(w.Members))
		for i, m := range w.Members {
			w.JoinedAsOf[i] = s.joinedAsOf[m]
		}
	}
	s.snapshotNaming(w)
	s.snapshotInvitations(w)
	w.Tallies, w.LastBan = s.tallies, s.lastBan
	w.Made = s.made.sorted()
	w.Recent, w.ForgottenBeforeMs = s.recent.snapshot()
	return w
}

// Restore is the state that a snapshot was made of, less the ids that a snapshot leaves out.
func Restore(w *wire.LogState) *State {
	s := &State{
		ID: w.Log, Pts: w.Pts, LastSeq: w.LastSeq, SkipSeq: w.SkipSeq,
		Kind: w.Kind, Title: w.Title, Owner: w.Owner, createID: w.CreateRandomId,
		roles: restoreRoles(w.Admins, w.Banned), policy: w.Policy, lastPostMs: maps.Clone(w.LastPostMs),
	}
	for i, m := range w.Members {
		kind := chatv1.LogKind_LOG_KIND_UNSPECIFIED
		if i < len(w.MemberKinds) {
			kind = w.MemberKinds[i]
		}
		s.setMember(m, kind)
		if i < len(w.JoinedAsOf) {
			s.setJoinedAsOf(m, w.JoinedAsOf[i])
		}
	}
	s.tallies, s.lastBan = s.tallies.Merge(w.Tallies...), w.LastBan
	s.restoreNaming(w)
	s.restoreInvitations(w)
	for _, log := range w.Made {
		s.made.add(log)
	}
	s.recent.restore(w.Recent, w.ForgottenBeforeMs)
	return s
}

func (s *State) setMember(name string, kind chatv1.LogKind) {
	if s.members == nil {
		s.members = make(map[string]chatv1.LogKind)
	}
	s.members[name] = kind
}

// joinedAfter lists, of a user log, the logs that the user has joined, by their ids: at most limit after one, and whether there are more.
func (s *State) joinedAfter(after string, limit int) (logs []*chatv1.JoinedLog, more bool) {
	if s.Kind != chatv1.LogKind_LOG_KIND_USER {
		return nil, false
	}
	for _, log := range slices.Sorted(maps.Keys(s.members)) {
		switch {
		case log <= after:
		case len(logs) == limit:
			return logs, true
		default:
			logs = append(logs, &chatv1.JoinedLog{Log: log, Kind: s.members[log]})
		}
	}
	return logs, false
}

func (s *State) setJoinedAsOf(log string, pts uint64) {
	if s.joinedAsOf == nil {
		s.joinedAsOf = make(map[string]uint64)
	}
	s.joinedAsOf[log] = pts
}

// Apply folds in the log's next event, which stands at the stream sequence seq. content is what the event's envelope holds.
// An event that is not the next one is a defect of the caller and panics: to go on would give two events one position.
func (s *State) Apply(e *wire.StoredEvent, content *chatv1.Event, seq uint64) {
	if e.Pts != s.Pts+1 || e.Log != s.ID {
		panic("chatlog: event is not the log's next")
	}
	s.Pts, s.LastSeq = e.Pts, seq
	if e.Pts%SkipEvery == 0 {
		s.SkipSeq = seq
	}
	switch c := content.Content.(type) {
	case *chatv1.Event_Created:
		s.Kind, s.Title, s.Owner, s.createID = c.Created.Kind, c.Created.Title, e.Sender, e.RandomId
		if s.Kind == chatv1.LogKind_LOG_KIND_GROUP {
			s.setMember(e.Sender, 0)
		}
	case *chatv1.Event_MemberJoined:
		s.setMember(c.MemberJoined.User, 0)
		s.invited(c.MemberJoined.Invitation)
	case *chatv1.Event_MemberLeft:
		delete(s.members, c.MemberLeft.User)
		delete(s.roles.admins, c.MemberLeft.User)
	case *chatv1.Event_RoleChanged:
		s.roles.set(c.RoleChanged.User, c.RoleChanged.Role)
		if c.RoleChanged.Role == chatv1.Role_ROLE_BANNED {
			s.lastBan = e.Pts
			if s.Kind == chatv1.LogKind_LOG_KIND_GROUP {
				delete(s.members, c.RoleChanged.User)
			}
		}
	case *chatv1.Event_PolicyChanged:
		s.setPolicy(c.PolicyChanged)
	case *chatv1.Event_LogJoined:
		if e.Pts == 1 {
			// A user log begins with the first thing noted in it.
			s.Kind, s.Owner = chatv1.LogKind_LOG_KIND_USER, e.Sender
		}
		s.setMember(c.LogJoined.Log, c.LogJoined.Kind)
		if c.LogJoined.Made {
			s.made.add(c.LogJoined.Log)
		}
		s.setJoinedAsOf(c.LogJoined.Log, e.AsOf)
	case *chatv1.Event_LogLeft:
		delete(s.members, c.LogLeft.Log)
		delete(s.joinedAsOf, c.LogLeft.Log)
	case *chatv1.Event_NameChanged, *chatv1.Event_NameClaimed, *chatv1.Event_NameSlot:
		s.applyNaming(e, content)
	case *chatv1.Event_InvitationChanged:
		s.applyInvitation(c.InvitationChanged, e.TimeMs)
	case *chatv1.Event_Message:
		s.posted(e.Sender, e.TimeMs)
		s.pace.took(s.Limits, e.TimeMs)
		s.recent.add(recentID{e.Sender, e.RandomId, e.ContentSum, e.Pts, e.TimeMs})
	}
}

// Content opens the envelope of a stored event.
func Content(e *wire.StoredEvent) (*chatv1.Event, error) {
	content := new(chatv1.Event)
	if err := proto.Unmarshal(e.GetContent().GetBody(), content); err != nil {
		return nil, err
	}
	return content, nil
}
