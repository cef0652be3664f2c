package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

const stepDownExamples = `  # Other stores lead what this one leads, the metadata group too; wait until they do. Then restart it.
  chatd step-down --metadata --wait

  # Not after all.
  chatd step-down --reverse`

func stepDownCommand() *cobra.Command {
	var (
		to                   target
		metadata, back, wait bool
	)
	cmd := &cobra.Command{
		Use:   "step-down",
		Short: "Have a running store hand over what it leads, or call that off",
		Long: "Step-down has other stores that are current lead what this one leads, and keeps it from leading until that is reversed or it starts anew.\n" +
			"It goes on keeping what is written. SIGTERM does the same before the store stops. Ask one store at a time.",
		Example: stepDownExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if back && (metadata || wait) {
				return usageError{errors.New("--reverse goes alone: it calls off what is under way")}
			}
			admin, err := to.dial()
			if err != nil {
				return err
			}
			if back {
				d, err := admin.reverseStepDown(cmd.Context())
				if err != nil {
					return err
				}
				if d == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), "the store was not stepping down")
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "called off: the store leads again what it is elected for")
				return err
			}
			d, err := admin.stepDown(cmd.Context(), metadata)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), stepDownLine(d))
			if !wait {
				return nil
			}
			return admin.awaitStepDown(cmd.Context(), cmd.OutOrStdout(), d)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	to.flags(f)
	f.BoolVar(&metadata, "metadata", false, "the metadata group too, as the last: before a restart")
	f.BoolVar(&back, "reverse", false, "call it off: the store may lead again")
	f.BoolVar(&wait, "wait", false, "wait until the store leads nothing of it any more")
	return cmd
}

func (a *admin) stepDown(ctx context.Context, metadata bool) (*adminv1.StepDown, error) {
	r, err := a.client.StepDown(ctx, connect.NewRequest(&adminv1.StepDownRequest{Metadata: metadata}))
	if err != nil {
		return nil, a.explain(err)
	}
	return r.Msg.GetStepDown(), nil
}

func (a *admin) reverseStepDown(ctx context.Context) (*adminv1.StepDown, error) {
	r, err := a.client.ReverseStepDown(ctx, connect.NewRequest(&adminv1.ReverseStepDownRequest{}))
	if err != nil {
		return nil, a.explain(err)
	}
	return r.Msg.GetStepDown(), nil
}

func (a *admin) awaitStepDown(ctx context.Context, out io.Writer, d *adminv1.StepDown) error {
	for d.GetLeft() > 0 {
		select {
		case <-time.After(progressEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
		s, err := a.status(ctx)
		if err != nil {
			return fmt.Errorf("the store was stepping down: %w", err)
		}
		if d = s.GetStepDown(); d == nil {
			return errors.New("it was called off meanwhile, or the store has started anew")
		}
		fmt.Fprintln(out, stepDownLine(d))
	}
	return nil
}

func stepDownLine(d *adminv1.StepDown) string {
	what := "stepping down"
	if d.GetLeft() == 0 {
		what = "stepped down"
	}
	if d.GetMetadata() {
		what += ", the metadata group too"
	}
	return fmt.Sprintf("%s: %d groups left", what, d.GetLeft())
}
