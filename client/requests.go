package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Post appends a message to a log and says where it stands. Without a RandomId in the request one is chosen. The same
// message is sent again, with the same id, after a lost connection and after an answer that passes, until it has an outcome or
// the context ends: it is in the log once, however often it was sent. After CODE_INTERNAL, a defect of the server, it is sent again too,
// but a few times only.
//
// When the context ends first (or the server goes on saying CODE_INTERNAL), and the message may have been posted, the error is an *OutcomeUnknownError whose Request can
// be given to Post again, now or at the program's next start. An outbox keeps that request until Post has an outcome.
func (c *Client) Post(ctx context.Context, r *chatv1.PostRequest) (*chatv1.PostResponse, error) {
	r = proto.CloneOf(r)
	if r.RandomId == 0 {
		r.RandomId = randomID()
	}
	if err := c.checkMessage(r); err != nil {
		return nil, err
	}
	frame, sent, err := c.do(ctx, func() *chatv1.ClientFrame {
		request := proto.CloneOf(r)
		if r.FirstSentMs == 0 {
			r.FirstSentMs = c.serverNow() // of the repeats
		}
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Post{Post: request}}
	})
	if err != nil {
		return nil, outcome(r, sent, err)
	}
	return answerOf(frame.GetPosted(), "post")
}

// Create makes a channel or a group that the user owns. It repeats as Post does; the same RandomId is the same log.
func (c *Client) Create(ctx context.Context, r *chatv1.CreateRequest) (*chatv1.CreateResponse, error) {
	r = proto.CloneOf(r)
	if r.RandomId == 0 {
		r.RandomId = randomID()
	}
	frame, sent, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Create{Create: proto.CloneOf(r)}}
	})
	if err != nil {
		return nil, outcome(r, sent, err)
	}
	return answerOf(frame.GetCreated(), "create")
}

// Join makes the user a member of a log. Joining twice is one join.
func (c *Client) Join(ctx context.Context, log string) (*chatv1.JoinResponse, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Join{Join: &chatv1.JoinRequest{Log: log}}}
	})
	if err != nil {
		return nil, err
	}
	return answerOf(frame.GetJoined(), "join")
}

// Leave ends the user's membership of a log, and detaches the log here. Leaving twice is one leave.
func (c *Client) Leave(ctx context.Context, log string) error {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Leave{Leave: &chatv1.LeaveRequest{Log: log}}}
	})
	if err != nil {
		return err
	}
	if _, err = answerOf(frame.GetLeft(), "leave"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.logs[log]; l != nil {
		l.end(ErrDetached)
	}
	return nil
}

// SetRole says what a user may do in a log: admin, member or banned. It is for the log's owner and admins.
func (c *Client) SetRole(ctx context.Context, log, user string, role chatv1.Role) error {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SetRole{SetRole: &chatv1.SetRoleRequest{Log: log, User: user, Role: role}}}
	})
	if err == nil {
		_, err = answerOf(frame.GetRoleSet(), "set_role")
	}
	return err
}

// SetPolicy says who may post in a group, and how often. It is for the group's owner and admins.
func (c *Client) SetPolicy(ctx context.Context, log string, policy *chatv1.Policy) error {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SetPolicy{SetPolicy: &chatv1.SetPolicyRequest{Log: log, Policy: policy}}}
	})
	if err == nil {
		_, err = answerOf(frame.GetPolicySet(), "set_policy")
	}
	return err
}

// Joined lists the logs that the user has joined, by their ids, and says as of which position of his own log that is so: events after it
// may change the list.
func (c *Client) Joined(ctx context.Context) ([]*chatv1.JoinedLog, Cursor, error) {
	var logs []*chatv1.JoinedLog
	asOf := Cursor{Log: UserLog}
	for {
		after := ""
		if len(logs) > 0 {
			after = logs[len(logs)-1].GetLog()
		}
		frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
			return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_ListJoined{ListJoined: &chatv1.ListJoinedRequest{After: after}}}
		})
		if err != nil {
			return nil, Cursor{}, err
		}
		page, err := answerOf(frame.GetJoinedLogs(), "list_joined")
		if err != nil {
			return nil, Cursor{}, err
		}
		if after == "" {
			asOf.Epoch, asOf.PTS = page.GetEpoch(), page.GetPts() // of the first page: what has changed since may be missing in the others
		}
		logs = append(logs, page.GetLogs()...)
		if !page.GetMore() || len(page.GetLogs()) == 0 {
			return logs, asOf, nil
		}
	}
}

// Difference reads a log from a cursor on, without attaching it: for looking back, and for programs that read and end.
// Attached logs do not need it.
func (c *Client) Difference(ctx context.Context, from Cursor, limit uint32) (*chatv1.DifferenceResponse, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		cursor := &chatv1.Cursor{Log: from.Log, Epoch: from.Epoch, Pts: from.PTS}
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Difference{
			Difference: &chatv1.DifferenceRequest{Cursor: cursor, Limit: limit}}}
	})
	if err != nil {
		return nil, err
	}
	return answerOf(frame.GetDifference(), "difference")
}

// History reads a log backwards: the events before a position, at most limit of them (0: as many as the server gives), oldest first. The
// position is before.PTS in before.Epoch; 0 begins at the newest event. An answer without events says that nothing before it is kept.
func (c *Client) History(ctx context.Context, before Cursor, limit uint32) (*chatv1.HistoryResponse, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_History{
			History: &chatv1.HistoryRequest{Log: before.Log, Epoch: before.Epoch, BeforePts: before.PTS, Limit: limit}}}
	})
	if err != nil {
		return nil, err
	}
	return answerOf(frame.GetHistory(), "history")
}

// Typing says that the user is typing in a log that is attached; OnTyping of Options is what the others hear by. Call it while he types,
// as often as a key is pressed: it is said once in some seconds. It may be lost, and never fails.
func (c *Client) Typing(log string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logs[log]
	if l == nil || c.session == nil || l.on != c.session || time.Since(l.typed) < typingEvery {
		return
	}
	l.typed = time.Now()
	c.session.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Typing{Typing: &chatv1.TypingRequest{Log: log}}}, nil)
}

// Presence says who is online in a log that the user may read: in a small group by name, else how many sessions there are.
func (c *Client) Presence(ctx context.Context, log string) (*chatv1.PresenceResponse, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Presence{Presence: &chatv1.PresenceRequest{Log: log}}}
	})
	if err != nil {
		return nil, err
	}
	return answerOf(frame.GetPresence(), "presence")
}

// do sends a request, and sends it again until it has an answer that stands. request is called for each try, under mu. sent
// says whether the request may have reached a server.
func (c *Client) do(ctx context.Context, request func() *chatv1.ClientFrame) (_ *chatv1.ServerFrame, sent bool, _ error) {
	var last error
	internal := 0
	for failures := 0; ; failures++ {
		s, err := c.anySession(ctx, last)
		if err != nil {
			return nil, sent, err
		}
		frame, called, err := c.call(ctx, s, request)
		sent, last = sent || called, err
		var e *Error
		switch {
		case err == nil:
			return frame, sent, nil
		case errors.Is(err, errSessionLost):
			continue // anySession waits for the next one
		case errors.As(err, &e) && e.internal() && internal < maxInternal:
			internal++
		case e == nil || !e.passes():
			return nil, sent, err
		case e.Code == chatv1.Error_CODE_TOKEN_EXPIRED || e.Code == chatv1.Error_CODE_DRAINING:
			s.end(e) // the next session has a new token, on another shard
			continue
		}
		pause := Backoff{Base: requestBackoffBase, Most: c.opt.Backoff.Most}.fullJitter(failures)
		if err := c.sleep(ctx, atLeast(pause, e.RetryAfter), last); err != nil {
			return nil, sent, err
		}
	}
}

// anySession waits for a session that is signed in.
func (c *Client) anySession(ctx context.Context, last error) (*session, error) {
	for {
		c.mu.Lock()
		s, changed, why := c.session, c.changed, c.lastErr
		c.mu.Unlock()
		if s != nil {
			return s, nil
		}
		if why != nil {
			last = why
		}
		if err := c.wait(ctx, changed, last); err != nil {
			return nil, err
		}
	}
}

// call waits for its turn, sends one request on a session and waits for its answer. sent says whether the turn came.
func (c *Client) call(ctx context.Context, s *session, request func() *chatv1.ClientFrame) (_ *chatv1.ServerFrame, sent bool, _ error) {
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	case <-s.ended:
		return nil, false, errSessionLost
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	type result struct {
		frame *chatv1.ServerFrame
		err   error
	}
	answered := make(chan result, 1)
	c.mu.Lock()
	ref := s.send(request(), func(frame *chatv1.ServerFrame, err error) { answered <- result{frame, err} })
	c.mu.Unlock()
	select {
	case r := <-answered:
		return r.frame, true, r.err
	case <-ctx.Done():
		c.mu.Lock()
		delete(s.pending, ref)
		c.mu.Unlock()
		return nil, true, context.Cause(ctx)
	}
}

// checkMessage refuses what the server would refuse too, so that it does not travel in vain.
func (c *Client) checkMessage(r *chatv1.PostRequest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := len(r.GetMessage().GetText()) + len(r.GetMessage().GetData())
	if c.session == nil {
		return nil
	}
	if most := c.session.hello.GetLimits().GetMaxMessageBytes(); most > 0 && size > int(most) {
		return &Error{Code: chatv1.Error_CODE_TOO_LARGE, Field: "post.message",
			Message: fmt.Sprintf("text and data have %d bytes, the server takes %d", size, most)}
	}
	return nil
}

// outcome tells errors that are the fleet's word from those that leave it open what became of the request.
func outcome[R any](request R, sent bool, err error) error {
	var e *Error
	if !sent || errors.As(err, &e) && !e.passes() && !e.internal() {
		return err
	}
	return &OutcomeUnknownError[R]{Request: request, Err: err}
}

// answerOf is the body of an answer, or an error where the server has sent another body.
func answerOf[A any](body *A, to string) (*A, error) {
	if body == nil {
		return nil, fmt.Errorf("chatfleet: the server's answer to %s is something else", to)
	}
	return body, nil
}

// randomID is not 0, and nobody guesses it.
func randomID() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails
		if id := binary.LittleEndian.Uint64(b[:]); id != 0 {
			return id
		}
	}
}
