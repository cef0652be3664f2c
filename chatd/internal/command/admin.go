package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// progressEvery is how often --wait looks.
const progressEvery = time.Second

func statusCommand() *cobra.Command {
	var output string
	var to target
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Say how a running member is",
		Example: "  chatd status --admin 127.0.0.1:9090\n  chatd status --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output %q: want text or json", output)}
			}
			admin, err := to.dial()
			if err != nil {
				return err
			}
			s, err := admin.status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	to.flags(cmd.Flags())
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	return cmd
}

const drainExamples = `  # All sessions leave, 200 a second; wait until they have.
  chatd drain --sessions-per-second 200 --wait

  # Not after all.
  chatd drain --reverse

  # Sessions leave until 10,000 are left, to even out a fleet that has grown.
  chatd drain --keep 10000`

func drainCommand() *cobra.Command {
	var (
		to            target
		reason        string
		perSecond     uint32
		keep          uint32
		hint, timeout time.Duration
		back, wait    bool
	)
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Have a running member's sessions leave, or call that off",
		Long: "Drain has the sessions of a shard leave at a pace, each with a hint when to come back, and lets no new ones in. The member goes on\n" +
			"running, so that a drain can be called off; SIGTERM goes on with it and then stops the member. Repeated, it changes the pace.",
		Example: drainExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			shed := cmd.Flags().Changed("keep")
			if back && (shed || wait || cmd.Flags().Changed("sessions-per-second")) {
				return usageError{errors.New("--reverse goes alone: it calls off what is under way")}
			}
			pace, err := paceOf(perSecond, hint, timeout, reason)
			if err != nil {
				return usageError{err}
			}
			admin, err := to.dial()
			if err != nil {
				return err
			}
			var d *adminv1.Drain
			switch {
			case back:
				d, err = admin.reverse(cmd.Context())
			case shed:
				d, err = admin.shed(cmd.Context(), keep, pace)
			default:
				d, err = admin.drain(cmd.Context(), pace)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), drainLine(d))
			if !wait {
				return nil
			}
			return admin.await(cmd.Context(), cmd.OutOrStdout(), d)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	to.flags(f)
	f.Uint32Var(&perSecond, "sessions-per-second", 0, "the pace; 0: what the member was started with")
	f.DurationVar(&hint, "come-back-after", 500*time.Millisecond, "what clients are told to wait before they connect anew")
	f.DurationVar(&timeout, "timeout", 0, "when all that are left are told at once, or a shed ends; 0: never")
	f.StringVar(&reason, "reason", "", "what clients are told")
	f.Uint32Var(&keep, "keep", 0, "stop when so many sessions are left, and take new ones again")
	f.BoolVar(&back, "reverse", false, "call the drain off: the sessions that are left stay, and new ones are taken")
	f.BoolVar(&wait, "wait", false, "wait for the end, and print how far it is")
	return cmd
}

func paceOf(perSecond uint32, hint, timeout time.Duration, reason string) (*adminv1.Pace, error) {
	const most = 24 * time.Hour
	switch {
	case hint < time.Millisecond || hint > most:
		return nil, fmt.Errorf("--come-back-after %v: want 1ms to 10m", hint)
	case timeout < 0 || timeout > most:
		return nil, fmt.Errorf("--timeout %v: want at most %v", timeout, most)
	}
	return &adminv1.Pace{SessionsPerSecond: perSecond, ComeBackAfterMs: uint32(hint.Milliseconds()), TimeoutMs: uint32(timeout.Milliseconds()), Reason: reason}, nil
}

func (a *admin) status(ctx context.Context) (*adminv1.StatusResponse, error) {
	r, err := a.client.Status(ctx, connect.NewRequest(&adminv1.StatusRequest{}))
	if err != nil {
		return nil, a.explain(err)
	}
	return r.Msg, nil
}

func (a *admin) drain(ctx context.Context, p *adminv1.Pace) (*adminv1.Drain, error) {
	r, err := a.client.BeginDrain(ctx, connect.NewRequest(&adminv1.BeginDrainRequest{Pace: p}))
	if err != nil {
		return nil, a.explain(err)
	}
	return r.Msg.GetDrain(), nil
}

func (a *admin) shed(ctx context.Context, keep uint32, p *adminv1.Pace) (*adminv1.Drain, error) {
	r, err := a.client.Shed(ctx, connect.NewRequest(&adminv1.ShedRequest{KeepSessions: &keep, Pace: p}))
	if err != nil {
		return nil, a.explain(err)
	}
	return r.Msg.GetDrain(), nil
}

func (a *admin) reverse(ctx context.Context) (*adminv1.Drain, error) {
	r, err := a.client.ReverseDrain(ctx, connect.NewRequest(&adminv1.ReverseDrainRequest{}))
	if err != nil {
		return nil, a.explain(err)
	}
	return r.Msg.GetDrain(), nil
}

// refusedAtOnce reports whether an error is what a command sees of a member that does not take its certificate: the alert, or, where the
// connection is gone before that is read, an HTTP/2 connection that never came to be.
func refusedAtOnce(message string) bool {
	return strings.Contains(message, "tls: ") || strings.Contains(message, "client conn could not be established")
}

// explain says what to do about an error.
func (a *admin) explain(err error) error {
	var refused *connect.Error
	if errors.As(err, &refused) {
		switch refused.Code() {
		case connect.CodeInvalidArgument:
			return usageError{errors.New(refused.Message())}
		case connect.CodeFailedPrecondition:
			return errors.New(refused.Message())
		case connect.CodeUnimplemented:
			return fmt.Errorf("%s answers, but not as an admin port of chatd of this version: %s", a.addr, refused.Message())
		case connect.CodeUnavailable:
			if errors.Is(err, certs.ErrRefused) || refusedAtOnce(refused.Message()) {
				return fmt.Errorf("the admin port %s and this command do not trust each other: %s; --tls-directory names a certificate for the role %s of the member's fleet",
					a.addr, refused.Message(), certs.Operator)
			}
			return fmt.Errorf("the admin port %s does not answer; does the member run, and is that its --admin? (%s)", a.addr, refused.Message())
		}
	}
	return fmt.Errorf("asking the admin port %s: %w", a.addr, err)
}

// await prints how far a drain is until it has come to its end; an error if that is not the one that was wanted.
func (a *admin) await(ctx context.Context, out io.Writer, d *adminv1.Drain) error {
	began := d.GetBeganMs()
	for d.GetState() == adminv1.Drain_STATE_UNDER_WAY {
		select {
		case <-time.After(progressEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
		s, err := a.status(ctx)
		if err != nil {
			return fmt.Errorf("the drain was under way: %w", err)
		}
		d = s.GetDrain()
		fmt.Fprintln(out, drainLine(d))
	}
	switch {
	case d.GetBeganMs() != began:
		return errors.New("another drain has begun meanwhile")
	case d.GetState() != adminv1.Drain_STATE_DONE:
		return fmt.Errorf("it did not come to its end: %s", stateWord(d.GetState()))
	}
	return nil
}

func drainLine(d *adminv1.Drain) string {
	if d == nil {
		return "no drain was under way"
	}
	what := "drain"
	if d.GetGoal() == adminv1.Drain_GOAL_SHED {
		what = fmt.Sprintf("shed to %d", d.GetKeepSessions())
	}
	line := fmt.Sprintf("%s %s: %d told, %d sessions here, %d a second", what, stateWord(d.GetState()), d.GetTold(), d.GetSessions(), d.GetPace().GetSessionsPerSecond())
	if ms := d.GetDeadlineMs(); ms != 0 && d.GetState() == adminv1.Drain_STATE_UNDER_WAY {
		line += ", until " + time.UnixMilli(ms).Format(time.TimeOnly)
	}
	return line
}

func stateWord(s adminv1.Drain_State) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.String(), "STATE_")), "_", " ")
}

func printJSON(out io.Writer, m proto.Message) error {
	data, err := protojson.MarshalOptions{Multiline: true}.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", data)
	return err
}

func printStatus(out io.Writer, s *adminv1.StatusResponse) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	role := strings.ToLower(strings.TrimPrefix(s.GetRole().String(), "ROLE_"))
	row("member", "%s, %s of region %s", s.GetName(), role, s.GetRegion())
	row("version", "%s, up for %v", s.GetVersion(), time.Since(time.UnixMilli(s.GetStartedMs())).Round(time.Second))
	if s.GetReady() {
		row("ready", "yes")
	} else {
		row("ready", "no: %s", strings.Join(s.GetNotReady(), "; "))
	}
	if s.GetRole() != adminv1.StatusResponse_ROLE_SHARD {
		row("leads", "%d of %d partitions %v", len(s.GetLeads()), s.GetPartitions(), s.GetLeads())
		row("copies", "%d groups, %d of them led here, %d not current", s.GetGroups(), s.GetGroupsLed(), s.GetGroupsBehindTotal())
		for _, b := range s.GetGroupsBehind() {
			row("", "%s: %s", b.GetGroup(), b.GetWhy())
		}
		if d := s.GetStepDown(); d != nil {
			row("steps down", "%s", stepDownLine(d))
		}
		if used := s.GetVolumeUsedPermille(); used > 0 {
			row("volume", "%d %% in use; from %d %% on what makes logs grow is refused", used/10, s.GetVolumeFullAtPermille()/10)
		}
		if full := s.GetFullStore(); full != "" {
			row("full", "the volume of store %s: posts are refused in the whole region until it has room", full)
		}
	}
	if s.GetRole() != adminv1.StatusResponse_ROLE_STORE {
		row("sessions", "%d, with %d logs", s.GetSessions(), s.GetAttachedLogs())
		if s.GetDrain() != nil {
			row("sent away", "%s", drainLine(s.GetDrain()))
		}
	}
	return w.Flush()
}
