package verdict

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// Metric is something that a threshold can bound.
type Metric struct {
	Name string
	// One line for people.
	Help string
	Unit v1alpha1.Unit
	// Aggregation where a threshold names none; "" for what is one number and has no aggregation.
	Aggregation string
	// A miss is a fact about the fleet, whatever the state of the generator.
	Correctness bool
	// Thresholds may name a fault.
	PerFault bool
	// Thresholds may have a confidence.
	Confidence bool

	ends ends
	read func(m *Measurements, fault string) reading
}

// ends says by which clocks a time was measured.
type ends int

const (
	// Not a time that the generator took.
	noEnds ends = iota
	// Both ends in one process.
	oneEnd
	// From the poster to a worker.
	twoEnds
)

// reading is what a run has on a metric: one number, the latencies of a histogram, or a list of times.
type reading struct {
	number  float64
	samples int64
	latency *measure.Histogram
	lost    int64
	list    []time.Duration
	// What a change was estimated from, for those that are judged with their interval, and by what rule.
	effect *Effect
	judge  func(e Effect, bound float64) (Verdict, string)
	// What to say beside the figure.
	note string
}

func number(value float64, samples int64) reading { return reading{number: value, samples: samples} }

func latency(h *measure.Histogram, lost int64) reading {
	return reading{latency: h, lost: max(lost, 0), samples: h.Count() + max(lost, 0)}
}

func list(times []time.Duration) reading {
	return reading{list: times, samples: int64(len(times))}
}

// Metrics returns all metrics, in the order in which people should meet them.
func Metrics() []Metric {
	return slices.Concat(correctnessMetrics(), deliveryMetrics(), postMetrics(), runMetrics())
}

// FindMetric returns the metric of a name.
func FindMetric(name string) (Metric, bool) {
	all := Metrics()
	i := slices.IndexFunc(all, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return all[i], true
}

func correctnessMetrics() []Metric {
	count := func(name, help string, read func(m *Measurements) (value, samples int64)) Metric {
		return Metric{Name: name, Help: help, Unit: v1alpha1.UnitNumber, Correctness: true,
			read: func(m *Measurements, _ string) reading {
				value, samples := read(m)
				return number(float64(value), samples)
			}}
	}
	return []Metric{
		count("lost", "deliveries expected that never came",
			func(m *Measurements) (int64, int64) { return m.Deliveries.Lost, m.Deliveries.Expected }),
		count("duplicate", "deliveries pushed again on one connection, or posts that are in the log twice",
			func(m *Measurements) (int64, int64) { return m.Deliveries.Duplicate, m.Deliveries.Expected }),
		count("unordered", "deliveries pushed below an earlier one",
			func(m *Measurements) (int64, int64) { return m.Deliveries.Unordered, m.Deliveries.Expected }),
		count("missingAcknowledged", "posts acknowledged that are not in the log at the end",
			func(m *Measurements) (int64, int64) { return m.Posts.Missing, m.Posts.Checked }),
	}
}

func deliveryMetrics() []Metric {
	broadcasts := func(p float64) func(m *Measurements, _ string) reading {
		return func(m *Measurements, _ string) reading {
			var times []time.Duration
			for _, b := range m.Broadcasts {
				if b.Latency.Count()+b.Lost > 0 {
					times = append(times, b.TimeTo(p))
				}
			}
			return list(times)
		}
	}
	return []Metric{
		{Name: "delivery", Help: "time from the intended moment of a post to its arrival at a session",
			Unit: v1alpha1.UnitTime, Aggregation: "p99.9", Confidence: true, ends: twoEnds,
			read: func(m *Measurements, _ string) reading {
				return latency(m.Deliveries.Latency, m.Deliveries.LostOfLatency)
			}},
		{Name: "timeTo999", Help: "time until 99.9 % of the recipients of a broadcast have it",
			Unit: v1alpha1.UnitTime, Aggregation: "max", ends: twoEnds, read: broadcasts(99.9)},
		{Name: "timeToLast", Help: "time until the last recipient of a broadcast has it",
			Unit: v1alpha1.UnitTime, Aggregation: "max", ends: twoEnds, read: broadcasts(100)},
		{Name: "late", Help: "deliveries after their post's deliverWithin",
			Unit: v1alpha1.UnitNumber, ends: twoEnds,
			read: func(m *Measurements, _ string) reading {
				return number(float64(m.Deliveries.Late), m.Deliveries.Expected)
			}},
		{Name: "lateShare", Help: "share of the deliveries, 0 to 1, that came late or never",
			Unit: v1alpha1.UnitNumber, ends: twoEnds,
			read: func(m *Measurements, _ string) reading {
				d := m.Deliveries
				return number(float64(d.Late+d.Lost)/float64(max(d.Expected, 1)), d.Expected)
			}},
	}
}

func postMetrics() []Metric {
	return []Metric{
		{Name: "ack", Help: "time from the intended moment of a post to its acknowledgement",
			Unit: v1alpha1.UnitTime, Aggregation: "p99.9", ends: oneEnd,
			read: func(m *Measurements, _ string) reading { return latency(m.Posts.Response, m.Posts.Unacknowledged) }},
		{Name: "ackService", Help: "time from sending a post to its acknowledgement",
			Unit: v1alpha1.UnitTime, Aggregation: "p99.9", ends: oneEnd,
			read: func(m *Measurements, _ string) reading { return latency(m.Posts.Service, m.Posts.Unacknowledged) }},
		{Name: "unacknowledged", Help: "posts intended that were not acknowledged",
			Unit: v1alpha1.UnitNumber,
			read: func(m *Measurements, _ string) reading {
				return number(float64(m.Posts.Unacknowledged), m.Posts.Intended)
			}},
	}
}

func runMetrics() []Metric {
	waits := func(of func(f Fault) (wait time.Duration, samples int64)) func(m *Measurements, fault string) reading {
		return func(m *Measurements, fault string) reading {
			var times []time.Duration
			for _, f := range m.Faults {
				wait, samples := of(f)
				if f.Error == "" && samples > 0 && (fault == "" || f.Name == fault) {
					times = append(times, wait)
				}
			}
			return list(times)
		}
	}
	return []Metric{
		{Name: "faultAckWait", Help: "longest wait for an acknowledgement after a fault",
			Unit: v1alpha1.UnitTime, Aggregation: "max", PerFault: true, ends: oneEnd,
			read: waits(func(f Fault) (time.Duration, int64) { return f.LongestAckWait, f.Posts })},
		{Name: "faultDeliveryWait", Help: "longest wait for a delivery after a fault",
			Unit: v1alpha1.UnitTime, Aggregation: "max", PerFault: true, ends: twoEnds,
			read: waits(func(f Fault) (time.Duration, int64) { return f.LongestDeliveryWait, f.Deliveries })},
		{Name: "faultReconnect", Help: "time until the last session that a fault disconnected is signed in again",
			Unit: v1alpha1.UnitTime, Aggregation: "max", PerFault: true, ends: oneEnd,
			read: waits(func(f Fault) (time.Duration, int64) { return f.LongestReturn, f.Sessions })},
		{Name: "delayedDelivery", Help: "delivery of posts intended while sessions were delayed, to these sessions",
			Unit: v1alpha1.UnitTime, Aggregation: "p99.9", PerFault: true, ends: twoEnds,
			read: delayed(func(d *Delay) *measure.Histogram { return d.Far })},
		{Name: "undelayedDelivery", Help: "delivery of the same posts to the others",
			Unit: v1alpha1.UnitTime, Aggregation: "p99.9", PerFault: true, ends: twoEnds,
			read: delayed(func(d *Delay) *measure.Histogram { return d.Others })},
		{Name: "reconnect", Help: "time from a session's lost connection to being signed in again",
			Unit: v1alpha1.UnitTime, Aggregation: "p99.9", ends: oneEnd,
			read: func(m *Measurements, _ string) reading { return latency(m.Sessions.Return, m.Sessions.Away) }},
		{Name: "notResumed", Help: "share of the sessions that came back, 0 to 1, that needed their token again and not a resume token",
			Unit: v1alpha1.UnitNumber,
			read: func(m *Measurements, _ string) reading {
				back := m.Sessions.Return.Count()
				return number(1-float64(m.Sessions.ReturnsResumed)/float64(max(back, 1)), back)
			}},
		{Name: "slowReaderEffect", Help: "how much slow readers change the others' time to the last, up or down: 0.02 is 2 %; judged with its 95 % interval",
			Unit: v1alpha1.UnitNumber, read: slowEffect(func(e Effect) float64 { return math.Abs(e.Change) }, Effect.within)},
		{Name: "slowReaderEffectUpper", Help: "the upper end of its 95 % interval: it is no larger, but for one time in forty",
			Unit: v1alpha1.UnitNumber, read: slowEffect(func(e Effect) float64 { return e.High }, Effect.below)},
		{Name: "missingSessions", Help: "sessions wanted that never signed in",
			Unit: v1alpha1.UnitNumber,
			read: func(m *Measurements, _ string) reading {
				return number(float64(max(m.Sessions.Wanted-m.Sessions.SignedIn, 0)), m.Sessions.Wanted)
			}},
		{Name: "signIn", Help: "time from a session's dial to being signed in",
			Unit: v1alpha1.UnitTime, Aggregation: "p99", ends: oneEnd,
			read: func(m *Measurements, _ string) reading {
				return latency(m.Sessions.SignIn, m.Sessions.Wanted-m.Sessions.SignIn.Count())
			}},
		{Name: "sessionMemory", Help: "resident memory of the shards, a session",
			Unit: v1alpha1.UnitBytes,
			read: func(m *Measurements, _ string) reading {
				return number(m.Fleet.RSSBytesPerSession, samplesIf(m.Fleet.RSSBytesPerSession > 0, m.Sessions.SignedIn))
			}},
		{Name: "memoryGrowth", Help: "resident memory of all stores or all shards in the last fifth of measure to that in the second, or at the moments of growth",
			Unit: v1alpha1.UnitNumber, read: worstGrowth(func(g Growth) float64 { return g.Memory })},
		{Name: "shardMemoryGrowth", Help: "likewise, of the shards alone: what sessions can make grow",
			Unit: v1alpha1.UnitNumber, read: shardGrowth},
		{Name: "goroutineGrowth", Help: "likewise their goroutines",
			Unit: v1alpha1.UnitNumber, read: worstGrowth(func(g Growth) float64 { return g.Goroutines })},
		{Name: "openFileGrowth", Help: "likewise their open files",
			Unit: v1alpha1.UnitNumber, read: worstGrowth(func(g Growth) float64 { return g.OpenFiles })},
		{Name: "deliveryCPU", Help: "processor time of the whole fleet, a delivery",
			Unit: v1alpha1.UnitTime,
			read: func(m *Measurements, _ string) reading {
				return number(float64(m.Fleet.CPUPerDelivery), samplesIf(m.Fleet.CPUPerDelivery > 0, m.Deliveries.Delivered))
			}},
	}
}

// delayed adds up what was measured during all delays, or those of a name.
func delayed(of func(d *Delay) *measure.Histogram) func(m *Measurements, fault string) reading {
	return func(m *Measurements, fault string) reading {
		sum := measure.NewHistogram()
		for _, f := range m.Faults {
			if f.Delay != nil && f.Error == "" && (fault == "" || f.Name == fault) {
				sum.Merge(of(f.Delay))
			}
		}
		return latency(sum, 0)
	}
}

func slowEffect(of func(e Effect) float64, judge func(e Effect, bound float64) (Verdict, string)) func(m *Measurements, _ string) reading {
	return func(m *Measurements, _ string) reading {
		e := m.Slow.Effect()
		r := number(of(e), int64(e.Pairs))
		if e.Pairs > 0 {
			r.note, r.effect, r.judge = e.String(), &e, judge
		}
		return r
	}
}

// worstGrowth is the largest growth of all roles; a sample is a role.
func worstGrowth(of func(g Growth) float64) func(m *Measurements, _ string) reading {
	return func(m *Measurements, _ string) reading {
		worst := 0.0
		for _, g := range m.Fleet.Growth {
			worst = max(worst, of(g))
		}
		return number(worst, int64(len(m.Fleet.Growth)))
	}
}

// shardGrowth is that of the memory of all shards together; there is one sample, or none.
func shardGrowth(m *Measurements, _ string) reading {
	g, ok := m.Fleet.Growth["shard"]
	return number(g.Memory, samplesIf(ok, 1))
}

func samplesIf(known bool, n int64) int64 {
	if known {
		return n
	}
	return 0
}

// Aggregation is a figure of many values.
type Aggregation struct {
	// 0 < Percentile <= 100; 100 is the largest. Not used for the mean.
	Percentile float64
	Mean       bool
}

// ParseAggregation reads max, mean, median, or a percentile such as p99.9.
func ParseAggregation(text string) (Aggregation, error) {
	switch text {
	case "max":
		return Aggregation{Percentile: 100}, nil
	case "mean":
		return Aggregation{Mean: true}, nil
	case "median":
		return Aggregation{Percentile: 50}, nil
	}
	digits, ok := strings.CutPrefix(text, "p")
	p, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(p > 0 && p < 100) || strings.ContainsAny(digits, "eExX_+-") {
		return Aggregation{}, fmt.Errorf("%q is not an aggregation; write max, mean, median, or a percentile between p0 and p100 such as p99.9", text)
	}
	return Aggregation{Percentile: p}, nil
}

// value returns the figure in the metric's unit (nanoseconds for a time); +Inf for a time that is Never.
func (r reading) value(a Aggregation) float64 {
	switch {
	case r.samples == 0:
		return 0
	case r.list != nil:
		return listValue(r.list, a)
	case r.latency.Count() == 0 && r.lost == 0:
		return r.number
	case !a.Mean && a.Percentile >= 100 && r.lost == 0:
		return float64(r.latency.Max())
	case !a.Mean:
		return nanos(r.latency.PercentileWithLost(a.Percentile, r.lost))
	case r.lost > 0:
		return math.Inf(1)
	}
	return float64(r.latency.Mean())
}

// listValue is exact: lists are short. The median of an even number is between the two in the middle.
func listValue(times []time.Duration, a Aggregation) float64 {
	times = slices.Clone(times)
	slices.Sort(times)
	n := len(times)
	switch {
	case a.Mean:
		var sum float64
		for _, d := range times {
			sum += nanos(d)
		}
		return sum / float64(n)
	case a.Percentile == 50 && n%2 == 0:
		return (nanos(times[n/2-1]) + nanos(times[n/2])) / 2
	}
	return nanos(times[measure.Rank(a.Percentile, int64(n))-1])
}

func nanos(d time.Duration) float64 {
	if d == measure.Never {
		return math.Inf(1)
	}
	return float64(d)
}
