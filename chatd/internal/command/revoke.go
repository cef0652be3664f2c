package command

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

func revokeCommand() *cobra.Command {
	var to target
	var user, session string
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Void a user's tokens, or a session's, in the whole region",
		Long: "Revoke voids all tokens of a user that were made until now, or those of one session. Ask any one member that has sessions: every\n" +
			"shard hears of it and ends the sessions within a second. Revoked twice is revoked once.",
		Example: "  chatd revoke --user alice\n  chatd revoke --session shard-2/8f3k",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := new(adminv1.RevokeRequest)
			switch {
			case (user == "") == (session == ""):
				return usageError{errors.New("--user or --session, and one of them: what is to be revoked?")}
			case user != "":
				req.What = &adminv1.RevokeRequest_User{User: user}
			default:
				req.What = &adminv1.RevokeRequest_Session{Session: session}
			}
			admin, err := to.dial()
			if err != nil {
				return err
			}
			if err := admin.revoke(cmd.Context(), req); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "revoked")
			return err
		},
	}
	to.flags(cmd.Flags())
	cmd.Flags().StringVar(&user, "user", "", "the user whose tokens are void, as far as they were made until now")
	cmd.Flags().StringVar(&session, "session", "", "the name of the session, as the server's log and the client have it")
	return cmd
}

func (a *admin) revoke(ctx context.Context, req *adminv1.RevokeRequest) error {
	if _, err := a.client.Revoke(ctx, connect.NewRequest(req)); err != nil {
		return a.explain(err)
	}
	return nil
}
