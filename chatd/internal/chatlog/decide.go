package chatlog

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Limits of a log.
const (
	MaxGroupMembers = 10_000
	MaxJoinedLogs   = 10_000
)

// Command is what a user asks of a log. Exactly one of the pointers is set.
type Command struct {
	User string
	// NowMs is the owner's clock, milliseconds since 1970. It never goes back.
	NowMs int64
	// SlowMs is when it ran slow last, by a sixteenth: 0 is never.
	SlowMs int64

	Create *wire.Create
	Join   *chatv1.JoinRequest
	Leave  *chatv1.LeaveRequest
	Post   *chatv1.PostRequest
	Note   *wire.UserNote

	SetRole   *chatv1.SetRoleRequest
	SetPolicy *chatv1.SetPolicyRequest

	SetName   *wire.SetName
	ClaimName *wire.ClaimName
	NoteName  *wire.NoteName

	Invite           *wire.Invite
	RevokeInvitation *chatv1.RevokeInvitationRequest
}

// Decision is what becomes of a command: an event to append, or the position that answers it already.
type Decision struct {
	// Event is the log's next event, less what only the stream's writer knows (sequences, term); nil if nothing is to be
	// appended.
	Event   *wire.StoredEvent
	Content *chatv1.Event
	// Pts is the position that answers the command: of Event, or of the event that a repeat had become.
	Pts      uint64
	Repeated bool
	// LookBackMs, if not 0: the command may be a repeat of a post that this state has forgotten. Whoever decides reads the
	// log back to this time, tells Recall what was found there, and decides again.
	LookBackMs int64
}

// Decide says what becomes of a command. It changes nothing. At most one of the results is set.
func (s *State) Decide(c Command) (Decision, *chatv1.Error) {
	if c.Create != nil {
		return s.decideCreate(c)
	}
	if c.Note != nil {
		return s.decideNote(c)
	}
	if c.NoteName != nil {
		return s.decideNoteName(c)
	}
	if c.ClaimName != nil {
		return s.decideClaim(c)
	}
	if !s.Exists() {
		return Decision{}, fail(chatv1.Error_CODE_NOT_FOUND, "there is no log %s", s.ID)
	}
	switch {
	case s.ofName():
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "the log %s is that of a name", s.ID)
	case c.Join != nil:
		return s.decideJoin(c)
	case c.Leave != nil:
		return s.decideLeave(c)
	case c.Post != nil:
		return s.decidePost(c)
	case c.SetRole != nil:
		return s.decideSetRole(c)
	case c.SetPolicy != nil:
		return s.decideSetPolicy(c)
	case c.SetName != nil:
		return s.decideSetName(c)
	case c.Invite != nil:
		return s.decideInvite(c)
	case c.RevokeInvitation != nil:
		return s.decideRevokeInvitation(c)
	}
	return Decision{}, fail(chatv1.Error_CODE_UNSUPPORTED, "the owner does not know this command")
}

func (s *State) decideCreate(c Command) (Decision, *chatv1.Error) {
	r := c.Create.GetRequest()
	if s.Exists() {
		// The id is a hash of user and random id: it is this user's log, and this a repeat.
		if s.Owner != c.User || s.createID != r.GetRandomId() {
			return Decision{}, fail(chatv1.Error_CODE_INTERNAL, "the id %s belongs to another creation", s.ID)
		}
		if s.Title != r.GetTitle() || s.Kind != r.GetKind() {
			return Decision{}, fail(chatv1.Error_CODE_ID_REUSED, "random_id %d made a log with another title or kind; take a new random_id", r.GetRandomId())
		}
		return Decision{Pts: 1, Repeated: true}, nil
	}
	return s.event(c, r.GetRandomId(), 0, &chatv1.Event{Content: &chatv1.Event_Created{
		Created: &chatv1.LogCreated{Kind: r.GetKind(), Title: r.GetTitle()}}})
}

func (s *State) decideJoin(c Command) (Decision, *chatv1.Error) {
	if s.Role(c.User) == chatv1.Role_ROLE_BANNED {
		return Decision{}, s.failBanned(c.User)
	}
	switch s.Kind {
	case chatv1.LogKind_LOG_KIND_CHANNEL:
		if failed := s.mayJoin(c, c.Join.GetInvitation()); failed != nil {
			return Decision{}, failed
		}
		// A channel does not list its readers; the membership stands in the user's own log.
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case chatv1.LogKind_LOG_KIND_GROUP:
		if s.isMember(c.User) {
			return Decision{Pts: s.Pts, Repeated: true}, nil
		}
		if failed := s.mayJoin(c, c.Join.GetInvitation()); failed != nil {
			return Decision{}, failed
		}
		if len(s.members) >= MaxGroupMembers {
			return Decision{}, fail(chatv1.Error_CODE_TOO_MANY, "the group %s has %d members, the most that a group may have", s.ID, MaxGroupMembers)
		}
		return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_MemberJoined{MemberJoined: &chatv1.MemberJoined{User: c.User, Invitation: c.Join.GetInvitation()}}})
	}
	return Decision{}, fail(chatv1.Error_CODE_DENIED, "the log %s cannot be joined", s.ID)
}

func (s *State) decideLeave(c Command) (Decision, *chatv1.Error) {
	if s.Kind == chatv1.LogKind_LOG_KIND_USER {
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "the log %s cannot be left", s.ID)
	}
	if !s.isMember(c.User) {
		return Decision{Pts: s.Pts, Repeated: true}, nil
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_MemberLeft{MemberLeft: &chatv1.MemberLeft{User: c.User}}})
}

func (s *State) decidePost(c Command) (Decision, *chatv1.Error) {
	p := c.Post
	if failed := s.mayPost(c.User); failed != nil {
		return Decision{}, failed
	}
	sum := contentSum(p.GetMessage())
	if first, ok := s.recent.find(c.User, p.GetRandomId()); ok {
		if first.sum != sum {
			return Decision{}, fail(chatv1.Error_CODE_ID_REUSED, "random_id %d was used for another message, at position %d; take a new one", p.GetRandomId(), first.pts)
		}
		return Decision{Pts: first.pts, Repeated: true}, nil
	}
	if sent := p.GetFirstSentMs(); sent > 0 {
		if sent < c.NowMs-RememberFor.Milliseconds() {
			return Decision{}, fail(chatv1.Error_CODE_TOO_OLD, "first_sent_ms is %v before the server's time, and repeats are known for %v", time.Duration(c.NowMs-sent)*time.Millisecond, RememberFor)
		}
		if sent = notAhead(sent, c.NowMs); sent < s.recent.horizonMs {
			return Decision{LookBackMs: sent}, nil
		}
	}
	if failed := s.tooSoon(c); failed != nil {
		return Decision{}, failed
	}
	if failed := s.tooFast(c.NowMs); failed != nil {
		return Decision{}, failed
	}
	return s.event(c, p.GetRandomId(), sum, &chatv1.Event{Content: &chatv1.Event_Message{Message: p.GetMessage()}})
}

func (s *State) decideNote(c Command) (Decision, *chatv1.Error) {
	n := c.Note
	if s.Exists() && s.Owner != c.User {
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "the user log %s is another user's", s.ID)
	}
	if n.GetAskMade() {
		return Decision{Pts: s.Pts, Repeated: true}, s.mayMake(n.GetLog())
	}
	_, joined := s.members[n.GetLog()]
	switch {
	case n.GetLeft() && !joined, !n.GetLeft() && joined && s.joinedAsOf[n.GetLog()] >= min(n.GetAsOf(), n.GetLastBan()):
		// Left what was not joined, or joined what is, with no ban since that could be his and on its way: nothing to note.
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case n.GetLeft() && n.GetAsOf() != 0 && s.joinedAsOf[n.GetLog()] >= n.GetAsOf():
		// He was let in again since.
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case n.GetLeft():
		return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_LogLeft{LogLeft: &chatv1.LogLeft{Log: n.GetLog()}}})
	case !joined && len(s.members) >= MaxJoinedLogs:
		return Decision{}, fail(chatv1.Error_CODE_TOO_MANY, "you have joined %d logs, the most that a user may; leave one first", MaxJoinedLogs)
	}
	d, failed := s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_LogJoined{LogJoined: &chatv1.LogJoined{Log: n.GetLog(), Kind: n.GetKind(), Made: n.GetMade()}}})
	if failed == nil {
		// Of who is let in anew it is noted, so that an older ban that is still on its way is not taken for a newer one.
		d.Event.AsOf, d.Event.JoinedAgain = n.GetAsOf(), joined
	}
	return d, failed
}

// event makes the log's next event.
func (s *State) event(c Command, randomID, sum uint64, content *chatv1.Event) (Decision, *chatv1.Error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(content)
	if err != nil {
		return Decision{}, fail(chatv1.Error_CODE_INVALID, "the content cannot be stored: %v", err)
	}
	return Decision{
		Content: content,
		Pts:     s.Pts + 1,
		Event: &wire.StoredEvent{
			Log: s.ID, Pts: s.Pts + 1, TimeMs: c.NowMs, Sender: c.User, RandomId: randomID, ContentSum: sum,
			PrevSeq: s.LastSeq, SkipSeq: s.SkipSeq,
			Content: &wire.Envelope{Body: body},
		},
	}, nil
}

// contentSum tells a repeat from another message under the same id.
func contentSum(m *chatv1.Message) uint64 {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(m.GetText())))
	h.Write(n[:])
	h.Write([]byte(m.GetText()))
	h.Write(m.GetData())
	return binary.BigEndian.Uint64(h.Sum(nil))
}

func fail(code chatv1.Error_Code, format string, args ...any) *chatv1.Error {
	return &chatv1.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
