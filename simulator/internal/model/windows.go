package model

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/des"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

const (
	// warmShare is the part of a window that is played before anything is counted.
	warmShare = 5
	// briefWindows is how many are played at most where only latencies matter.
	briefWindows = 48
	// widest is how much time is counted together at most.
	widest = time.Hour
	// windowBatch is how many windows are played before they are added up: each has histograms of its own.
	windowBatch = 32
	// windowSettle is how long what is under way at the end of a window may take.
	windowSettle = 10 * time.Second
)

// playWindows plays the windows of a long scenario, each by itself, as many at once as there are cores, and adds them up in their order: so the
// number of cores changes nothing.
func playWindows(in Input) Outcome {
	s := in.Scenario
	w := *s.Phases.Windows
	n := w.Count(s.Phases.Measure.Std())
	stride := 1
	if in.Brief {
		stride = (n + briefWindows - 1) / briefWindows
	}
	var at []int
	for k := 0; k < n; k += stride {
		at = append(at, k)
	}
	total := newTotal(in)
	for len(at) > 0 {
		some := at[:min(windowBatch, len(at))]
		at = at[len(some):]
		for i, o := range playSome(in, some, stride) {
			total.add(in, some[i], o)
		}
	}
	return total.finish(in)
}

// playSome plays some windows at the same time.
func playSome(in Input, at []int, stride int) []Outcome {
	outcomes := make([]Outcome, len(at))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(at)) {
		workers.Go(func() {
			for i := range next {
				outcomes[i] = playWindow(in, at[i], stride)
			}
		})
	}
	for i := range at {
		next <- i
	}
	close(next)
	workers.Wait()
	return outcomes
}

// playWindow plays one window, and has it stand for all the time until the next one that is played.
func playWindow(in Input, k, stride int) Outcome {
	s := *in.Scenario
	w := *s.Phases.Windows
	start := time.Duration(k) * w.Every.Std()
	warm := w.For / warmShare
	settle := v1alpha1.Duration(windowSettle)
	s.Phases = v1alpha1.Phases{Connect: s.Phases.Connect, Warmup: warm, Measure: w.For - warm, Settle: &settle}
	chatter := *s.Chatter
	factor := chatter.Shape.At(start)
	chatter.RatePerSecond = float64(chatter.RatePerSecond * factor)
	chatter.Shape, chatter.For = nil, 0
	s.Chatter = &chatter
	s.Seed = des.NewStream(in.Seed, fmt.Sprintf("window %d", k)).Uint64()
	in.Scenario, in.Seed = &s, s.Seed

	b := newBook(in, min(w.Every.Std(), widest))
	b.windowed = true
	b.shards = nil // They are alike, and each has seen a moment of a month.
	b.weight = max(int64(w.Every.Std())*int64(stride)*int64(max(in.Fleet.Cells, 1))/int64(w.For-warm), 1)
	b.shift = start
	e := newEngine(in, b)
	e.fill(onlineAt(&s, factor))
	posts := schedule.Posts(&s)
	b.lay(&s, posts)
	e.load(0, posts)
	e.run(e.endAt, nil)
	b.use.Over = s.Phases.Measure.Std()
	e.busiest()
	return e.outcome()
}

// onlineAt is how many sessions are connected when so many times as much as on average is posted: there are no more than all.
func onlineAt(s *v1alpha1.Scenario, factor float64) int64 {
	all := int64(s.Population.Subscribers) * int64(max(s.Population.DevicesPerUser, 1))
	return min(max(int64(float64(s.Population.Sessions())*factor), 1), all)
}

// total is what came of all windows so far.
type total struct {
	Outcome
	online, most int64
}

func newTotal(in Input) *total {
	t := &total{Outcome: Outcome{
		Measurements: nothingYet(),
		Lasted:       in.Scenario.Phases.Measure.Std(), Phases: []Phase{{"measure", 0, in.Scenario.Phases.Measure.Std()}},
	}}
	if !in.Brief {
		one := func() *measure.Series { return measure.NewSeries(widthOf(in)) }
		t.Series = Series{Wanted: one(), SignedIn: one(), Offered: one(), Acknowledged: one(), Delivered: one(), Heat: measure.NewHeatMap(widthOf(in))}
	}
	return t
}

// nothingYet is what plays can be added to.
func nothingYet() verdict.Measurements {
	return verdict.Measurements{
		Deliveries: verdict.Deliveries{Latency: measure.NewHistogram()},
		Posts:      verdict.Posts{SendLag: measure.NewHistogram(), Service: measure.NewHistogram()},
		Generator:  verdict.Generator{Modelled: true}, Clock: verdict.Clock{Source: "simulated time", Trusted: true},
	}
}

func widthOf(in Input) time.Duration { return min(in.Scenario.Phases.Windows.Every.Std(), widest) }

func (t *total) add(in Input, k int, o Outcome) {
	t.mergeWindow(o)
	t.Measurements.Fleet.RSSBytesPerSession = o.Measurements.Fleet.RSSBytesPerSession
	start := time.Duration(k) * in.Scenario.Phases.Windows.Every.Std()
	now := onlineAt(in.Scenario, in.Scenario.Chatter.Shape.At(start)) * int64(max(in.Fleet.Cells, 1))
	if t.most = max(t.most, now); in.Brief {
		return
	}
	t.Series.SignedIn.Add(start, now-t.online)
	t.Series.Wanted.Add(start, now-t.online)
	t.online = now
	t.Series.merge(o.Series)
}

func (t *total) finish(in Input) Outcome {
	m := &t.Measurements
	m.Posts.Response = m.Posts.Service
	m.Sessions.Wanted, m.Sessions.SignedIn, m.Sessions.Established = t.most, t.most, t.most
	w := *in.Scenario.Phases.Windows
	weight := int64(w.Every.Std()) * int64(max(in.Fleet.Cells, 1)) / int64(w.For-w.For/warmShare)
	if played := m.Deliveries.Latency.Count() / max(weight, 1); played > 0 {
		m.Fleet.CPUPerDelivery = (t.Use.Shards + t.Use.Stores) / time.Duration(played)
	}
	return t.Outcome
}

// merge adds what happened in a window, each at its own time. Widths are equal.
func (s *Series) merge(o Series) {
	for _, pair := range []struct{ into, from *measure.Series }{{s.Offered, o.Offered}, {s.Acknowledged, o.Acknowledged}, {s.Delivered, o.Delivered}} {
		_ = pair.into.Merge(pair.from) // fails for other widths alone
	}
	_ = s.Heat.Merge(o.Heat)
}
