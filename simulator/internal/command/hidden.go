package command

import (
	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/fleet/reaper"
	"github.com/chatfleet/chatfleet/simulator/internal/worker"
)

// reaperName is the hidden command of package reaper's process.
const reaperName = "reaper"

func reaperCommand() *cobra.Command {
	return &cobra.Command{
		Use: reaperName, Short: "Clean up after a simulator that ended; started by simulator run", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return reaper.Main(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "Hold a part of a run's sessions; started by simulator run", Hidden: true,
		// Package worker starts it and knows its arguments.
		DisableFlagParsing: true,
		RunE:               func(cmd *cobra.Command, args []string) error { return worker.Run(cmd.Context(), args) },
	}
}
