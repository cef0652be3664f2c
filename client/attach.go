package client

import (
	"errors"
	"fmt"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// take makes the session the one that logs are attached on, and returns their cursors. mu is held.
func (s *session) take(logs []*Log) []*chatv1.Cursor {
	cursors := make([]*chatv1.Cursor, len(logs))
	for i, l := range logs {
		at := l.sync.Cursor()
		l.on, l.retry = s, time.Time{}
		cursors[i] = l.wireCursor(at.Epoch, at.PTS)
	}
	return cursors
}

// attach asks for logs to be attached. mu is held.
func (s *session) attach(logs []*Log) {
	request := &chatv1.AttachRequest{Cursors: s.take(logs)}
	s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Attach{Attach: request}}, func(frame *chatv1.ServerFrame, err error) {
		s.attached(logs, frame.GetAttached().GetLogs(), err)
	})
}

// attached takes the answers to the cursors of logs. mu is held.
func (s *session) attached(logs []*Log, states []*chatv1.LogState, err error) {
	if s.err != nil {
		return // the next session attaches them
	}
	if err == nil && len(states) != len(logs) {
		s.endLocked(fmt.Errorf("chatfleet: the server answered %d cursors with %d states", len(logs), len(states)))
		return
	}
	if l := blamed(logs, err); l != nil {
		l.end(err)
		err = &Error{Code: chatv1.Error_CODE_UNAVAILABLE, Message: "asked for with a log that was refused"}
	}
	for i, l := range logs {
		switch {
		case l.on != s: // detached meanwhile
		case err != nil:
			l.refused(err)
		case isAttached(states[i]):
			l.accepted(states[i])
		case states[i].GetError() != nil:
			l.refused(newError(states[i].GetError()))
		default:
			l.refused(&Error{Code: chatv1.Error_CODE_INTERNAL, Message: "the server's answer to attach is not understood"})
		}
	}
}

func isAttached(s *chatv1.LogState) bool {
	return s.GetEpoch() != 0 &&
		(s.GetStatus() == chatv1.LogState_STATUS_LIVE || s.GetStatus() == chatv1.LogState_STATUS_BEHIND)
}

// accepted takes the server's word that the log is attached. mu is held.
func (l *Log) accepted(state *chatv1.LogState) {
	l.refusals, l.refusal = 0, nil
	if id := state.GetLog(); l.client.byID[id] == nil {
		l.client.byID[id] = l // "me", by its true name
	}
	select {
	case <-l.ready:
	default:
		close(l.ready)
	}
	l.carryOut(l.sync.Attached(time.Now(), state))
}

// refused judges why the log was not attached. mu is held.
func (l *Log) refused(err error) {
	l.on = nil
	l.sync.Lost()
	var e *Error
	if errors.As(err, &e) && !e.passes() && e.Code != chatv1.Error_CODE_INTERNAL {
		l.end(err)
		return
	}
	l.refusal = err
	l.retry = time.Now().Add(atLeast(l.client.opt.Backoff.fullJitter(l.refusals), retryAfter(err)))
	l.refusals++
	l.reckon()
}
