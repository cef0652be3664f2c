package chatlog

import (
	"maps"
	"slices"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Limits that a fleet's operator sets. Zero is no limit.
type Limits struct {
	// OwnedLogs is how many channels and groups a user may make.
	OwnedLogs int
	// PostsPerSecond and PostBurst are a log's token bucket, for all who post in it together.
	PostsPerSecond float64
	PostBurst      int
}

// Grows reports whether the decision's event is one of those that a fleet without room refuses: all but what takes away or restricts.
func (d Decision) Grows() bool {
	switch c := d.Content.GetContent().(type) {
	case *chatv1.Event_MemberLeft, *chatv1.Event_LogLeft, *chatv1.Event_RoleChanged, *chatv1.Event_PolicyChanged, *chatv1.Event_Erased:
		return false
	case *chatv1.Event_InvitationChanged:
		return !c.InvitationChanged.GetRevoked()
	case *chatv1.Event_NameChanged:
		return c.NameChanged.GetName() != ""
	case *chatv1.Event_NameClaimed:
		return c.NameClaimed.GetLog() != ""
	case *chatv1.Event_NameSlot:
		return !c.NameSlot.GetFreed()
	}
	return true
}

// made are the logs that a user has made, of his user log. One that he leaves stays his: else whoever makes and leaves would have no limit.
type made map[string]struct{}

func (m *made) add(log string) { put((*map[string]struct{})(m), log) }

func (m made) sorted() []string { return slices.Sorted(maps.Keys(m)) }

// mayMake says why a user, whose own log this is, may not make another log. log is the id that it would have: a creation that is repeated makes
// none.
func (s *State) mayMake(log string) *chatv1.Error {
	if _, again := s.made[log]; again || s.Limits.OwnedLogs == 0 || len(s.made) < s.Limits.OwnedLogs {
		return nil
	}
	return fail(chatv1.Error_CODE_TOO_MANY, "you have made %d channels and groups, the most that a user may", len(s.made))
}

// pace is a log's token bucket, as the time at which it would be full again. That is a fold of the posts' own times, so that a new owner goes
// on where the old one was, as far as the tail reaches that it takes over.
type pace struct{ fullAt time.Duration }

// wait is how long a post has to wait.
func (p pace) wait(l Limits, nowMs int64) time.Duration {
	if l.PostsPerSecond == 0 {
		return 0
	}
	now := time.Duration(nowMs) * time.Millisecond
	return max(p.from(l, now)+l.every()-l.whole()-now, 0)
}

// took takes a post out of the bucket.
func (p *pace) took(l Limits, atMs int64) {
	if l.PostsPerSecond > 0 {
		p.fullAt = p.from(l, time.Duration(atMs)*time.Millisecond) + l.every()
	}
}

// from is fullAt, but not before now. Further ahead than a whole bucket it cannot be, unless the clock was set back, or the limits were
// changed: then the bucket is full.
func (p pace) from(l Limits, now time.Duration) time.Duration {
	if p.fullAt > now+l.whole() {
		return now
	}
	return max(p.fullAt, now)
}

// every is the time in which the bucket gets one post more, whole that in which all of it fills.
func (l Limits) every() time.Duration { return time.Duration(float64(time.Second) / l.PostsPerSecond) }
func (l Limits) whole() time.Duration { return time.Duration(max(l.PostBurst, 1)) * l.every() }

// tooFast says how long a log's posters have to wait, if so.
func (s *State) tooFast(nowMs int64) *chatv1.Error {
	wait := s.pace.wait(s.Limits, nowMs)
	if wait == 0 {
		return nil
	}
	e := fail(chatv1.Error_CODE_TOO_MANY, "more than %v posts a second in the log %s, of all who post there", s.Limits.PostsPerSecond, s.ID)
	e.RetryAfterMs = uint32(max((wait+time.Millisecond-1)/time.Millisecond, 1))
	return e
}
