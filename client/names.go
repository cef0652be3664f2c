package client

import (
	"context"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// SetName gives a log a public name, or takes it away if the name is empty. It is for the log's owner. The answer has the name as it is
// kept.
func (c *Client) SetName(ctx context.Context, log, name string) (*chatv1.SetNameResponse, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SetName{SetName: &chatv1.SetNameRequest{Log: log, Name: name}}}
	})
	if err != nil {
		return nil, err
	}
	return answerOf(frame.GetNameSet(), "set_name")
}

// ResolveName says which log has a public name.
func (c *Client) ResolveName(ctx context.Context, name string) (*chatv1.LogInfo, error) {
	return c.resolve(ctx, &chatv1.ResolveRequest{Name: name})
}

// ResolveInvitation says what an invitation is to, before joining by it.
func (c *Client) ResolveInvitation(ctx context.Context, token string) (*chatv1.LogInfo, error) {
	return c.resolve(ctx, &chatv1.ResolveRequest{Invitation: token})
}

func (c *Client) resolve(ctx context.Context, r *chatv1.ResolveRequest) (*chatv1.LogInfo, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Resolve{Resolve: r}}
	})
	if err != nil {
		return nil, err
	}
	answer, err := answerOf(frame.GetResolved(), "resolve")
	return answer.GetInfo(), err
}

// JoinByInvitation makes the user a member of the log that an invitation is to.
func (c *Client) JoinByInvitation(ctx context.Context, token string) (*chatv1.JoinResponse, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Join{Join: &chatv1.JoinRequest{Invitation: token}}}
	})
	if err != nil {
		return nil, err
	}
	return answerOf(frame.GetJoined(), "join")
}

// CreateInvitation makes an invitation to a log, for its owner and admins. Without a RandomId in the request one is chosen. It repeats as
// Create does; the same RandomId is the same invitation, and has the same token.
func (c *Client) CreateInvitation(ctx context.Context, r *chatv1.CreateInvitationRequest) (*chatv1.CreateInvitationResponse, error) {
	r = proto.CloneOf(r)
	if r.RandomId == 0 {
		r.RandomId = randomID()
	}
	frame, sent, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_CreateInvitation{CreateInvitation: proto.CloneOf(r)}}
	})
	if err != nil {
		return nil, outcome(r, sent, err)
	}
	return answerOf(frame.GetInvitationCreated(), "create_invitation")
}

// RevokeInvitation ends an invitation. Who has joined by it stays.
func (c *Client) RevokeInvitation(ctx context.Context, log, id string) error {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_RevokeInvitation{RevokeInvitation: &chatv1.RevokeInvitationRequest{Log: log, Id: id}}}
	})
	if err == nil {
		_, err = answerOf(frame.GetInvitationRevoked(), "revoke_invitation")
	}
	return err
}

// Invitations lists those to a log that are good, for its owner and admins.
func (c *Client) Invitations(ctx context.Context, log string) ([]*chatv1.Invitation, error) {
	frame, _, err := c.do(ctx, func() *chatv1.ClientFrame {
		return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_ListInvitations{ListInvitations: &chatv1.ListInvitationsRequest{Log: log}}}
	})
	if err != nil {
		return nil, err
	}
	list, err := answerOf(frame.GetInvitations(), "list_invitations")
	return list.GetInvitations(), err
}
