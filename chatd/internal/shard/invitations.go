package shard

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// An invitation's token is <log>.<secret>. The secret, 128 bits, is made here and not kept: owners, stores and events have its digest alone,
// which is the invitation's id. It is a function of the request's random_id under a key that all shards have, so that whoever repeats a
// request gets the same token from any of them. The random_id is stored nowhere: what a store keeps does not lead to the secret, not even
// with the key.

const (
	secretBytes     = 16
	invitationField = "join.invitation"
)

var secretLetters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func invitationID(secret []byte) string {
	sum := sha256.Sum256(secret)
	return secretLetters.EncodeToString(sum[:secretBytes])
}

// parseInvitation takes a token apart.
func parseInvitation(token, field string) (log, id string, flt *chatv1.Error) {
	log, letters, _ := strings.Cut(token, ".")
	secret, err := secretLetters.DecodeString(letters)
	if err != nil || len(secret) != secretBytes || secretLetters.EncodeToString(secret) != letters || sharedLog(log, field, "joined") != nil {
		return "", "", faultIn(field, chatv1.Error_CODE_INVALID, "no token of an invitation; it may have been copied wrongly")
	}
	return log, invitationID(secret), nil
}

// InvitationKeys are the keys of a region's invitations, in the order of the seals: the first makes. A new seal breaks no invitation that there is; a request that is repeated just
// when it comes may make a second one.
func InvitationKeys(seals *token.Seals, region string) (func() [][]byte, error) {
	return seals.Keys("chatfleet invitations v1 " + region)
}

// invitationSecret is the secret of the invitation that a request makes.
func (sh *Shard) invitationSecret(user string, req *chatv1.CreateInvitationRequest) []byte {
	if req.GetRandomId() == 0 {
		secret := make([]byte, secretBytes)
		_, _ = rand.Read(secret) // never fails
		return secret
	}
	mac := hmac.New(sha256.New, sh.cfg.InvitationKeys()[0])
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], req.GetRandomId())
	mac.Write(id[:])
	mac.Write([]byte(req.GetLog() + " " + user)) // no id of a log has a space
	return mac.Sum(nil)[:secretBytes]
}

// CreateInvitation makes an invitation to a log.
func (sh *Shard) CreateInvitation(ctx context.Context, user string, req *chatv1.CreateInvitationRequest) (*chatv1.CreateInvitationResponse, *chatv1.Error) {
	if flt := sharedLog(req.GetLog(), "create_invitation.log", "joined"); flt != nil {
		return nil, flt
	}
	switch {
	case req.GetExpiresMs() < 0 || req.GetExpiresMs() > 0 && req.GetExpiresMs() <= sh.cfg.Now().UnixMilli():
		return nil, faultIn("create_invitation.expires_ms", chatv1.Error_CODE_INVALID, "not in the future: the server's clock is at %d", sh.cfg.Now().UnixMilli())
	case req.GetMaxUses() > 0 && logid.Kind(req.GetLog()) != chatv1.LogKind_LOG_KIND_GROUP:
		return nil, faultIn("create_invitation.max_uses", chatv1.Error_CODE_INVALID, "uses are counted in groups; a channel does not list who has joined")
	}
	secret := sh.invitationSecret(user, req)
	made := &chatv1.Invitation{Id: invitationID(secret), ExpiresMs: req.GetExpiresMs(), MaxUses: req.GetMaxUses()}
	_, flt := sh.ask(ctx, req.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Invite{Invite: &wire.Invite{Log: req.GetLog(), Invitation: made}}})
	switch {
	case flt.GetCode() == chatv1.Error_CODE_ID_REUSED:
		flt.Field = "create_invitation.random_id"
		return nil, flt
	case flt != nil:
		return nil, flt
	}
	made.MadeBy = user
	return &chatv1.CreateInvitationResponse{Token: req.GetLog() + "." + secretLetters.EncodeToString(secret), Invitation: made}, nil
}

// RevokeInvitation ends an invitation.
func (sh *Shard) RevokeInvitation(ctx context.Context, user string, req *chatv1.RevokeInvitationRequest) (*chatv1.RevokeInvitationResponse, *chatv1.Error) {
	if flt := sharedLog(req.GetLog(), "revoke_invitation.log", "joined"); flt != nil {
		return nil, flt
	}
	reply, flt := sh.ask(ctx, req.GetLog(), &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_RevokeInvitation{RevokeInvitation: req}})
	if flt != nil {
		return nil, flt
	}
	return &chatv1.RevokeInvitationResponse{Epoch: reply.GetEpoch(), Pts: reply.GetPts()}, nil
}

// ListInvitations lists those that are good.
func (sh *Shard) ListInvitations(ctx context.Context, user string, req *chatv1.ListInvitationsRequest) (*chatv1.ListInvitationsResponse, *chatv1.Error) {
	if flt := sharedLog(req.GetLog(), "list_invitations.log", "joined"); flt != nil {
		return nil, flt
	}
	reply, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: req.GetLog(), Invitations: true})
	switch {
	case reply != nil && reply.GetInfo() == nil:
		return nil, faultIn("list_invitations.log", chatv1.Error_CODE_NOT_FOUND, "there is no log %s", req.GetLog())
	case flt != nil:
		return nil, flt
	}
	return &chatv1.ListInvitationsResponse{Invitations: reply.GetInvitations()}, nil
}

func (sh *Shard) resolveInvitation(ctx context.Context, user, token string) (*chatv1.ResolveResponse, *chatv1.Error) {
	log, id, flt := parseInvitation(token, "resolve.invitation")
	if flt != nil {
		return nil, flt
	}
	reply, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: log, Invitation: id})
	if flt != nil {
		if flt.GetField() == "" {
			flt.Field = "resolve.invitation"
		}
		return nil, flt
	}
	return &chatv1.ResolveResponse{Info: forAnybody(reply.GetInfo())}, nil
}

// joinRequest is a request to join as the log's owner is asked: with the id of the invitation in place of its secret.
func joinRequest(req *chatv1.JoinRequest) (*chatv1.JoinRequest, *chatv1.Error) {
	asked := &chatv1.JoinRequest{Log: req.GetLog()}
	if req.GetInvitation() != "" {
		log, id, flt := parseInvitation(req.GetInvitation(), invitationField)
		switch {
		case flt != nil:
			return nil, flt
		case asked.Log == "":
			asked.Log = log
		case asked.Log != log:
			return nil, faultIn(invitationField, chatv1.Error_CODE_INVALID, "the invitation is to another log; leave the log out, or ask for the right invitation")
		}
		asked.Invitation = id
	}
	return asked, sharedLog(asked.Log, "join.log", "joined")
}

// hasJoined asks the user's own log whether he has joined a log.
func (sh *Shard) hasJoined(ctx context.Context, user, log string) (bool, *chatv1.Error) {
	reply, flt := sh.lookUp(ctx, user, &wire.LookUp{Log: logid.User(user), Joined: log})
	return reply.GetJoined(), flt
}

// notInvited answers who was refused as he came. Who has joined a channel before need not be invited again: joining twice is one join.
func (sh *Shard) notInvited(ctx context.Context, user string, req *chatv1.JoinRequest, flt *chatv1.Error) (*chatv1.JoinResponse, *chatv1.Error) {
	switch flt.GetCode() {
	case chatv1.Error_CODE_INVITATION_OVER, chatv1.Error_CODE_NOT_FOUND:
		if req.GetInvitation() != "" && flt.GetField() == "" {
			flt.Field = invitationField
		}
	}
	if flt.GetField() != invitationField || logid.Kind(req.GetLog()) != chatv1.LogKind_LOG_KIND_CHANNEL {
		return nil, flt
	}
	if joined, _ := sh.hasJoined(ctx, user, req.GetLog()); !joined {
		return nil, flt
	}
	reply, failed := sh.lookUp(ctx, user, &wire.LookUp{Log: req.GetLog()})
	if failed != nil {
		return nil, failed
	}
	return &chatv1.JoinResponse{Info: reply.GetInfo(), Epoch: reply.GetEpoch()}, nil
}
