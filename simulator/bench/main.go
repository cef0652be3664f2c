// Command bench measures what a broadcast costs on this machine, over real sockets: with chatd as it is shipped, with what others have built, and with
// the least that a server could do, one after the other in turns of one run. `make bench` runs it; docs/performance.md says what came out.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/fleet/reaper"
)

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func main() {
	// What this program is in other processes.
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			exitOn(serve(os.Args[2]))
		case "swarm":
			exitOn(swarmMain())
		case "reaper":
			exitOn(reaper.Main(os.Stdin, os.Stdout, os.Stderr))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		stop()
		fatal(err)
	}
}

func exitOn(err error) {
	if err != nil {
		fatal(err)
	}
	os.Exit(0)
}

func run(ctx context.Context, args []string) error {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o options
	var p protocol
	only := flags.String("targets", strings.Join(names, ","), "which targets")
	flags.StringVar(&o.chatd, "chatd", "bin/chatd", "the chatd program")
	flags.StringVar(&o.alone, "alone", "bin/alone", "chatd's engine as a program, chatd/internal/engine/alone")
	flags.StringVar(&o.engine, "engine", "", "the engine of chatd's shard; default is chatd's own")
	flags.IntVar(&o.logs, "logs", 0, "further channels, quiet ones, that each of chatd's subscribers has attached")
	flags.StringVar(&o.bun, "bun", "simulator/bench/bun", "where npm has installed Bun")
	flags.IntVar(&o.sessions, "sessions", 15000, "subscribers of each target")
	flags.IntVar(&p.few, "few", 1000, "subscribers when memory is looked at first")
	flags.IntVar(&p.size, "size", 200, "bytes of a post")
	flags.IntVar(&p.passes, "passes", 3, "how often each target is started and measured")
	flags.IntVar(&p.rounds, "rounds", 6, "single posts, and bursts, of a pass")
	flags.IntVar(&p.burst, "burst", 32, "posts of a burst, 64 at most")
	flags.DurationVar(&p.settle, "settle", 5*time.Second, "how long a target is left alone before its memory is looked at")
	scenario := flags.String("scenario", "", "instead of the table: play this scenario of the simulator between two measurements of the one target that is given, and say how its broadcasts compare")
	simulator := flags.String("simulator", "bin/simulator", "the simulator, for -scenario")
	out := flags.String("out", "out/bench", "where the table, the JSON and the picture go")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p.options = o
	var chosen []kind
	for name := range strings.SplitSeq(*only, ",") {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
		if i < 0 {
			return fmt.Errorf("-targets: there is no %q; there are %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, kinds[i])
	}
	if p.burst < 1 || p.burst > 64 || p.sessions < p.few || p.few < 1 || p.passes < 1 || p.rounds < 1 {
		return fmt.Errorf("want 1 to 64 posts of a burst, at least -few sessions, one pass and one round")
	}
	if *scenario != "" {
		if len(chosen) != 1 {
			return fmt.Errorf("-scenario: give one target to compare with, such as -targets bare-2")
		}
		return p.besideFloor(ctx, chosen[0], *simulator, *scenario, *out)
	}
	results, err := p.run(ctx, chosen)
	if err != nil {
		return err
	}
	return results.write(*out)
}
