package node

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// Revoke implements adminv1connect.AdminServiceHandler.
func (a adminService) Revoke(ctx context.Context, r *connect.Request[adminv1.RevokeRequest]) (*connect.Response[adminv1.RevokeResponse], error) {
	if _, err := a.shard(); err != nil {
		return nil, err
	}
	now := a.n.now()
	what := token.Revocation{User: r.Msg.GetUser(), Session: r.Msg.GetSession(), Until: now.Add(token.KeepRevoked)}
	if what.User != "" {
		what.Before = now
	}
	if err := what.Validate(); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if err := a.n.link.Revoke(ctx, what); err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New(err.Error()+"; nothing may have been revoked: ask again"))
	}
	a.n.cfg.Logger.Info("revoked", "user", what.User, "session", what.Session, "by", r.Peer().Addr)
	return connect.NewResponse(&adminv1.RevokeResponse{}), nil
}
