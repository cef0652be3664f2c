package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet/reaper"
	"github.com/chatfleet/chatfleet/simulator/internal/live"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// runFlags are the flags of run, as they were given.
type runFlags struct {
	local, localDir, chatd, out, tokenKey string
	keep, plain                           bool
	targets                               []string
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run SCENARIO.yaml",
		Short: "Play a scenario with real sockets, judge what came of it, and write a report",
		Long: `Run plays a scenario with real sockets against a fleet: one of real processes that it starts on this machine (--local, or
what the scenario's target says) or one that is there (--target). It shows where it is, in a terminal as a panel and else in
a line every two seconds, and the verdict in the last line, and writes report.json, report.html, junit.xml and latency.hlog.

A local fleet and everything that it wrote is gone when run ends, in whatever way that is. The first Ctrl-C cuts the run
short and still writes a report; the second ends it at once.`,
		Example: examples,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return run(cmd, args[0], f) },
	}
	cmd.Flags().SortFlags = false
	f.add(cmd.Flags(), "out/NAME")
	return cmd
}

// add declares them. out says where the report goes by default.
func (f *runFlags) add(flags *pflag.FlagSet, out string) {
	flags.StringVar(&f.local, "local", "", "start a fleet on this machine: "+fleet.SpecSyntax)
	flags.StringVar(&f.chatd, "chatd", "", "the chatd that a local fleet is made of (default: beside this program, else in PATH)")
	flags.StringVar(&f.localDir, "local-dir", "", "where a local fleet's temporary directory is made (default: the system's)")
	flags.BoolVar(&f.keep, "keep", false, "leave a local fleet's directory where it is")
	flags.StringSliceVar(&f.targets, "target", nil, "run against the shards with these URLs")
	flags.StringVar(&f.tokenKey, "token-key", "", "the private key (PKCS#8, PEM) whose tokens the --target takes")
	flags.StringVar(&f.out, "out", "", "directory for the report (default "+out+")")
	flags.BoolVar(&f.plain, "plain", false, "print lines also where the standard output is a terminal")
}

func run(cmd *cobra.Command, file string, f runFlags) error {
	s, err := loadLive(file)
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = filepath.Join("out", s.Name)
	}
	config, err := f.config(s)
	if err != nil {
		return usageError{err}
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	cleaner, err := startReaper(&config)
	if err != nil {
		return err
	}
	screen := newScreen(cmd, s.Name, f.plain)
	config.Say, config.Watch = screen.say, screen.watch
	ctx, stop := interruptible(cmd.Context(), screen)
	defer stop()
	outcome, err := live.Run(ctx, config)
	if err := errors.Join(err, screen.close(), cleaner.Close()); err != nil {
		return err
	}
	return finish(cmd.OutOrStdout(), f.out, outcome)
}

// startReaper starts what cleans up after this process, and has a run use it.
func startReaper(c *live.Config) (*reaper.Client, error) {
	argv, err := reaperArgv()
	if err != nil {
		return nil, err
	}
	cleaner, err := reaper.Start(argv, os.Stderr)
	if err != nil {
		return nil, err
	}
	c.Local.Reaper, c.Guard, c.Version = cleaner, cleaner, version()
	return cleaner, nil
}

// loadLive loads a scenario that can be played with real sockets.
func loadLive(file string) (*v1alpha1.Scenario, error) {
	s, err := scenario.Load(file)
	if err != nil {
		return nil, usageIfPlain(err)
	}
	if s.Engine == v1alpha1.ModelEngine {
		return nil, usageError{fmt.Errorf("%s is for the model alone (engine: model); `simulator model %s` plays it", file, file)}
	}
	return s, nil
}

// finish judges the run, writes its report, and says the verdict.
func finish(stdout io.Writer, out string, outcome report.Run) error {
	r := report.New(outcome)
	if err := report.Write(out, r); err != nil {
		return err
	}
	path := filepath.Join(out, report.JSONFile)
	if page := filepath.Join(out, report.HTMLFile); exists(page) {
		path = page
	}
	fmt.Fprintln(stdout, headline(r, path))
	if r.ExitCode != verdict.ExitPass {
		return exitError(r.ExitCode)
	}
	return nil
}

// config turns the flags into what to run against.
func (f runFlags) config(s *v1alpha1.Scenario) (live.Config, error) {
	c := live.Config{Scenario: s}
	switch {
	case f.local != "" && len(f.targets) > 0:
		return c, errors.New("--local and --target contradict each other; keep one")
	case len(f.targets) > 0:
		return c, f.given(s, &c)
	}
	spec, err := f.spec(s)
	if err != nil {
		return c, err
	}
	if f.tokenKey != "" {
		return c, errors.New("--token-key belongs to --target: a local fleet has keys of its own")
	}
	chatd, err := findChatd(f.chatd)
	if err != nil {
		return c, err
	}
	// The report shows the fleet that it was.
	s.Target.Local = &v1alpha1.LocalFleet{
		Stores: spec.Stores, Shards: spec.Shards, Partitions: spec.Partitions, Replicas: spec.Replicas, Durability: string(spec.Durability),
	}
	c.Local = fleet.Config{Spec: spec, Chatd: chatd, ParentDir: f.localDir, Keep: f.keep, LogDir: filepath.Join(f.out, "logs")}
	return c, namedProcesses(s, spec)
}

// spec is the local fleet that the flags want, or else the scenario.
func (f runFlags) spec(s *v1alpha1.Scenario) (fleet.Spec, error) {
	if f.local != "" {
		spec, err := fleet.ParseSpec(f.local)
		if err != nil {
			return spec, fmt.Errorf("--local: %w", err)
		}
		return spec, nil
	}
	l := s.Target.Local
	if l == nil {
		return fleet.Spec{}, fmt.Errorf("against what? Give --local %s, or --target http://HOST:PORT and --token-key FILE", "stores=3,shards=4")
	}
	return fleet.Spec{
		Stores: l.Stores, Shards: l.Shards, Partitions: l.Partitions, Replicas: l.Replicas, Durability: fleet.Durability(l.Durability),
	}, nil
}

// given fills in a fleet that is there.
func (f runFlags) given(s *v1alpha1.Scenario, c *live.Config) error {
	for _, target := range f.targets {
		u, err := url.Parse(target)
		if err != nil || u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return fmt.Errorf("--target %q is not of the form http://HOST:PORT", target)
		}
		if u.Port() == "" {
			return fmt.Errorf("--target %q has no port; the usual one is 8080", target)
		}
	}
	switch {
	case f.tokenKey == "":
		return errors.New("--target needs --token-key: the private key whose tokens the fleet takes, as `chatd keygen` makes it")
	case f.chatd != "" || f.localDir != "" || f.keep:
		return errors.New("--chatd, --local-dir and --keep belong to --local, not to --target")
	case slices.ContainsFunc(s.Faults, func(f v1alpha1.Fault) bool { return !f.Action.OnSessions() }):
		return errors.New("the scenario breaks processes, which can be done to a local fleet alone; give --local in place of --target")
	}
	c.Endpoints, c.TokenKeyFile = f.targets, f.tokenKey
	return nil
}

// namedProcesses checks faults that name a process against the fleet that there will be.
func namedProcesses(s *v1alpha1.Scenario, spec fleet.Spec) error {
	for i, fault := range s.Faults {
		for role, n := range map[string]int{"store-": spec.Stores, "shard-": spec.Shards} {
			var number int
			if _, err := fmt.Sscanf(string(fault.Target), role+"%d", &number); err == nil && number >= n {
				return fmt.Errorf("faults[%d].target: there is no %s in a local fleet of %d stores and %d shards", i, fault.Target, spec.Stores, spec.Shards)
			}
		}
	}
	return nil
}

// findChatd finds the chatd to run: the one that is named, or the one beside this program, or the one in PATH.
func findChatd(named string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("--chatd: %w", err)
		}
		return filepath.Abs(path)
	}
	beside := "this program"
	if self, err := os.Executable(); err == nil {
		beside = filepath.Dir(self)
		if path, err := exec.LookPath(filepath.Join(beside, "chatd")); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("chatd")
	if err != nil {
		return "", fmt.Errorf("there is no chatd in %s nor in PATH; build it with `make build`, or name it with --chatd", beside)
	}
	return filepath.Abs(path)
}

// interruptible returns a context that the first SIGINT or SIGTERM ends; the second ends the process. What it leaves the reaper
// cleans up.
func interruptible(parent context.Context, s screen) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var wait sync.WaitGroup
	over := make(chan struct{})
	wait.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			case signal := <-signals:
				if n > 0 {
					s.leave()
					os.Exit(verdict.ExitInterrupted)
				}
				s.warn("%s: cutting the run short; once more ends it at once", signal)
				cancel()
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		wait.Wait()
		cancel()
	}
}

// usageIfPlain marks an error that is no list of problems: the file is not there, say.
func usageIfPlain(err error) error {
	var problems scenario.Problems
	if errors.As(err, &problems) {
		return err
	}
	return usageError{err}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
