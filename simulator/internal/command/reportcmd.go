package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/planning"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

func reportCommand() *cobra.Command {
	var html string
	cmd := &cobra.Command{
		Use:   "report DIR|report.json",
		Short: "Draw the page of a run again, and say its verdict; or print a plan again",
		Long: `Report reads the report.json of a run, draws its HTML page again and says the verdict in a line. It exits with the run's
own exit code. Of a plan it prints the text again.`,
		Example: "  simulator report out/demo\n  simulator report out/demo/report.json --html /tmp/demo.html",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if p, ok := readPlan(args[0]); ok {
				if html != "" {
					return usageError{errors.New("--html: a plan has no page")}
				}
				return printPlan(cmd.OutOrStdout(), p, directory(args[0]), time.Now())
			}
			r, err := report.Read(args[0])
			if err != nil {
				return usageError{err}
			}
			path := html
			if path == "" {
				path = filepath.Join(directory(args[0]), report.HTMLFile)
			}
			var page bytes.Buffer
			if err := report.RenderHTML(&page, r); err != nil {
				return err
			}
			if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
				return fmt.Errorf("write the page: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), headline(r, path))
			if r.ExitCode != 0 {
				return exitError(r.ExitCode)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "where the page goes (default report.html beside report.json)")
	return cmd
}

// readPlan reads the report.json of a plan; ok is false if it is none, or of something else.
func readPlan(path string) (p planning.Plan, ok bool) {
	if directory(path) == path {
		path = filepath.Join(path, report.JSONFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return p, false // report.Read says why.
	}
	return planning.Parse(data)
}

// directory is where a report.json lies that is named by itself or by its directory.
func directory(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return path
	}
	return filepath.Dir(path)
}
