package command

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/cascade"
	"github.com/chatfleet/chatfleet/simulator/internal/forecast"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

const (
	defaultSeeds = 3 // of a scenario without a cascade, which names its own
	maxSeeds     = 1000
	// maxPerSession is how many sessions may be an event each: a play of more says nothing new, and takes minutes.
	maxPerSession = 1_000_000
)

// modelFlags are the flags of model, as they were given.
type modelFlags struct {
	calibration, out string
	seeds            int
	seedsGiven       bool
	perSession       bool
}

func modelCommand() *cobra.Command {
	var f modelFlags
	cmd := &cobra.Command{
		Use:   "model SCENARIO.yaml",
		Short: "Play a scenario in the calibrated model, judge what came of it, and say how far to trust it",
		Long: `Model plays a scenario in simulated time against the fleet of its target.model (or target.local), which need not exist, and judges and
reports what came of it as a run is. Every figure is labelled modelled or, beyond the range in which the model was calibrated,
extrapolated; with it come a 95 % prediction interval, a grade from A (within what was measured) to D (indicative), what was not modelled, and the
inputs that move the answer most.

What a real fleet costs is in the calibration. One ships with the simulator; --calibration names another. The same scenario, calibration and seeds give the
same report.json, to the byte.

Exit codes: 0 pass, 3 an objective is missed for all that the interval says, 4 the interval does not tell or the grade is D, 2 a bad scenario, calibration or
usage.`,
		Example: `  simulator model scenarios/broadcast-2.5m.yaml
  simulator model scenarios/broadcast-20k.yaml --seeds 10 --out out/predicted     # and then: simulator run scenarios/broadcast-20k.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.seedsGiven = cmd.Flags().Changed("seeds")
			return runModel(cmd.OutOrStdout(), args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.calibration, "calibration", "", "a calibration (default: the one that ships with the simulator)")
	flags.IntVar(&f.seeds, "seeds", 0, "how many plays, each with another seed, the intervals are over (default 3, or what a scenario's cascade names)")
	flags.BoolVar(&f.perSession, "per-session", false, "make every session an event of its own, to show that nothing hangs on chunks; up to 1,000,000 sessions")
	flags.StringVar(&f.out, "out", "", "directory for the report (default out/NAME-model)")
	return cmd
}

func runModel(stdout io.Writer, file string, f modelFlags) error {
	s, err := scenario.Load(file)
	if err != nil {
		return usageIfPlain(err)
	}
	c := calibration.Default()
	if f.calibration != "" {
		if c, err = calibration.Load(f.calibration); err != nil {
			return usageError{err}
		}
	}
	if f.seeds == 0 && !f.seedsGiven {
		f.seeds = defaultSeeds
		if s.Cascade != nil {
			f.seeds = s.Cascade.Seeds
		}
	}
	switch n := s.Population.Sessions(); {
	case f.seeds < 1 || f.seeds > maxSeeds:
		return usageError{fmt.Errorf("--seeds %d: from 1 to %d", f.seeds, maxSeeds)}
	case s.Cascade != nil && f.seeds < 2:
		return usageError{fmt.Errorf("--seeds %d: a cascade's intervals take 2 at least", f.seeds)}
	case f.perSession && (n > maxPerSession || s.Phases.Windows != nil):
		return usageError{fmt.Errorf("--per-session is for up to %d sessions and no windows; %s has %d", maxPerSession, file, n)}
	case s.Target.Model == nil && s.Target.Local == nil:
		return usageError{fmt.Errorf("%s: %w", file, forecast.ErrNoFleet)}
	}
	if f.out == "" {
		f.out = filepath.Join("out", s.Name+"-model")
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	run, err := forecast.Run(forecast.Config{Scenario: s, Calibration: c, Seeds: f.seeds, PerSession: f.perSession, Version: version()})
	if err != nil {
		return err
	}
	sayModel(stdout, run, time.Now())
	return finish(stdout, f.out, run)
}

// sayModel prints what a forecast stands on, in a few lines.
func sayModel(w io.Writer, run report.Run, now time.Time) {
	m := run.Model
	c := m.Calibration
	fmt.Fprintf(w, "calibration  %s: %s, commit %s, %s (%s)\n", c.Name, c.Machine.Description, c.Commit, c.Date.Format(time.DateOnly), age(now.Sub(c.Date.Time)))
	fmt.Fprintf(w, "grade        %s: %s\n", m.Grade, m.GradeSays)
	for i, a := range m.Answers {
		fmt.Fprintf(w, "%-12s %s: %s (95 %%: %s to %s)\n", map[bool]string{true: run.Label}[i == 0], a.Name, plain.Millis(a.ValueMs), plain.Millis(a.LowMs), plain.Millis(a.HighMs))
	}
	if run.Cascade != nil {
		sayCascade(w, run)
	}
	var inputs []string
	for _, in := range m.Inputs[:min(3, len(m.Inputs))] {
		inputs = append(inputs, fmt.Sprintf("%s %s: %+.1f %%", in.Name, in.Moved, 100*in.Change))
	}
	fmt.Fprintf(w, "depends on   %s\n", strings.Join(inputs, "; "))
	fmt.Fprintf(w, "fleet        %s shards and %s stores, %s cores; %s\n", plain.Count(int64(m.Use.Shards)), plain.Count(int64(m.Use.Stores)), plain.Count(int64(math.Round(m.Use.Cores))), m.Use.Binding)
	if m.Use.Cost != nil {
		fmt.Fprintf(w, "cost         %s (%s)\n", plain.Count(int64(math.Round(m.Use.Cost.Total))), m.Use.Cost.Source)
	}
	fmt.Fprintf(w, "not modelled %d things, listed in the report\n", len(m.Unmodelled))
}

// sayCascade prints what people do and what the fleet takes for it, each with where it is from.
func sayCascade(w io.Writer, run report.Run) {
	c := run.Cascade
	fmt.Fprintf(w, "assumed      of those whom the falsehood reaches, have seen the correction before (means over %d seeds, 95 %%; nobody measured it):\n", c.Study.Params.Seeds)
	for _, delay := range c.Study.Params.DelaysNs {
		hub, _ := c.Study.Cell(cascade.ByHub, delay)
		alone, _ := c.Study.Cell(cascade.ByForwards, delay)
		fmt.Fprintf(w, "             corrected after %s: by the hub %s, by forwards %s\n", cascade.Span(delay), hub.Forewarned.Shares(), alone.Forewarned.Shares())
	}
	for i, of := range c.Cases {
		line := fmt.Sprintf("after %s by %s: busiest second %s deliveries, delivery p99.9 %s", cascade.Span(of.DelayNs), of.Arm, of.BusiestSecond.Counts(), plain.Millis(report.Millis(of.DeliveryP999Ms.Mean)))
		if of.HubTo999Ms != nil {
			line += ", the hub's posts p99.9 " + plain.Millis(report.Millis(of.HubTo999Ms.Mean))
		}
		fmt.Fprintf(w, "%-12s %s\n", map[bool]string{true: run.Label}[i == 0], line)
	}
	fmt.Fprintf(w, "together     %s\n", report.Together(*c))
}

// age says how old something is, in whole days.
func age(d time.Duration) string {
	switch days := int(d.Hours() / 24); {
	case days < 1:
		return "of today"
	case days == 1:
		return "1 day old"
	default:
		return fmt.Sprintf("%d days old", days)
	}
}
