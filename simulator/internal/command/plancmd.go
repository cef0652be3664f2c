package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/planning"
	"github.com/chatfleet/chatfleet/simulator/internal/prices"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

const planLong = `Plan finds the smallest fleet with which the model meets an objective, with some of everything to
spare and some shards lost. Each demand (time, processors, network, memory, open files, the return of
those whose shard was lost) is shown with what it alone would need; the binding one is marked with *.
Beside the model's time stands what a broadcast takes at the least, by hand.

--headroom is the share of everything that is left over: of the time, cores, network, memory and
sockets. --n-minus is how many shards may be lost at the same moment; all that is demanded holds for
those that are left.

What a real fleet takes is in the calibration; --calibration names another than the one that ships with
the simulator. What it costs in money is in the price list; the one that ships is an example. The same
flags and files give the same plan, to the byte.

In the directory of --out are report.json, plan.yaml (a ChatCluster for kubectl: a whole one with
--image and --region, else what is to change in one that there is) and, where the answer is only
indicative, test.yaml, a scenario to run first. simulator report prints the plan of such a directory
again.

Exit codes: 0 a fleet of grade A to C whose whole interval meets the objective, 3 no fleet meets it,
4 indicative or the interval does not tell, 2 bad usage.`

func planCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan --subscribers N --slo \"p99.9<1s\"",
		Short: "Find the fleet that an audience takes, with the model, and say how far to trust that",
		Long:  planLong,
		Example: `  simulator plan --subscribers 2.5M --slo "p99.9<1s" --n-minus 1 --headroom 30%
  simulator plan --subscribers 2.5M --slo "p99.9<1s" --n-minus 1 --headroom 30% --place Jakarta=50%,190ms,570ms --place Quito=50%,160ms,480ms
  simulator plan --subscribers 300k --slo "p99<500ms" --growth 20k --image registry.example.com/chatd:1.0.0 --region eu --name eu --namespace chat`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.question()
			if err != nil {
				return usageError{err}
			}
			return runPlan(cmd.OutOrStdout(), q, f.out, time.Now())
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// question reads all flags and the files that they name.
func (f planFlags) question() (planning.Question, error) {
	q, err := f.parse()
	if err != nil {
		return q, err
	}
	q.Calibration, q.Prices, q.Version = calibration.Default(), prices.Example(), version()
	if f.calibration != "" {
		if q.Calibration, err = calibration.Load(f.calibration); err != nil {
			return q, fmt.Errorf("--calibration: %w", err)
		}
	}
	if f.prices != "" {
		if q.Prices, err = prices.Load(f.prices); err != nil {
			return q, fmt.Errorf("--prices: %w", err)
		}
	}
	return q, nil
}

func runPlan(stdout io.Writer, q planning.Question, dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	p, err := planning.Make(q)
	if err != nil {
		return err
	}
	if err := writePlan(dir, p); err != nil {
		return err
	}
	return printPlan(stdout, p, dir, now)
}

// printPlan prints a plan whose files are in dir, and ends as it ended.
func printPlan(stdout io.Writer, p planning.Plan, dir string, now time.Time) error {
	date := p.Calibration.Date
	if err := planning.Render(stdout, p, dir, fmt.Sprintf("%s (%s)", date.Format(time.DateOnly), age(now.Sub(date.Time)))); err != nil {
		return err
	}
	if p.ExitCode != 0 {
		return exitError(p.ExitCode)
	}
	return nil
}

// writePlan writes a plan's files. What an earlier plan left and this one has not goes.
func writePlan(dir string, p planning.Plan) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	files := map[string]string{report.JSONFile: string(data) + "\n", planning.PatchFile: "", planning.TestFile: ""}
	if p.Found != nil {
		files[planning.PatchFile] = p.Patch()
		if p.Test != nil {
			files[planning.TestFile] = p.Test.Scenario
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if text == "" {
			err = os.Remove(path)
			if os.IsNotExist(err) {
				err = nil
			}
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			return fmt.Errorf("write the plan: %w", err)
		}
	}
	return nil
}
