package command

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibrate"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet/reaper"
	"github.com/chatfleet/chatfleet/simulator/internal/live"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// calibrateFlags are the flags of calibrate, as they were given.
type calibrateFlags struct {
	out, chatd, localDir, commit, base string
	sessions                           []int
	repeats, heldOutRuns               int
	quick, fitOnly, list               bool
	seed                               uint64
	limit                              time.Duration
}

func calibrateCommand() *cobra.Command {
	var f calibrateFlags
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Measure a grid of runs on this machine, fit the model to them, and hold it against the largest, which the fit does not see",
		Long: `Calibrate runs a designed grid of scenarios against fleets of real processes on this machine, one after the other in a random order; fits the
model's coefficients to what they showed; and predicts the largest sizes, which are run as often and which the fit does not see. It prints the grid and how
long it takes before it begins. Each run is written down as it ends: the same command goes on where it was stopped, and --fit-only fits
again without running anything.

The machine should have nothing else to do. Before each run calibrate waits until that is so, and a run in which others used the cores all the same is
done again.

In --out there are then observations.jsonl (each run, a line), calibration.yaml (for simulator model --calibration), and report.json, report.html and
report.txt: predicted against measured, the held-out errors, each coefficient with its 95 % interval, and the Universal Scalability Law of the same runs.

Exit codes: 0 every held-out figure is within 15 %, 3 one is not, 4 none was held out, 130 stopped before the grid was whole, 2 bad usage.`,
		Example: `  simulator calibrate --list
  simulator calibrate --for 9m                     # as much as can be done in nine minutes; again, and it goes on
  simulator calibrate --quick --out out/quick      # does it work here?
  simulator calibrate --fit-only
  simulator model scenarios/broadcast-20k.yaml --calibration out/calibration/calibration.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCalibrate(cmd, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.out, "out", filepath.Join("out", "calibration"), "directory of the observations, the calibration and the report")
	flags.StringVar(&f.chatd, "chatd", "", "the chatd that fleets are made of (default: beside this program, else in PATH)")
	flags.StringVar(&f.commit, "commit", "", "the commit that chatd was built from (default: what it says of itself)")
	flags.StringVar(&f.localDir, "local-dir", "", "where the fleets' temporary directories are made (default: the system's)")
	flags.IntSliceVar(&f.sessions, "sizes", nil, "only the points of the grid with so many sessions")
	flags.IntVar(&f.repeats, "repeats", 0, "broadcasts of each size of payload in a run (default 5)")
	flags.IntVar(&f.heldOutRuns, "held-out-runs", 0, "runs of each size that is held out (default 5; -1: none)")
	flags.BoolVar(&f.quick, "quick", false, "a tiny grid, about 3 minutes, for trying it out; a calibration of it says little")
	flags.Uint64Var(&f.seed, "seed", 1, "of the order of the points, their scenarios and the bootstrap")
	flags.DurationVar(&f.limit, "for", 0, "begin no run that would end later than this from now; the same command goes on where it stopped")
	flags.StringVar(&f.base, "base", "", "the calibration that the fit is drawn towards, and that what is not fitted is taken from; the fit begins with it, and with the one that ships with the simulator (default: that one alone)")
	flags.BoolVar(&f.list, "list", false, "print the grid and how long it takes, and run nothing")
	flags.BoolVar(&f.fitOnly, "fit-only", false, "run nothing: fit to the observations that are in --out")
	return cmd
}

func runCalibrate(cmd *cobra.Command, f calibrateFlags) error {
	w := cmd.OutOrStdout()
	if f.repeats < 0 || f.limit < 0 {
		return usageError{errors.New("--repeats and --for cannot be below 0")}
	}
	points := calibrate.Grid(calibrate.Options{Sessions: f.sessions, Repeats: f.repeats, HeldOutRuns: f.heldOutRuns, Quick: f.quick, Seed: f.seed})
	if len(points) == 0 {
		return usageError{fmt.Errorf("--sizes %v: the grid has no such points; --list prints it", f.sessions)}
	}
	done, err := calibrate.ReadObservations(f.out)
	if err != nil {
		return usageError{err}
	}
	if !f.fitOnly {
		sayGrid(w, points, done, f.list)
	}
	if f.list {
		return nil
	}
	if !f.fitOnly {
		whole, err := collect(cmd, f, points, &done)
		if err != nil {
			return err
		}
		if !whole {
			return exitError(verdict.ExitInterrupted)
		}
	}
	return conclude(w, f, points, done)
}

// conclude fits and says how good the fit is.
func conclude(w io.Writer, f calibrateFlags, points []calibrate.Point, done []calibrate.Observation) error {
	base := calibration.Default()
	var others []calibration.Calibration
	if f.base != "" {
		others = append(others, base)
		var err error
		if base, err = calibration.Load(f.base); err != nil {
			return usageError{err}
		}
	}
	r, err := calibrate.Conclude(base, others, points, done, f.seed)
	if err != nil {
		return usageError{err}
	}
	if err := calibrate.Write(f.out, r); err != nil {
		return err
	}
	if err := calibrate.RenderText(w, r); err != nil {
		return err
	}
	fmt.Fprintf(w, "calibration %s · report %s\n", filepath.Join(f.out, calibrate.CalibrationFile), filepath.Join(f.out, calibrate.HTMLFile))
	switch {
	case !r.Tested:
		return exitError(verdict.ExitInconclusive)
	case !r.Within:
		return exitError(verdict.ExitFail)
	}
	return nil
}

// sayGrid prints what is going to be run, before it is.
func sayGrid(w io.Writer, points []calibrate.Point, done []calibrate.Observation, all bool) {
	has := map[string]bool{}
	for _, o := range calibrate.UsableOf(points, done) {
		has[o.Point.Name] = true
	}
	n, lasts := calibrate.Rest(points, has)
	if all {
		for _, p := range points {
			state := ""
			if has[p.Name] {
				state = "  done"
			}
			fmt.Fprintf(w, "%-22s %7s sessions, %d shards, about %s%s\n", p.Name, plain.Count(int64(p.Sessions)), p.Shards, p.Lasts(), state)
		}
	}
	fmt.Fprintf(w, "grid         %d runs, %d of them done; the rest takes about %s on a machine that does nothing else\n", len(points), len(points)-n, lasts.Round(time.Minute))
}

// collect runs what is left of the grid.
func collect(cmd *cobra.Command, f calibrateFlags, points []calibrate.Point, done *[]calibrate.Observation) (whole bool, err error) {
	chatd, err := findChatd(f.chatd)
	if err != nil {
		return false, usageError{err}
	}
	if f.commit == "" {
		if f.commit, err = commitOf(chatd); err != nil {
			return false, usageError{err}
		}
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return false, usageError{fmt.Errorf("--out: %w", err)}
	}
	argv, err := reaperArgv()
	if err != nil {
		return false, err
	}
	cleaner, err := reaper.Start(argv, os.Stderr)
	if err != nil {
		return false, err
	}
	screen := newScreen(cmd, "calibrate", true)
	ctx, stop := interruptible(cmd.Context(), screen)
	defer stop()
	c := calibrate.Collection{
		Dir: f.out, Done: *done, Points: points, Seed: f.seed, Commit: f.commit, For: f.limit, Say: screen.say, Now: time.Now,
		Quiet: func(ctx context.Context) { waitForQuiet(ctx, screen.say) },
		Play: func(ctx context.Context, s *v1alpha1.Scenario) (report.Report, error) {
			l := s.Target.Local
			run, err := live.Run(ctx, live.Config{
				Scenario: s, Version: version(), Guard: cleaner, Say: func(string, ...any) {},
				Local: fleet.Config{
					Spec:  fleet.Spec{Stores: l.Stores, Shards: l.Shards, Partitions: l.Partitions, Replicas: l.Replicas, Durability: fleet.Durability(l.Durability)},
					Chatd: chatd, ParentDir: f.localDir, Reaper: cleaner,
				},
			})
			return report.New(run), err
		},
	}
	*done, whole, err = c.Run(ctx)
	return whole, errors.Join(err, cleaner.Close())
}

const (
	// quietShare is what of the cores may be used before a run.
	quietShare = 0.05
	quietFor   = 2 * time.Second
	waitAtMost = 3 * time.Minute
)

// waitForQuiet waits until nobody uses the machine, and goes on after a while in any case: a run that was disturbed is known by its figures.
func waitForQuiet(ctx context.Context, say func(format string, args ...any)) {
	said := false
	for until := time.Now().Add(waitAtMost); time.Now().Before(until) && ctx.Err() == nil; {
		share := live.BusyShare(ctx, quietFor)
		if share <= quietShare {
			return
		}
		if !said {
			say("waiting: others use %.0f %% of the cores", 100*share)
		}
		said = true
	}
}

// commitOf is the commit that a program was built from, by what the compiler wrote into it.
func commitOf(program string) (string, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("read what %s was built from: %w", program, err)
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if revision == "" {
		return "", fmt.Errorf("%s does not say what it was built from; name its commit with --commit", program)
	}
	return revision + modified, nil
}
