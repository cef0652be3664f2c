package shard

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A public name is kept by three logs: the log that bears it, the log of the name, which says whose it is, and the user log of the owner,
// which counts. A change goes through them in an order that may stop anywhere, and be begun anew by repeating the request:
//
//	look at the log · keep a slot in the user log · claim the name · name the log · release the name before · free the slot
//
// A claim without a name in its log is nobody's after a minute; package chatlog has the rules.

// SetName gives a log a public name, another one, or none, for callers without a session.
func (sh *Shard) SetName(ctx context.Context, user string, req *chatv1.SetNameRequest) (*chatv1.SetNameResponse, *chatv1.Error) {
	if flt := sh.charge(user, namePrice-1); flt != nil {
		return nil, flt
	}
	return sh.setName(ctx, user, req)
}

// setName is the same for a session, which has paid.
func (sh *Shard) setName(ctx context.Context, user string, req *chatv1.SetNameRequest) (*chatv1.SetNameResponse, *chatv1.Error) {
	if flt := sharedLog(req.GetLog(), "set_name.log", "named"); flt != nil {
		return nil, flt
	}
	var name string
	if req.GetName() != "" {
		folded, flt := foldName(req.GetName(), "set_name.name")
		if flt != nil {
			return nil, flt
		}
		name = folded
	}
	now, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: req.GetLog()})
	switch {
	case flt != nil:
		return nil, flt
	case now.GetInfo() == nil:
		return nil, faultIn("set_name.log", chatv1.Error_CODE_NOT_FOUND, "there is no log %s", req.GetLog())
	case now.GetInfo().GetOwner() != user:
		return nil, faultIn("set_name.log", chatv1.Error_CODE_DENIED, "only its owner names the log %s", req.GetLog())
	case name != "" && name == now.GetName().GetName():
		return &chatv1.SetNameResponse{Epoch: now.GetEpoch(), Pts: now.GetPts(), Name: name}, nil
	case name != "" && now.GetInfo().GetPolicy().GetByInvitation():
		return nil, faultIn("set_name.name", chatv1.Error_CODE_INVALID, "the log is joined by invitation; a private log has no public name")
	}
	if name == "" {
		return sh.unname(ctx, user, req.GetLog(), now)
	}
	return sh.name(ctx, user, req.GetLog(), name, now)
}

// name gives the log a name, now being what it is.
func (sh *Shard) name(ctx context.Context, user, log, name string, now *wire.OwnerReply) (*chatv1.SetNameResponse, *chatv1.Error) {
	before := now.GetName()
	if _, flt := sh.slot(ctx, user, &wire.NoteName{Log: log, AsOf: before.GetChangedPts()}); flt != nil {
		return nil, flt
	}
	claim, flt := sh.claim(ctx, user, log, name)
	if flt != nil {
		return nil, flt
	}
	reply, flt := sh.ask(ctx, log, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_SetName{SetName: &wire.SetName{
		Log: log, Name: name, IfChangedPts: before.GetChangedPts(), Claim: claim.GetPts(), ClaimedMs: claim.GetName().GetTimeMs()}}})
	if flt != nil {
		return nil, flt
	}
	if flt := sh.releaseName(ctx, user, before); flt != nil {
		return nil, flt
	}
	return &chatv1.SetNameResponse{Epoch: reply.GetEpoch(), Pts: reply.GetPts(), Name: name}, nil
}

// unname takes the log's name away. A log that has none is asked all the same if a slot is kept for it: a claim that failed has left it.
func (sh *Shard) unname(ctx context.Context, user, log string, now *wire.OwnerReply) (*chatv1.SetNameResponse, *chatv1.Error) {
	before := now.GetName()
	give := &wire.SetName{Log: log, IfChangedPts: before.GetChangedPts()}
	if before.GetName() == "" {
		free, flt := sh.slot(ctx, user, &wire.NoteName{Log: log, AsOf: before.GetChangedPts(), Free: true})
		if flt != nil {
			return nil, flt
		}
		if !free {
			give.Force = true
		}
	}
	reply, flt := sh.ask(ctx, log, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_SetName{SetName: give}})
	if flt != nil {
		return nil, flt
	}
	if flt := sh.releaseName(ctx, user, before); flt != nil {
		return nil, flt
	}
	if _, flt := sh.slot(ctx, user, &wire.NoteName{Log: log, AsOf: reply.GetPts(), Free: true}); flt != nil {
		return nil, flt
	}
	return &chatv1.SetNameResponse{Epoch: reply.GetEpoch(), Pts: reply.GetPts()}, nil
}

// slot keeps one of the user's slots for a log, or frees it, and says whether there is none for it now.
func (sh *Shard) slot(ctx context.Context, user string, note *wire.NoteName) (free bool, flt *chatv1.Error) {
	note.UserLog = logid.User(user)
	_, flt = sh.ask(ctx, note.UserLog, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_NoteName{NoteName: note}})
	if flt != nil || !note.Free {
		return false, flt
	}
	reply, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: note.UserLog, Slot: note.Log})
	return !reply.GetSlot(), flt
}

// claim claims a name for a log, if it is free or whose it was said to be does not bear it.
func (sh *Shard) claim(ctx context.Context, user, log, name string) (*wire.OwnerReply, *chatv1.Error) {
	nameLog := logid.Name(name)
	there, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: nameLog})
	if flt != nil {
		return nil, flt
	}
	if holder := there.GetName().GetLog(); holder != "" && holder != log {
		bearer, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: holder})
		if flt != nil {
			return nil, flt
		}
		if bearer.GetName().GetName() == name {
			return nil, chatlog.FailTaken(name)
		}
	}
	try := newTry()
	reply, flt := sh.ask(ctx, nameLog, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_ClaimName{ClaimName: &wire.ClaimName{
		NameLog: nameLog, Name: name, Log: log, Try: try, Replaces: there.GetPts()}}})
	switch {
	case flt != nil:
		return nil, flt
	case reply.GetName().GetLog() != log || reply.GetName().GetTry() != try:
		return nil, chatlog.FailTaken(name) // another claim came right behind
	}
	return reply, nil
}

// releaseName ends the claim to a name that a log does not bear any more.
func (sh *Shard) releaseName(ctx context.Context, user string, before *wire.NameState) *chatv1.Error {
	if before.GetName() == "" {
		return nil
	}
	nameLog := logid.Name(before.GetName())
	_, flt := sh.ask(ctx, nameLog, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_ClaimName{ClaimName: &wire.ClaimName{
		NameLog: nameLog, Name: before.GetName(), Release: before.GetClaim()}}})
	return flt
}

// Resolve says which log a name or an invitation is for, as far as anybody may know it.
func (sh *Shard) Resolve(ctx context.Context, user string, req *chatv1.ResolveRequest) (*chatv1.ResolveResponse, *chatv1.Error) {
	if (req.GetName() == "") == (req.GetInvitation() == "") {
		return nil, faultIn("resolve", chatv1.Error_CODE_INVALID, "either a name or an invitation is resolved; give one of them")
	}
	if req.GetInvitation() != "" {
		return sh.resolveInvitation(ctx, user, req.GetInvitation())
	}
	name, flt := foldName(req.GetName(), "resolve.name")
	if flt != nil {
		return nil, flt
	}
	there, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: logid.Name(name)})
	if flt != nil {
		return nil, flt
	}
	if log := there.GetName().GetLog(); log != "" {
		bearer, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: log})
		if flt != nil {
			return nil, flt
		}
		if bearer.GetInfo().GetName() == name {
			return &chatv1.ResolveResponse{Info: forAnybody(bearer.GetInfo())}, nil
		}
	}
	return nil, faultIn("resolve.name", chatv1.Error_CODE_NOT_FOUND, "no log has the name @%s", name)
}

// forAnybody is what a log shows of itself to who is not in it.
func forAnybody(info *chatv1.LogInfo) *chatv1.LogInfo {
	policy := &chatv1.Policy{AdminsPostOnly: info.GetPolicy().GetAdminsPostOnly()}
	if info.GetPolicy().GetByInvitation() {
		policy.ByInvitation = proto.Bool(true)
	}
	return &chatv1.LogInfo{Log: info.GetLog(), Kind: info.GetKind(), Title: info.GetTitle(), Members: info.GetMembers(), Name: info.GetName(), Policy: policy}
}

// lookUp asks the owner of a log what is known of it.
func (sh *Shard) lookUp(ctx context.Context, user string, what *wire.LookUp) (*wire.OwnerReply, *chatv1.Error) {
	return sh.ask(ctx, what.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_LookUp{LookUp: what}})
}

const (
	// namePrice is what a change of a name costs of a session's rate: it asks that many owners.
	namePrice = 5

	minName = 5
	maxName = 32
)

// foldName is the name as it is kept: a letter, then letters, digits and _, small ones.
func foldName(name, field string) (string, *chatv1.Error) {
	name = strings.TrimPrefix(name, "@")
	bad := func() *chatv1.Error {
		return faultIn(field, chatv1.Error_CODE_INVALID, "a name is a letter and then letters, digits and _, %d to %d in all", minName, maxName)
	}
	if len(name) < minName || len(name) > maxName {
		return "", bad()
	}
	folded := []byte(name)
	for i, c := range folded {
		switch {
		case c >= 'A' && c <= 'Z':
			folded[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', i > 0 && (c == '_' || c >= '0' && c <= '9'):
		default:
			return "", bad()
		}
	}
	return string(folded), nil
}

func newTry() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
