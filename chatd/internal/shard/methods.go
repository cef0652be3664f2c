package shard

import (
	"context"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// The methods of the protocol, for sessions and for HTTP. user is who asks, whose token is checked already. Each ends by ctx's
// deadline.

// Create makes a channel or a group, and notes it in the user's own log.
func (sh *Shard) Create(ctx context.Context, user string, req *chatv1.CreateRequest) (*chatv1.CreateResponse, *chatv1.Error) {
	if flt := checkCreate(req); flt != nil {
		return nil, flt
	}
	id := logid.Create(req.GetKind(), user, req.GetRandomId())
	if flt := sh.note(ctx, user, &wire.UserNote{Log: id, Kind: req.GetKind(), AskMade: true}); flt != nil {
		return nil, flt
	}
	reply, flt := sh.ask(ctx, id, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Create{Create: &wire.Create{Log: id, Request: req}}})
	sh.absent.isThere(id) // also after a failure: it may have been made
	if flt != nil {
		return nil, flt
	}
	// Also if the caller is gone meanwhile: what was made counts.
	if flt := sh.note(context.WithoutCancel(ctx), user, &wire.UserNote{Log: id, Kind: req.GetKind(), AsOf: reply.GetPts(), Made: true}); flt != nil {
		return nil, flt
	}
	return &chatv1.CreateResponse{Log: id, Epoch: reply.GetEpoch(), Pts: reply.GetPts()}, nil
}

// Join makes the user a member: first in the log, then in the user's own log. It may be repeated when either fails.
func (sh *Shard) Join(ctx context.Context, user string, req *chatv1.JoinRequest) (*chatv1.JoinResponse, *chatv1.Error) {
	req, flt := joinRequest(req)
	if flt != nil {
		return nil, flt
	}
	reply, flt := sh.ask(ctx, req.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Join{Join: req}})
	if flt != nil {
		return sh.notInvited(ctx, user, req, flt)
	}
	if flt := sh.note(ctx, user, &wire.UserNote{Log: req.GetLog(), Kind: logid.Kind(req.GetLog()), AsOf: reply.GetPts(), LastBan: reply.GetLastBan()}); flt != nil {
		return nil, flt
	}
	return &chatv1.JoinResponse{Info: reply.GetInfo(), Epoch: reply.GetEpoch()}, nil
}

// Leave ends the user's membership, in the same way.
func (sh *Shard) Leave(ctx context.Context, user string, req *chatv1.LeaveRequest) (*chatv1.LeaveResponse, *chatv1.Error) {
	if flt := sharedLog(req.GetLog(), "leave.log", "left"); flt != nil {
		return nil, flt
	}
	if _, flt := sh.ask(ctx, req.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Leave{Leave: req}}); flt != nil {
		return nil, flt
	}
	if flt := sh.note(ctx, user, &wire.UserNote{Log: req.GetLog(), Kind: logid.Kind(req.GetLog()), Left: true}); flt != nil {
		return nil, flt
	}
	sh.hasLeft(user, req.GetLog())
	return &chatv1.LeaveResponse{}, nil
}

// SetRole changes what another user may do in a log.
func (sh *Shard) SetRole(ctx context.Context, user string, req *chatv1.SetRoleRequest) (*chatv1.SetRoleResponse, *chatv1.Error) {
	if flt := checkSetRole(req); flt != nil {
		return nil, flt
	}
	reply, flt := sh.ask(ctx, req.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_SetRole{SetRole: req}})
	if flt != nil {
		return nil, flt
	}
	return &chatv1.SetRoleResponse{Epoch: reply.GetEpoch(), Pts: reply.GetPts()}, nil
}

// SetPolicy changes who may post in a log, and how often.
func (sh *Shard) SetPolicy(ctx context.Context, user string, req *chatv1.SetPolicyRequest) (*chatv1.SetPolicyResponse, *chatv1.Error) {
	if flt := checkSetPolicy(req); flt != nil {
		return nil, flt
	}
	reply, flt := sh.ask(ctx, req.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_SetPolicy{SetPolicy: req}})
	if flt != nil {
		return nil, flt
	}
	return &chatv1.SetPolicyResponse{Epoch: reply.GetEpoch(), Pts: reply.GetPts()}, nil
}

// note has the user's own log say that he has joined, or left, another.
func (sh *Shard) note(ctx context.Context, user string, note *wire.UserNote) *chatv1.Error {
	note.UserLog = logid.User(user)
	_, flt := sh.ask(ctx, note.UserLog, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Note{Note: note}})
	return flt
}

// Post appends a message to a log.
func (sh *Shard) Post(ctx context.Context, user string, req *chatv1.PostRequest) (resp *chatv1.PostResponse, flt *chatv1.Error) {
	defer func() { sh.metrics.posted(resp, flt) }()
	if flt := sh.checkPost(req); flt != nil {
		return nil, flt
	}
	defer sh.expect(req.GetLog())()
	reply, flt := sh.askTraced(ctx, req.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Post{Post: req}})
	if flt != nil {
		return nil, flt
	}
	return &chatv1.PostResponse{Log: req.GetLog(), Epoch: reply.GetEpoch(), Pts: reply.GetPts(), Repeated: reply.GetRepeated()}, nil
}

// ask asks the owner of a log.
func (sh *Shard) ask(ctx context.Context, log string, req *wire.OwnerRequest) (*wire.OwnerReply, *chatv1.Error) {
	ctx, cancel := context.WithTimeout(ctx, sh.cfg.RequestTimeout)
	defer cancel()
	reply, when := sh.answerAbsent(log, req)
	if reply != nil {
		return reply, reply.GetError()
	}
	reply, err := sh.stores.Ask(ctx, logid.Partition(log, sh.cfg.Partitions), req)
	if err != nil {
		return nil, unavailable(err)
	}
	sh.noteAbsent(when, req, reply)
	return reply, reply.GetError()
}
