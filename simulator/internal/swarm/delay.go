package swarm

import (
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// Far sessions are those whose way to the shards goes through proxies, which can make it longer for a while. What they get is
// measured apart, as is what the others get at the same time.

// farSalt picks other sessions than those that read slowly.
const farSalt = 0x6661720000000000

// Window is when far sessions are delayed. What is intended in [FromNs, ToNs) is delayed for certain, and measured apart; of what else is
// intended in [BeforeNs, AfterNs) nobody can tell, and it is measured in neither part.
type Window struct {
	BeforeNs int64 `json:"beforeNs"`
	FromNs   int64 `json:"fromNs"`
	ToNs     int64 `json:"toNs"`
	AfterNs  int64 `json:"afterNs"`
}

// DelayResult is the latencies of the posts, in groups that are Measured, that were intended while far sessions were delayed: to
// them, and to all others but slow readers.
type DelayResult struct {
	Far    *measure.Histogram `json:"far"`
	Others *measure.Histogram `json:"others"`
}

// Delay tells when the far sessions are delayed, by Clock: before it is so, and after the time of the call before. A loop knows it some
// milliseconds later.
func (s *Swarm) Delay(when Window) {
	for _, l := range s.loops {
		var windows []Window
		if before := l.control.windows.Load(); before != nil {
			windows = append(windows, *before...)
		}
		windows = append(windows, when)
		l.control.windows.Store(&windows)
	}
}

// apart puts a latency to those of the time at which its post was intended.
func (m *meter) apart(intendedNs int64, took time.Duration) {
	at := 0
	if m.windows != nil {
		// From the newest on, since what is delivered now was hardly intended long ago.
		for i := len(*m.windows) - 1; i >= 0; i-- {
			w := &(*m.windows)[i]
			if intendedNs >= w.FromNs && intendedNs < w.ToNs {
				at = i + 1
				break
			}
			if intendedNs >= w.BeforeNs && intendedNs < w.AfterNs {
				return
			}
		}
	}
	for len(m.delays) <= at {
		m.delays = append(m.delays, newDelayResult())
	}
	if m.far {
		m.delays[at].Far.Record(took)
	} else {
		m.delays[at].Others.Record(took)
	}
}

// delayResults has an entry for each time, also where nothing was delivered.
func (m *meter) delayResults() []DelayResult {
	if m.delays != nil && m.windows != nil {
		for len(m.delays) <= len(*m.windows) {
			m.delays = append(m.delays, newDelayResult())
		}
	}
	return m.delays
}

func newDelayResult() DelayResult {
	return DelayResult{Far: measure.NewHistogram(), Others: measure.NewHistogram()}
}

func (r *Result) mergeDelays(o []DelayResult) {
	for i, d := range o {
		if i == len(r.Delays) {
			r.Delays = append(r.Delays, newDelayResult())
		}
		r.Delays[i].Far.Merge(d.Far)
		r.Delays[i].Others.Merge(d.Others)
	}
}
