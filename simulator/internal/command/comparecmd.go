package command

import (
	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

func compareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compare A B",
		Short: "Hold one run against another",
		Long: `Compare reads the report.json of two runs and prints what differs, as a table in Markdown. Broadcasts are compared pair by pair,
with a 95 % interval, where both runs had the same schedule of them. It gives no verdict.`,
		Example: "  simulator compare out/before out/after",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := report.Read(args[0])
			if err != nil {
				return usageError{err}
			}
			b, err := report.Read(args[1])
			if err != nil {
				return usageError{err}
			}
			rows, err := report.Compare(a, b)
			if err != nil {
				return usageError{err}
			}
			return report.RenderComparison(cmd.OutOrStdout(), a, b, rows)
		},
	}
}
