// Package command is the simulator's command line: it turns flags into a run, and a run into lines for people, files and an exit
// code. The main package calls it. What a run does is package live's, what came of it package verdict's and report's.
package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// exitFailed is the exit code where the simulator itself could not go on. The others are the verdicts'.
const exitFailed = 1

const long = `The simulator plays a scenario against a chat fleet, with real sockets, and says whether the fleet did what the
scenario demands. For audiences that no test bed holds it plays the same scenario in a calibrated model, and says how far to trust that.
Progress and the verdict go to the standard output, errors to the standard error.

Exit codes of every command that runs something:
  0    pass
  1    the simulator itself could not go on
  2    bad scenario or usage
  3    an objective was missed
  4    inconclusive: a clock that stepped, too few samples, no data; or a model that cannot tell
  5    the generator was not healthy, so nobody can say
  6    the fleet could not be reached or did not get ready
  130  interrupted`

const examples = `  # A small broadcast on a fleet of real processes on this machine, under a minute.
  simulator run scenarios/smoke.yaml --local stores=3,shards=2 --out out/smoke

  # The same against a fleet that is there.
  simulator run scenarios/smoke.yaml --target http://10.0.0.7:8080,http://10.0.0.8:8080 --token-key keys/signing.key

  # The largest load that a fleet of this machine bears.
  simulator capacity scenarios/capacity.yaml --local stores=3,shards=4

  # One post to 2.5 million subscribers, in the model.
  simulator model scenarios/broadcast-2.5m.yaml

  # What fleet do they take?
  simulator plan --subscribers 2.5M --slo "p99.9<1s" --n-minus 1 --headroom 30%

  # Is this scenario right?
  simulator validate scenarios/*.yaml`

// usageError marks what the user can put right on the command line or in a scenario.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitError is an exit code without words: what there was to say has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs the simulator with its arguments and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "simulator", Short: "Play a scenario against a chat fleet and judge what came of it", Long: long, Example: examples,
		Version: version(), SilenceErrors: true, SilenceUsage: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(), capacityCommand(), modelCommand(), planCommand(), calibrateCommand(), validateCommand(), doctorCommand(), schemaCommand(), reportCommand(), compareCommand(), workerCommand(), reaperCommand())
	running := false
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteC()
	return exitCode(ran, err, running, stderr)
}

func exitCode(ran *cobra.Command, err error, running bool, stderr io.Writer) int {
	var exit exitError
	var usage usageError
	var problems scenario.Problems
	switch {
	case err == nil:
		return verdict.ExitPass
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &problems):
		// Each line names its file already.
		fmt.Fprintln(stderr, problems)
		return verdict.ExitUsage
	}
	fmt.Fprintf(stderr, "%s: %v\n", ran.CommandPath(), err)
	// What fails before a command runs is how it was called.
	if !running || errors.As(err, &usage) {
		fmt.Fprintf(stderr, "`%s --help` says more.\n", ran.CommandPath())
		return verdict.ExitUsage
	}
	return exitFailed
}

// version is what this program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, modified := info.Main.Version, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && (v == "" || v == "(devel)"):
			v = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	return v + modified
}

// reaperArgv is the command line of the process that cleans up after this one.
func reaperArgv() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return []string{self, reaperName}, nil
}
