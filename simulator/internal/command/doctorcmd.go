package command

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/doctor"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

func doctorCommand() *cobra.Command {
	var local string
	cmd := &cobra.Command{
		Use:   "doctor [SCENARIO.yaml]",
		Short: "Say what this machine can generate, and whether a scenario can be run here",
		Long: `Doctor looks at what the kernel allows (open files, ports, memory, socket buffers, the clock) and tries the sender and the
receiver for some seconds, on the loopback interface alone. With a scenario it says what that needs, and what to do where there is
too little. A fleet on this machine (--local, or what the scenario's target says) is counted in.

"doubtful" means that it may do, or that the figures will suffer. The exit code is 5 if something is missing without which the scenario
cannot be run here, or if the trial went wrong.`,
		Example: "  simulator doctor\n  simulator doctor scenarios/broadcast-100k.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			needs, err := needsOf(args, local)
			if err != nil {
				return err
			}
			facts, err := doctor.Read(os.DirFS("/"))
			if err != nil {
				return err
			}
			trial, err := doctor.Try(cmd.Context())
			if err != nil {
				return err
			}
			findings := doctor.Examine(facts, trial, needs)
			if err := doctor.Write(cmd.OutOrStdout(), findings); err != nil {
				return err
			}
			if !doctor.Possible(findings) {
				fmt.Fprintln(cmd.ErrOrStderr(), "It cannot be run here: see the lines with NO.")
				return exitError(verdict.ExitUnhealthy)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&local, "local", "", "with a fleet on this machine: "+fleet.SpecSyntax)
	return cmd
}

// needsOf is what the scenario needs, if there is one.
func needsOf(args []string, local string) (doctor.Needs, error) {
	if len(args) == 0 {
		if local != "" {
			return doctor.Needs{}, usageError{fmt.Errorf("--local belongs to a scenario; name one")}
		}
		return doctor.Needs{}, nil
	}
	s, err := loadLive(args[0])
	if err != nil {
		return doctor.Needs{}, err
	}
	if local != "" {
		spec, err := fleet.ParseSpec(local)
		if err != nil {
			return doctor.Needs{}, usageError{fmt.Errorf("--local: %w", err)}
		}
		s.Target.Local = &v1alpha1.LocalFleet{Stores: spec.Stores, Shards: spec.Shards}
	}
	return doctor.NeedsOf(s), nil
}
