// Package command is chatd's command line: it turns a configuration into a node.Config, and flags into keys and tokens for development.
package command

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/chatd/internal/config"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError marks what the user can put right on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs chatd with its arguments and returns the exit code: 0, 1 if it failed, 2 if it was called wrongly.
func Main(args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "chatd",
		Short:         "The chat server: stores, shards, or both in one process",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(serveCommand(), keygenCommand(), tokenCommand(), referenceCommand())
	root.AddCommand(statusCommand(), drainCommand(), stepDownCommand(), revokeCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	running := false
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", ran.CommandPath(), err)
	// What fails before a command runs is how it was called.
	if !running || isUsage(err) {
		fmt.Fprintf(stderr, "`%s --help` says more.\n", ran.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// newLogger makes the logger that the configuration asks for; its values are checked already.
func newLogger(w io.Writer, c config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
