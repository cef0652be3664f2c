package command

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE...",
		Short: "Say whether scenarios are right, and what they come to",
		Long: `Validate reads scenarios and says all that is wrong with them, with line and column. Of one that is right it says what it
comes to: sessions, posts, deliveries, and how long it takes. "-" is the standard input.`,
		Example: "  simulator validate scenarios/*.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			wrong := false
			for _, file := range files {
				s, err := scenario.Load(file)
				var problems scenario.Problems
				switch {
				case errors.As(err, &problems):
					wrong = true
					fmt.Fprintln(cmd.ErrOrStderr(), problems)
					continue
				case err != nil:
					return usageError{err}
				}
				e := scenario.Expect(s)
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s: %d sessions, %d posts, %d deliveries, %s\n",
					file, s.Name, e.Sessions, e.Posts, e.Deliveries, e.Duration.Round(time.Second))
			}
			if wrong {
				return exitError(verdict.ExitUsage)
			}
			return nil
		},
	}
}

func schemaCommand() *cobra.Command {
	var metrics bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a scenario, or the metrics that thresholds can bound",
		Long: `Schema prints the JSON Schema (draft 2020-12) of a scenario, for editors that complete and check YAML by one. With --metrics
it lists what a threshold can bound.`,
		Example: "  simulator schema > scenario.schema.json\n  simulator schema --metrics",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !metrics {
				_, err := cmd.OutOrStdout().Write(scenario.Schema())
				return err
			}
			for _, m := range verdict.Metrics() {
				fmt.Fprintf(cmd.OutOrStdout(), "%-20s %-8s %-6s %s\n", m.Name, m.Unit, m.Aggregation, m.Help)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&metrics, "metrics", false, "list the metrics in place of the schema")
	return cmd
}
