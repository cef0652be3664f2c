package shard

import (
	"context"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// request does what a signed-in client asks. What needs no store is done at once; the rest off the reading goroutine.
func (s *session) request(frame *chatv1.ClientFrame) {
	ref := frame.GetRef()
	if flt := s.pay(frame); flt != nil {
		if frame.GetAck() != nil {
			return // it has no answer, and nothing is lost with it
		}
		if frame.GetTyping() == nil { // of no weight: dropped
			s.answerFault(ref, flt)
		}
		return
	}
	method := s.sh.metrics.requests
	switch body := frame.GetBody().(type) {
	case *chatv1.ClientFrame_Ping:
		method.WithLabelValues("ping").Inc()
		s.answer(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Pong{Pong: &chatv1.PingResponse{
			Nonce: body.Ping.GetNonce(), ServerTimeMs: s.sh.cfg.Now().UnixMilli()}}})
	case *chatv1.ClientFrame_Ack:
		// The device's cursors are its own. That it has acknowledged is counted, and no more.
		method.WithLabelValues("ack").Inc()
	case *chatv1.ClientFrame_Detach:
		method.WithLabelValues("detach").Inc()
		s.detach(body.Detach)
		s.answer(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Detached{Detached: &chatv1.DetachResponse{}}})
	case *chatv1.ClientFrame_SignIn:
		s.answerFault(ref, fault(chatv1.Error_CODE_UNSUPPORTED, "this session is signed in already; another user needs another session"))
	case nil:
		s.answerFault(ref, fault(chatv1.Error_CODE_UNSUPPORTED, "the message has no request, or one that this server does not know"))
	default:
		if !s.begin() {
			if frame.GetTyping() != nil {
				return
			}
			s.answerFault(ref, tooMany(100, "%d requests wait for their answers, as many as may; wait for one of them", s.sh.cfg.MaxInFlight))
			return
		}
		s.ask(frame)
	}
}

// pay takes what a request costs out of the session's bucket.
func (s *session) pay(frame *chatv1.ClientFrame) *chatv1.Error {
	price := 1 + logsPrice(frame.GetAttach().GetCursors())
	if frame.GetSetName() != nil {
		price = namePrice
	}
	if frame.GetHistory() != nil {
		price = historyPrice
	}
	if frame.GetPresence() != nil {
		price = presencePrice
	}
	now := s.sh.cfg.Now()
	s.mu.Lock()
	wait, ok := s.bucket.Take(s.sh.pace, price, now)
	s.mu.Unlock()
	if ok {
		return s.sh.charge(s.user, price)
	}
	return tooMany(retryAfterMs(wait), "more than %v requests a second; send fewer", s.sh.cfg.RequestsPerSecond)
}

// ask does a request that may take until an owner answers.
func (s *session) ask(frame *chatv1.ClientFrame) {
	ref := frame.GetRef()
	// The deadline counts from here: also while a post waits for the one before it.
	ctx, cancel := context.WithTimeout(s.sh.ctx, s.sh.cfg.RequestTimeout)
	method := s.sh.metrics.requests
	switch body := frame.GetBody().(type) {
	case *chatv1.ClientFrame_Post:
		method.WithLabelValues("post").Inc()
		s.runInOrder(body.Post.GetLog(), func() {
			defer cancel()
			resp, flt := s.sh.Post(ctx, s.user, body.Post)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Posted{Posted: resp}}, flt)
		})
	case *chatv1.ClientFrame_Difference:
		method.WithLabelValues("difference").Inc()
		s.run(func() {
			defer cancel()
			s.difference(ctx, ref, body.Difference)
		})
	case *chatv1.ClientFrame_Typing:
		method.WithLabelValues("typing").Inc()
		s.run(func() {
			defer cancel()
			s.typing(ctx, ref, body.Typing)
		})
	case *chatv1.ClientFrame_Presence:
		method.WithLabelValues("presence").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.presence(ctx, s.user, body.Presence)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Presence{Presence: resp}}, flt)
		})
	case *chatv1.ClientFrame_History:
		method.WithLabelValues("history").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.history(ctx, s.user, body.History)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_History{History: resp}}, flt)
		})
	case *chatv1.ClientFrame_Attach:
		method.WithLabelValues("attach").Inc()
		s.run(func() {
			defer cancel()
			s.attach(ctx, ref, body.Attach)
		})
	case *chatv1.ClientFrame_Create:
		method.WithLabelValues("create").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.Create(ctx, s.user, body.Create)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Created{Created: resp}}, flt)
		})
	case *chatv1.ClientFrame_Join:
		method.WithLabelValues("join").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.Join(ctx, s.user, body.Join)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Joined{Joined: resp}}, flt)
		})
	case *chatv1.ClientFrame_Leave:
		method.WithLabelValues("leave").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.Leave(ctx, s.user, body.Leave)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Left{Left: resp}}, flt)
		})
	case *chatv1.ClientFrame_SetRole:
		method.WithLabelValues("set_role").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.SetRole(ctx, s.user, body.SetRole)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_RoleSet{RoleSet: resp}}, flt)
		})
	case *chatv1.ClientFrame_SetPolicy:
		method.WithLabelValues("set_policy").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.SetPolicy(ctx, s.user, body.SetPolicy)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_PolicySet{PolicySet: resp}}, flt)
		})
	case *chatv1.ClientFrame_SetName:
		method.WithLabelValues("set_name").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.setName(ctx, s.user, body.SetName)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_NameSet{NameSet: resp}}, flt)
		})
	case *chatv1.ClientFrame_Resolve:
		method.WithLabelValues("resolve").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.Resolve(ctx, s.user, body.Resolve)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Resolved{Resolved: resp}}, flt)
		})
	case *chatv1.ClientFrame_CreateInvitation:
		method.WithLabelValues("create_invitation").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.CreateInvitation(ctx, s.user, body.CreateInvitation)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_InvitationCreated{InvitationCreated: resp}}, flt)
		})
	case *chatv1.ClientFrame_RevokeInvitation:
		method.WithLabelValues("revoke_invitation").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.RevokeInvitation(ctx, s.user, body.RevokeInvitation)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_InvitationRevoked{InvitationRevoked: resp}}, flt)
		})
	case *chatv1.ClientFrame_ListInvitations:
		method.WithLabelValues("list_invitations").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.ListInvitations(ctx, s.user, body.ListInvitations)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Invitations{Invitations: resp}}, flt)
		})
	case *chatv1.ClientFrame_ListJoined:
		method.WithLabelValues("list_joined").Inc()
		s.run(func() {
			defer cancel()
			resp, flt := s.sh.ListJoined(ctx, s.user, body.ListJoined)
			s.reply(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_JoinedLogs{JoinedLogs: resp}}, flt)
		})
	case *chatv1.ClientFrame_Renew:
		method.WithLabelValues("renew").Inc()
		s.run(func() {
			defer cancel()
			s.renew(ctx, ref, body.Renew)
		})
	default:
		cancel()
		s.finish()
	}
}

func (s *session) reply(ref uint32, f *chatv1.ServerFrame, flt *chatv1.Error) {
	if flt != nil {
		s.answerFault(ref, flt)
		return
	}
	s.answer(ref, f)
}
