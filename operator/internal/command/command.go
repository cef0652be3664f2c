// Package command is the operator's command line. The main package calls it. What a plan is, package plan decides; how it is played forward,
// package play.
package command

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const long = `The operator runs fleets of chatd on Kubernetes, as ChatClusters ask for.

Exit codes:
  0    done
  1    it could not be done
  2    bad usage, or a file that makes no sense`

// usageError marks what the user can put right on the command line or in a file.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs the operator with its arguments and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "operator", Short: "Run fleets of chatd on Kubernetes", Long: long, Version: version(), SilenceErrors: true, SilenceUsage: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(), planCommand())
	running := false
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteC()
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case !running:
		fmt.Fprintf(stderr, "%s: %v\n`%s --help` says more.\n", ran.CommandPath(), err, ran.CommandPath())
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "%s: %v\n", ran.CommandPath(), err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %v\n", ran.CommandPath(), err)
	return exitFailed
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
