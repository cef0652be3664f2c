package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/capacity"
	"github.com/chatfleet/chatfleet/simulator/internal/live"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

const capacityLong = `Capacity searches for the largest load that a fleet bears: it plays a scenario again and again with one quantity set anew, and
has the scenario's own thresholds say of each run whether that was too much. It doubles the load until it is (or halves it until it is not),
bisects, has what is left held in longer runs, as often as --repeats says, and looks whether the load above ever holds.

The last line is the finding: the largest load that held in all repeats, from where on loads were missed at some time and from where
on none held, and what bound it. "≥" says that the fleet may bear more: the generator gave up on what is above, or --to was reached.

A local fleet is started anew for each run, so that nothing of one is left in the next; one that is there (--target) is left alone for --rest
between them. In the directory of --out are capacity.json and capacity.html, written after each run, and in steps/N the report
of run N. The first Ctrl-C cuts the search short, and what was found by then is written and said; the second ends it at once.

Exit codes: 0 a load held in all repeats, 3 no load held, 4 inconclusive: nothing has held in all repeats yet or no run tells, 5 the generator gave up
before anything held, 6 the fleet could not be reached or did not get ready, 130 interrupted, 2 a bad scenario or usage.`

// capacityFlags are the flags of capacity, as they were given.
type capacityFlags struct {
	runFlags
	vary, from, to, tolerance string
	repeats                   int
	hold, rest, budget        time.Duration
	restGiven                 bool
}

func capacityCommand() *cobra.Command {
	var f capacityFlags
	cmd := &cobra.Command{
		Use:   "capacity SCENARIO.yaml",
		Short: "Search for the largest load that a fleet bears, with real sockets, and say what bound it",
		Long:  capacityLong,
		Example: `  simulator capacity scenarios/capacity.yaml --local stores=3,shards=4
  simulator capacity scenarios/capacity.yaml --local stores=3,shards=4 --vary subscribers --from 2000 --budget 20m
  simulator capacity scenarios/steady.yaml --target http://10.0.0.7:8080,http://10.0.0.8:8080 --token-key keys/signing.key --rest 30s`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.restGiven = cmd.Flags().Changed("rest")
			return runCapacity(cmd, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.vary, "vary", string(capacity.Rate), "what is varied: rate (the chatter's posts a second) or subscribers")
	flags.StringVar(&f.from, "from", "", "the load to begin with: 64, 1200, 300k (default: the scenario's own)")
	flags.StringVar(&f.to, "to", "", "the largest load to try (default: 1,024 times the first, or what a scenario may have)")
	flags.StringVar(&f.tolerance, "tolerance", "5%", "how far a load is from the next one that is tried, at most")
	flags.IntVar(&f.repeats, "repeats", 3, "how often a load has to hold to count, and the one above to be missed")
	flags.DurationVar(&f.hold, "hold", 0, "how long the measure phase of a held run is (default: twice the scenario's)")
	flags.DurationVar(&f.rest, "rest", 10*time.Second, "how long a --target is left alone between runs")
	flags.DurationVar(&f.budget, "budget", 0, "begin no run that would be over later than this after the start, and say what is known by then (default: no limit)")
	f.add(flags, "out/NAME-capacity")
	return cmd
}

func runCapacity(cmd *cobra.Command, file string, f capacityFlags) error {
	s, err := loadLive(file)
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = filepath.Join("out", s.Name+"-capacity")
	}
	base, err := f.config(s)
	if err != nil {
		return usageError{err}
	}
	c, err := f.search(s)
	if err != nil {
		return usageError{err}
	}
	search, err := capacity.New(c)
	if err != nil {
		return usageError{err}
	}
	return f.carryOut(cmd, s, base, search)
}

// search turns the flags into what is searched.
func (f capacityFlags) search(s *v1alpha1.Scenario) (c capacity.Config, err error) {
	c = capacity.Config{Scenario: s, Vary: capacity.Dimension(f.vary), Repeats: f.repeats, Hold: f.hold, Budget: f.budget, Now: time.Now}
	if !slices.Contains(capacity.Dimensions(), c.Vary) {
		return c, fmt.Errorf("--vary %q: rate or subscribers", f.vary)
	}
	for _, load := range []struct {
		flag, text string
		into       *float64
	}{{"from", f.from, &c.From}, {"to", f.to, &c.To}} {
		if load.text == "" {
			continue
		}
		if *load.into, err = parseLoad(load.text); err != nil {
			return c, fmt.Errorf("--%s: %w", load.flag, err)
		}
	}
	if c.From > 0 && c.To > 0 && c.To < c.From {
		return c, fmt.Errorf("--to %s is less than --from %s", f.to, f.from)
	}
	if c.Tolerance, err = parseShare(f.tolerance); err != nil {
		return c, fmt.Errorf("--tolerance: %w", err)
	}
	switch {
	case f.hold < 0 || f.rest < 0 || f.budget < 0:
		return c, errors.New("--hold, --rest and --budget are times of at least 0s")
	case len(f.targets) > 0:
		c.Rest = f.rest
	case f.restGiven:
		return c, errors.New("--rest belongs to --target: a local fleet is started anew for each run")
	}
	return c, nil
}

// parseLoad reads "1200", "300k", "2.5M" or "0.5": a number above 0, of which the part after the point counts too.
func parseLoad(text string) (float64, error) {
	if v, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && v > 0 && v <= 1e9 {
		return v, nil
	}
	v, err := parseCount(text)
	if err == nil && !(v > 0 && v <= 1e9) {
		err = fmt.Errorf("%q is no load; write a number above 0, such as 64, 1200 or 300k", text)
	}
	return v, err
}

// carryOut searches, and says what was found.
func (f capacityFlags) carryOut(cmd *cobra.Command, s *v1alpha1.Scenario, base live.Config, search *capacity.Run) error {
	steps := filepath.Join(f.out, "steps")
	// Those of an earlier search would stand beside this one's.
	if err := errors.Join(os.RemoveAll(steps), os.MkdirAll(steps, 0o755)); err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	cleaner, err := startReaper(&base)
	if err != nil {
		return err
	}
	screen := newScreen(cmd, s.Name+", a search for its capacity", f.plain)
	base.Say, base.Watch = screen.say, screen.watch
	search.Say = screen.say
	search.Save = func(c report.Capacity) error { return report.WriteCapacity(f.out, c) }
	search.Play = func(ctx context.Context, number int, s *v1alpha1.Scenario) (report.Report, error) {
		dir := filepath.Join(steps, strconv.Itoa(number))
		c := base
		c.Scenario, c.Local.LogDir = s, filepath.Join(dir, "logs")
		outcome, err := live.Run(ctx, c)
		if err != nil {
			return report.Report{}, err
		}
		r := report.New(outcome)
		return r, report.Write(dir, r)
	}
	ctx, stop := interruptible(cmd.Context(), screen)
	defer stop()
	found, err := search.Do(ctx)
	// The panel goes before the last line comes.
	err = errors.Join(err, screen.close(), cleaner.Close())
	said := sayCapacity(cmd.OutOrStdout(), found, filepath.Join(f.out, report.CapacityPage))
	if err != nil {
		return err
	}
	return said
}
