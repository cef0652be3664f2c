package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

func compareCommand() *cobra.Command {
	var least, out string
	var judged []string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Hold one run against another: is B worse than A?",
		Long: `Compare reads the report.json of two runs and prints what differs, as a table in Markdown. What a run has many of, one a broadcast, is
compared pair by pair, with an interval from a bootstrap over the broadcasts; runs of other seeds are compared without pairs. Runs of
different scenarios, fleets, machines or labels are refused, with the fields that differ.

Judged is the fleet's processor time a delivery, or what --metric names. The exit code is
  0  nothing judged is worse by the least effect: all of its interval is below it
  2  the runs cannot be compared, or bad usage
  3  something judged is worse by the least effect or more: all of its interval is above it
  4  the intervals do not tell

The intervals know what differs between broadcasts, not between runs: take a least effect above what two runs of one build differ by,
and compare runs that followed each other on a machine with nothing else to do.`,
		Example: `  simulator compare out/before out/after
  simulator compare out/before out/after --least-effect 10% --metric deliveryCPU --metric timeTo999`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			effect, err := parseShare(least)
			if err != nil {
				return usageError{fmt.Errorf("--least-effect: %w", err)}
			}
			a, err := report.Read(args[0])
			if err != nil {
				return usageError{err}
			}
			b, err := report.Read(args[1])
			if err != nil {
				return usageError{err}
			}
			c, err := report.Compare(a, b, report.CompareOptions{LeastEffect: effect, Judged: judged})
			if err != nil {
				return usageError{err}
			}
			if err := report.RenderComparison(cmd.OutOrStdout(), c); err != nil {
				return err
			}
			if out != "" {
				if err := writeComparison(out, c); err != nil {
					return err
				}
			}
			if c.ExitCode != 0 {
				return exitError(c.ExitCode)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&least, "least-effect", "5%", "the least change that matters")
	cmd.Flags().StringArrayVar(&judged, "metric", nil, "what is judged, instead of "+strings.Join(report.DefaultCompared, ", ")+"; may be given more than once: "+strings.Join(report.CompareMetrics(), ", "))
	cmd.Flags().StringVar(&out, "out", "", "directory for compare.html, the same as a page that works offline")
	return cmd
}

// writeComparison writes the page of a comparison into a directory.
func writeComparison(dir string, c report.Comparison) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	f, err := os.Create(filepath.Join(dir, "compare.html"))
	if err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return report.RenderComparisonHTML(f, c)
}

// parseShare reads "5%", "5 %" or "0.05". It is above 0 and below 1.
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share > 0 && share < 1) {
		return 0, fmt.Errorf("%q is no share above 0 and below 1; write 5%% or 0.05", text)
	}
	return share, nil
}
