package shard

import (
	"context"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A session that is sent away from a log, since its user may not read it any more, is told "too long", asks for the difference, and hears
// why. Its user may be back by then: what it asked for is then granted, and it must be pushed what comes next like everybody, since it
// knows of nothing that it should do. So a session remembers where it was sent away from and has not heard why yet, and is attached
// again by a difference that brings it to the head of such a log.

// sentAway takes a feed off the session's list and remembers that; false if it is not on it.
func (s *session) sentAway(f *feed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.feeds.drop(&s.sh.table, f) {
		return false
	}
	r := s.moreLocked()
	if r.away == nil {
		r.away = make(map[string]struct{})
	}
	r.away[f.id] = struct{}{}
	return true
}

func (s *session) isAway(log string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rare == nil {
		return false
	}
	_, is := s.rare.away[log]
	return is
}

// settled notes that the session knows again whether it has the log attached.
func (s *session) settled(log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settledLocked(log)
}

func (s *session) settledLocked(log string) {
	if s.rare != nil {
		delete(s.rare.away, log)
		s.lessLocked()
	}
}

// difference answers a request for a difference.
func (s *session) difference(ctx context.Context, ref uint32, req *chatv1.DifferenceRequest) {
	resp, flt := s.sh.difference(ctx, s.user, req)
	log := req.GetCursor().GetLog()
	if log == logid.Me {
		log = logid.User(s.user)
	}
	switch {
	case !s.isAway(log):
	case flt != nil && detaches(flt):
		s.settled(log)
	case flt == nil && resp.GetKind() != chatv1.DifferenceResponse_KIND_SLICE: // else it asks again
		s.comeBack(ctx, ref, log, resp)
		return
	}
	s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Difference{Difference: resp}}, flt)
}

// comeBack attaches a log again that the session was sent away from, behind the difference that it gets.
func (s *session) comeBack(ctx context.Context, ref uint32, log string, resp *chatv1.DifferenceResponse) {
	s.attaching.Lock()
	defer s.attaching.Unlock()
	answer := func() { s.answer(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Difference{Difference: resp}}) }
	if !s.isAway(log) { // attached or detached meanwhile, by a request of its own
		answer()
		return
	}
	wanted := []want{{id: log, cursor: resp.GetCursor()}}
	s.openAll(ctx, wanted)
	s.attachAll(wanted, func(states []*chatv1.LogState) {
		state := states[0]
		switch state.GetStatus() {
		case chatv1.LogState_STATUS_REFUSED: // sent away once more, or its owner is away: then it asks again
			if detaches(state.GetError()) {
				s.settled(log)
			}
			s.answerFault(ref, state.GetError())
			return
		case chatv1.LogState_STATUS_BEHIND: // more came than the ring holds
			defer s.conn.Send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{
				TooLong: &chatv1.TooLong{Log: log, Epoch: state.GetEpoch(), Pts: state.GetPts()}}})
		}
		s.settled(log)
		answer()
	})
}

// detaches reports whether a client takes a log for detached that is refused with a fault: its right to read it is gone.
func detaches(flt *chatv1.Error) bool {
	switch flt.GetCode() {
	case chatv1.Error_CODE_NOT_MEMBER, chatv1.Error_CODE_DENIED, chatv1.Error_CODE_NOT_FOUND:
		return true
	}
	return false
}
