package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// methods serves ChatService.
type methods struct{ Config }

// Create implements chatv1connect.ChatServiceHandler.
func (m *methods) Create(ctx context.Context, r *connect.Request[chatv1.CreateRequest]) (*connect.Response[chatv1.CreateResponse], error) {
	return call(ctx, m, r, m.Shard.Create)
}

// Join implements chatv1connect.ChatServiceHandler.
func (m *methods) Join(ctx context.Context, r *connect.Request[chatv1.JoinRequest]) (*connect.Response[chatv1.JoinResponse], error) {
	return call(ctx, m, r, m.Shard.Join)
}

// Leave implements chatv1connect.ChatServiceHandler.
func (m *methods) Leave(ctx context.Context, r *connect.Request[chatv1.LeaveRequest]) (*connect.Response[chatv1.LeaveResponse], error) {
	return call(ctx, m, r, m.Shard.Leave)
}

// SetRole implements chatv1connect.ChatServiceHandler.
func (m *methods) SetRole(ctx context.Context, r *connect.Request[chatv1.SetRoleRequest]) (*connect.Response[chatv1.SetRoleResponse], error) {
	return call(ctx, m, r, m.Shard.SetRole)
}

// SetPolicy implements chatv1connect.ChatServiceHandler.
func (m *methods) SetPolicy(ctx context.Context, r *connect.Request[chatv1.SetPolicyRequest]) (*connect.Response[chatv1.SetPolicyResponse], error) {
	return call(ctx, m, r, m.Shard.SetPolicy)
}

// SetName implements chatv1connect.ChatServiceHandler.
func (m *methods) SetName(ctx context.Context, r *connect.Request[chatv1.SetNameRequest]) (*connect.Response[chatv1.SetNameResponse], error) {
	return call(ctx, m, r, m.Shard.SetName)
}

// Resolve implements chatv1connect.ChatServiceHandler.
func (m *methods) Resolve(ctx context.Context, r *connect.Request[chatv1.ResolveRequest]) (*connect.Response[chatv1.ResolveResponse], error) {
	return call(ctx, m, r, m.Shard.Resolve)
}

// CreateInvitation implements chatv1connect.ChatServiceHandler.
func (m *methods) CreateInvitation(ctx context.Context, r *connect.Request[chatv1.CreateInvitationRequest]) (*connect.Response[chatv1.CreateInvitationResponse], error) {
	return call(ctx, m, r, m.Shard.CreateInvitation)
}

// RevokeInvitation implements chatv1connect.ChatServiceHandler.
func (m *methods) RevokeInvitation(ctx context.Context, r *connect.Request[chatv1.RevokeInvitationRequest]) (*connect.Response[chatv1.RevokeInvitationResponse], error) {
	return call(ctx, m, r, m.Shard.RevokeInvitation)
}

// ListJoined implements chatv1connect.ChatServiceHandler.
func (m *methods) ListJoined(ctx context.Context, r *connect.Request[chatv1.ListJoinedRequest]) (*connect.Response[chatv1.ListJoinedResponse], error) {
	return call(ctx, m, r, m.Shard.ListJoined)
}

// ListInvitations implements chatv1connect.ChatServiceHandler.
func (m *methods) ListInvitations(ctx context.Context, r *connect.Request[chatv1.ListInvitationsRequest]) (*connect.Response[chatv1.ListInvitationsResponse], error) {
	return call(ctx, m, r, m.Shard.ListInvitations)
}

// Post implements chatv1connect.ChatServiceHandler.
func (m *methods) Post(ctx context.Context, r *connect.Request[chatv1.PostRequest]) (*connect.Response[chatv1.PostResponse], error) {
	return call(ctx, m, r, m.Shard.Post)
}

// Difference implements chatv1connect.ChatServiceHandler.
func (m *methods) Difference(ctx context.Context, r *connect.Request[chatv1.DifferenceRequest]) (*connect.Response[chatv1.DifferenceResponse], error) {
	return call(ctx, m, r, m.Shard.Difference)
}

// History implements chatv1connect.ChatServiceHandler.
func (m *methods) History(ctx context.Context, r *connect.Request[chatv1.HistoryRequest]) (*connect.Response[chatv1.HistoryResponse], error) {
	return call(ctx, m, r, m.Shard.History)
}

// Presence implements chatv1connect.ChatServiceHandler.
func (m *methods) Presence(ctx context.Context, r *connect.Request[chatv1.PresenceRequest]) (*connect.Response[chatv1.PresenceResponse], error) {
	return call(ctx, m, r, m.Shard.Presence)
}

// call carries out one request of whom the guard has let in.
func call[Req, Res any](ctx context.Context, m *methods, r *connect.Request[Req],
	do func(context.Context, string, *Req) (*Res, *chatv1.Error)) (*connect.Response[Res], error) {
	ctx, cancel := context.WithTimeout(ctx, m.RequestTimeout)
	defer cancel()
	res, failed := do(ctx, userOf(ctx), r.Msg)
	if failed != nil {
		return nil, asConnect(failed)
	}
	return connect.NewResponse(res), nil
}

func bearer(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// httpStatus of connect's codes that are among codes (connectrpc.com/docs/protocol).
var httpStatus = map[connect.Code]int{
	connect.CodeInvalidArgument: 400, connect.CodeFailedPrecondition: 400, connect.CodeUnauthenticated: 401, connect.CodePermissionDenied: 403,
	connect.CodeNotFound: 404, connect.CodeAlreadyExists: 409, connect.CodeResourceExhausted: 429, connect.CodeInternal: 500,
	connect.CodeUnimplemented: 501, connect.CodeUnavailable: 503,
}

// codes is how an error of the protocol reads in connect's terms; the error itself is among the details.
var codes = map[chatv1.Error_Code]connect.Code{
	chatv1.Error_CODE_INVALID:         connect.CodeInvalidArgument,
	chatv1.Error_CODE_UNAUTHENTICATED: connect.CodeUnauthenticated,
	chatv1.Error_CODE_TOKEN_EXPIRED:   connect.CodeUnauthenticated,
	chatv1.Error_CODE_DENIED:          connect.CodePermissionDenied,
	chatv1.Error_CODE_NOT_MEMBER:      connect.CodePermissionDenied,
	chatv1.Error_CODE_NOT_FOUND:       connect.CodeNotFound,
	chatv1.Error_CODE_TOO_LARGE:       connect.CodeInvalidArgument,
	chatv1.Error_CODE_TOO_MANY:        connect.CodeResourceExhausted,
	chatv1.Error_CODE_TOO_OLD:         connect.CodeFailedPrecondition,
	chatv1.Error_CODE_ID_REUSED:       connect.CodeAlreadyExists,
	chatv1.Error_CODE_FULL:            connect.CodeResourceExhausted,
	chatv1.Error_CODE_UNAVAILABLE:     connect.CodeUnavailable,
	chatv1.Error_CODE_DRAINING:        connect.CodeUnavailable,
	chatv1.Error_CODE_UNSUPPORTED:     connect.CodeUnimplemented,
	chatv1.Error_CODE_INTERNAL:        connect.CodeInternal,
	chatv1.Error_CODE_TAKEN:           connect.CodeAlreadyExists,
	chatv1.Error_CODE_INVITATION_OVER: connect.CodeFailedPrecondition,
}

func asConnect(e *chatv1.Error) error {
	code, ok := codes[e.Code]
	if !ok {
		code = connect.CodeUnknown
	}
	err := connect.NewError(code, errors.New(e.Message))
	if detail, failed := connect.NewErrorDetail(e); failed == nil {
		err.AddDetail(detail)
	}
	setRetryAfter(err.Meta(), e)
	return err
}

// setRetryAfter says in whole seconds what the error says in milliseconds.
func setRetryAfter(h http.Header, e *chatv1.Error) {
	if ms := e.GetRetryAfterMs(); ms > 0 {
		h.Set("Retry-After", strconv.Itoa(int(ms+999)/1000))
	}
}
