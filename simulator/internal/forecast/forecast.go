package forecast

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// Config says what to forecast.
type Config struct {
	Scenario    *v1alpha1.Scenario
	Calibration calibration.Calibration
	// How many plays, at least 1, or 2 of a scenario with a cascade. The scenario's seed is the first, the others follow it.
	Seeds int
	// Every session is an event of its own.
	PerSession bool
	// Of the simulator, for the report.
	Version string
}

// ErrNoFleet says that a scenario names no fleet that could be played.
var ErrNoFleet = errors.New("the scenario names no fleet; give it target.model (or target.local)")

// Run plays a scenario and says how good the answers are. The same configuration gives the same run, to the bit, on any number of cores.
func Run(c Config) (report.Run, error) {
	fleet, ok := model.FleetOf(c.Scenario, c.Calibration)
	if !ok {
		return report.Run{}, ErrNoFleet
	}
	if c.Scenario.Cascade != nil {
		return surge(c, fleet)
	}
	first := model.Input{Scenario: c.Scenario, Fleet: fleet, Calibration: c.Calibration, Seed: c.Scenario.Seed, PerSession: c.PerSession}
	brief := first
	brief.Brief = true
	plays := []model.Input{first}
	// Of a long scenario only some windows are played in brief, so the answers are others, and are compared with their like.
	if c.Scenario.Phases.Windows != nil {
		plays = append(plays, brief)
	}
	basis := len(plays) - 1
	for k := 1; k < c.Seeds; k++ {
		other := brief
		other.Seed += uint64(k)
		plays = append(plays, other)
	}
	moves := movesOf(brief)
	seeds := len(plays)
	for _, m := range moves {
		plays = append(plays, m.input)
	}
	outcomes, err := playAll(plays)
	if err != nil {
		return report.Run{}, err
	}
	run := runOf(c, fleet, outcomes[0])
	base := answersOf(outcomes[basis])
	spread := [][]answer{base}
	for _, o := range outcomes[basis+1 : seeds] {
		spread = append(spread, answersOf(o))
	}
	for k := range moves {
		moves[k].answers = answersOf(outcomes[seeds+k])
	}
	assess(&run, c, fleet, assessment{shown: answersOf(outcomes[0]), base: base, seeds: spread, moves: moves})
	run.Model.Events = outcomes[0].Events
	return run, fan(run.Model, c, fleet)
}

// playAll plays everything, as much at once as there are cores, and returns the outcomes in the order of the plays.
func playAll(plays []model.Input) ([]model.Outcome, error) {
	outcomes := make([]model.Outcome, len(plays))
	err := each(len(plays), func(i int) (err error) {
		outcomes[i], err = model.Play(plays[i])
		return err
	})
	return outcomes, err
}

// each does something for every number below n, as much at once as there are cores.
func each(n int, do func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for i := range next {
				errs[i] = do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	return errors.Join(errs...)
}

// answer is one figure of a play, in milliseconds.
type answer struct {
	// The metric of which it is a figure, whose interval stands for all of the metric's; "" if it stands for none.
	metric string
	name   string
	ms     float64
}

// The names of those answers that somebody looks for.
const (
	TimeTo999      = "time to 99.9 %, slowest broadcast"
	TimeToLast     = "time to the last, slowest broadcast"
	DeliveryP99    = "delivery, p99"
	DeliveryMedian = "delivery, median"
)

// answersOf are the figures that people ask for, the first the most.
func answersOf(o model.Outcome) []answer {
	var out []answer
	m := o.Measurements
	add := func(metric, name string, nanos float64) { out = append(out, answer{metric, name, nanos / 1e6}) }
	if len(m.Broadcasts) > 0 {
		var most, last float64
		for _, b := range m.Broadcasts {
			most, last = max(most, nanos(b.TimeTo(99.9))), max(last, nanos(b.TimeTo(100)))
		}
		add("timeTo999", TimeTo999, most)
		add("timeToLast", TimeToLast, last)
	}
	if d := m.Deliveries; d.Latency.Count() > 0 {
		add("delivery", "delivery, p99.9", nanos(d.Latency.PercentileWithLost(99.9, d.LostOfLatency)))
		add("", DeliveryP99, nanos(d.Latency.PercentileWithLost(99, d.LostOfLatency)))
		add("", DeliveryMedian, nanos(d.Latency.PercentileWithLost(50, d.LostOfLatency)))
	}
	if p := m.Posts; p.Intended > 0 {
		add("ack", "acknowledgement, p99", nanos(p.Response.PercentileWithLost(99, p.Unacknowledged)))
	}
	var back float64
	for _, f := range m.Faults {
		if f.Sessions > 0 {
			back = max(back, nanos(f.LongestReturn))
		}
	}
	if back > 0 {
		add("faultReconnect", "until all were back, slowest fault", back)
	}
	return out
}

// nanos is a time as a number; never is infinite.
func nanos[T ~int64](d T) float64 {
	if int64(d) == math.MaxInt64 {
		return math.Inf(1)
	}
	return float64(d)
}

// move is one input moved, and what came of it.
type move struct {
	input   model.Input
	shown   report.Input
	answers []answer
	// It is not certain, and so a part of the interval.
	uncertain bool
}

// chosenBy is how far an input that somebody chose is moved.
const chosenBy = 0.1

// movesOf moves each coefficient by a standard error, and what the scenario chose by a tenth, always so that things get dearer.
func movesOf(in model.Input) []move {
	var out []move
	for _, k := range in.Calibration.Coefficients {
		if k.StandardError == 0 || !matters(k.Name, in) {
			continue
		}
		moved := in
		moved.Calibration = in.Calibration.Moved(k.Name, 1)
		if in.Scenario.Target.Model == nil || in.Scenario.Target.Model.PodReplacement == 0 {
			if f, ok := model.FleetOf(in.Scenario, moved.Calibration); ok {
				moved.Fleet = f
			}
		}
		out = append(out, move{input: moved, uncertain: true, shown: report.Input{
			Name: string(k.Name), Help: k.Name.Help(), Moved: fmt.Sprintf("+1 standard error (%g ± %g %s)", k.Value, k.StandardError, k.Unit), Basis: string(k.Basis),
		}})
	}
	chosen := func(name, help string, change func(in *model.Input)) {
		moved := in
		change(&moved)
		out = append(out, move{input: moved, shown: report.Input{Name: name, Help: help, Moved: fmt.Sprintf("by %g %%", 100*chosenBy), Basis: "chosen"}})
	}
	if in.Fleet.SharedCores > 0 {
		chosen("sharedCores", "cores that fleet and generator share, fewer", func(in *model.Input) { in.Fleet.SharedCores *= 1 - chosenBy })
	} else {
		chosen("coresPerShard", "cores of each shard, fewer", func(in *model.Input) { in.Fleet.CoresPerShard *= 1 - chosenBy })
		chosen("networkPerSecond", "network of each pod, less", func(in *model.Input) { in.Fleet.Network = int64(float64(in.Fleet.Network) * (1 - chosenBy)) })
	}
	if len(in.Scenario.Population.Places) > 0 {
		chosen("roundTrip", "round trips of all places, longer", func(in *model.Input) { in.Scenario = farther(in.Scenario) })
	}
	return out
}

// matters says whether anything in a play can depend on a coefficient, so that it is worth one.
func matters(name calibration.Name, in model.Input) bool {
	switch name {
	case calibration.SessionMemory, calibration.TLSMemory, calibration.SocketMemory:
		return false // sizes, by which no time goes
	case calibration.Receive, calibration.ReceiveByte, calibration.Dial, calibration.StoreIdle, calibration.ShardIdle,
		calibration.ReaderIdle, calibration.PosterIdle, calibration.Switch, calibration.PostAuthor,
		calibration.PingRead, calibration.Rouse, calibration.RouseRead, calibration.Wake:
		return in.Fleet.SharedCores > 0
	case calibration.TLS:
		return in.Fleet.TLS
	case calibration.TakeOver, calibration.Silence, calibration.Link, calibration.PodReplacement, calibration.ProcessStart:
		return len(in.Scenario.Faults) > 0
	}
	return true
}

// farther is a scenario whose places are farther away.
func farther(s *v1alpha1.Scenario) *v1alpha1.Scenario {
	out := *s
	out.Population.Places = append([]v1alpha1.Place(nil), s.Population.Places...)
	longer := func(d *v1alpha1.Duration) { *d = v1alpha1.Duration(float64(*d) * (1 + chosenBy)) }
	for i := range out.Population.Places {
		longer(&out.Population.Places[i].RoundTrip)
		longer(&out.Population.Places[i].RoundTripP99)
	}
	return &out
}
