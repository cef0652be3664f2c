package command

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
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
		Use:   "report DIR|report.json|capacity.json",
		Short: "Draw the page of a run or a search again, and say its verdict; or print a plan again",
		Long: `Report reads the report.json of a run, or the capacity.json of a search, draws its HTML page again and says the verdict in a line. It exits
with its own exit code. Of a plan it prints the text again.`,
		Example: "  simulator report out/demo\n  simulator report out/demo/report.json --html /tmp/demo.html",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if p, ok := readPlan(args[0]); ok {
				if html != "" {
					return usageError{errors.New("--html: a plan has no page")}
				}
				return printPlan(cmd.OutOrStdout(), p, directory(args[0]), time.Now())
			}
			if c, err := report.ReadCapacity(args[0]); err == nil {
				return redrawCapacity(cmd.OutOrStdout(), c, cmp.Or(html, filepath.Join(directory(args[0]), report.CapacityPage)))
			}
			r, err := report.Read(args[0])
			if err != nil {
				return usageError{err}
			}
			path := cmp.Or(html, filepath.Join(directory(args[0]), report.HTMLFile))
			if err := writePage(path, func(w io.Writer) error { return report.RenderHTML(w, r) }); err != nil {
				return err
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

// writePage writes a page to a file, whole or not at all.
func writePage(path string, draw func(w io.Writer) error) error {
	var page bytes.Buffer
	if err := draw(&page); err != nil {
		return err
	}
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// redrawCapacity draws the page of a search again, and ends as it ended.
func redrawCapacity(stdout io.Writer, c report.Capacity, path string) error {
	if err := writePage(path, func(w io.Writer) error { return report.RenderCapacityHTML(w, c) }); err != nil {
		return err
	}
	return sayCapacity(stdout, c, path)
}

// sayCapacity says what a search found, and ends as it ended.
func sayCapacity(stdout io.Writer, c report.Capacity, path string) error {
	fmt.Fprintln(stdout, c.Finding+" · report "+path)
	if c.ExitCode != 0 {
		return exitError(c.ExitCode)
	}
	return nil
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
