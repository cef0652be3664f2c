package model

import (
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// Case is posts that are played by themselves, from the start of the warm-up, ascending. Posts of one broadcast have its number, and are judged together.
type Case struct {
	Name  string
	Posts []schedule.Post
}

// CaseOutcome is what came of one case.
type CaseOutcome struct {
	Name       string
	Deliveries int64
	// The most deliveries within one second, wherever that begins, by tenths of it.
	BusiestSecond int64
	Latency       *measure.Histogram
	// nil: it had none.
	Broadcast *verdict.Broadcast
}

// playCases plays all cases with the same random numbers, so that they differ by their posts alone, and adds them up in their order.
func playCases(in Input) Outcome {
	total := Outcome{Measurements: nothingYet()}
	m := &total.Measurements
	for k, c := range in.Cases {
		one := in
		one.Brief = in.Brief || k != in.Shown
		b := newBook(one, caseWidth(in.Scenario.Phases.Measure.Std()))
		b.rate = newRate(in.Scenario.Phases.Connect.ConnectsOver(in.Scenario.Population.Sessions()) + in.Scenario.Phases.Measure.Std())
		out := playPosts(one, b, c.Posts)
		total.mergeWindow(out)
		m.Broadcasts = append(m.Broadcasts, out.Measurements.Broadcasts...)
		m.Blocks = append(m.Blocks, out.Measurements.Blocks...)
		m.Fleet.RSSBytesPerSession = out.Measurements.Fleet.RSSBytesPerSession
		made := CaseOutcome{Name: c.Name, Deliveries: out.Measurements.Deliveries.Delivered, BusiestSecond: b.rate.busiest(), Latency: out.Measurements.Deliveries.Latency}
		if of := out.Measurements.Broadcasts; len(of) > 0 {
			made.Broadcast = &of[0]
		}
		total.Cases = append(total.Cases, made)
		if k == in.Shown {
			m.Sessions = out.Measurements.Sessions
			total.Series, total.Shards, total.Phases, total.Lasted = out.Series, out.Shards, out.Phases, out.Lasted
		}
	}
	m.Posts.Response = m.Posts.Service
	if d := m.Deliveries.Latency.Count() / int64(max(in.Fleet.Cells, 1)); d > 0 {
		m.Fleet.CPUPerDelivery = (total.Use.Shards + total.Use.Stores) / time.Duration(d)
	}
	return total
}

// caseWidth is the width of a bucket of time, so that a case has some thousands of them at most.
func caseWidth(lasts time.Duration) time.Duration {
	const most = 3000
	for _, width := range []time.Duration{measure.DefaultWidth, time.Second, 10 * time.Second, time.Minute, 10 * time.Minute} {
		if lasts/width <= most {
			return width
		}
	}
	return widest
}

// rate is deliveries by tenths of a second. It goes further than a measure.Series, which stops after some hours.
type rate []uint32

const (
	tenth   = 100 * time.Millisecond
	aSecond = int(time.Second / tenth)
)

// newRate has room for so much time and a minute; what comes later counts at the end.
func newRate(lasts time.Duration) rate { return make(rate, int((lasts+time.Minute)/tenth)+1) }

func (r rate) add(at time.Duration, n int64) {
	if len(r) > 0 {
		r[min(max(int(at/tenth), 0), len(r)-1)] += uint32(n)
	}
}

// busiest is the most in any ten tenths that follow each other.
func (r rate) busiest() (most int64) {
	var sum int64
	for i, n := range r {
		sum += int64(n)
		if i >= aSecond {
			sum -= int64(r[i-aSecond])
		}
		most = max(most, sum)
	}
	return most
}
