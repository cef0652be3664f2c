package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

func (r *rules) thresholds() {
	expected := Expect(r.s)
	titles := map[string]string{}
	for i, t := range r.s.Thresholds {
		path := fmt.Sprintf("thresholds[%d]", i)
		metric, known := verdict.FindMetric(t.Metric)
		if !known {
			r.report(path+".metric", "there is no metric %q%s", t.Metric, suggest(t.Metric, metricNames()))
			continue
		}
		key := fmt.Sprintf("%s %s %s %g", t.Metric, t.Aggregation, t.Fault, t.Confidence)
		if before, twice := titles[key]; twice {
			r.report(path, "%s bounds the same; keep one of them", before)
		}
		titles[key] = path
		r.bound(path, t, metric)
		r.aggregation(path, t, metric)
		if r.faultOf(path, t, metric) {
			r.samples(path, t, metric, expected)
		}
	}
}

func metricNames() []string {
	var names []string
	for _, m := range verdict.Metrics() {
		names = append(names, m.Name)
	}
	return names
}

func (r *rules) bound(path string, t v1alpha1.Threshold, metric verdict.Metric) {
	path += ".bound"
	example := map[v1alpha1.Unit]string{
		v1alpha1.UnitTime: "a time, such as 1s", v1alpha1.UnitBytes: "a size, such as 64KiB", v1alpha1.UnitNumber: "a number, such as 0",
	}[metric.Unit]
	switch {
	case t.Bound.Unit != metric.Unit:
		r.report(path, "%s wants %s, not %s", t.Metric, example, t.Bound)
	case metric.Unit == v1alpha1.UnitTime && t.Bound.Value == 0:
		r.report(path, "no time is below 0s; the bound cannot be met")
	case metric.Unit == v1alpha1.UnitTime && time.Duration(t.Bound.Value) > maxWithin:
		r.report(path, "%s is too long; at most %s is measured", t.Bound, maxWithin)
	case metric.Unit == v1alpha1.UnitBytes && t.Bound.Value == 0:
		r.report(path, "nothing takes 0 bytes; the bound cannot be met")
	case t.Metric == "lateShare" && t.Bound.Value > 1:
		r.report(path, "a share is never above 1; the bound cannot be missed")
	default:
		r.reachable(path, t, metric)
	}
}

// reachable finds waits that are shorter than the time for which nobody could answer.
func (r *rules) reachable(path string, t v1alpha1.Threshold, metric verdict.Metric) {
	if !metric.PerFault || t.Metric == "faultReconnect" { // Sessions stay connected without a store.
		return
	}
	for _, f := range r.s.Faults {
		away, _ := f.Lasts()
		if f.Action == v1alpha1.Delay {
			r.reachableDelayed(path, t, f)
		}
		if f.Target == v1alpha1.AllStores && f.Action != v1alpha1.Clock && (t.Fault == "" || t.Fault == f.Title()) && (t.Fault != "" || t.Aggregation == "" || t.Aggregation == "max") &&
			time.Duration(t.Bound.Value) <= away {
			r.report(path, "%q leaves no store for %s, so no wait after it is below %s; the bound cannot be met", f.Title(), away, t.Bound)
		}
	}
}

// reachableDelayed finds bounds for delayed deliveries that are below the delay itself.
func (r *rules) reachableDelayed(path string, t v1alpha1.Threshold, f v1alpha1.Fault) {
	if t.Metric == "delayedDelivery" && (t.Fault == "" || t.Fault == f.Title()) && time.Duration(t.Bound.Value) <= f.Delay.Std() {
		r.report(path, "%q makes every delivery to these sessions %s later; the bound cannot be met", f.Title(), f.Delay.Std())
	}
}

func (r *rules) aggregation(path string, t v1alpha1.Threshold, metric verdict.Metric) {
	if t.Aggregation != "" {
		if metric.Aggregation == "" {
			r.report(path+".aggregation", "%s is one number and has none; remove it", t.Metric)
			return
		}
		if _, err := verdict.ParseAggregation(t.Aggregation); err != nil {
			r.report(path+".aggregation", "%s", err)
			return
		}
	}
	if t.Confidence == 0 {
		return
	}
	switch {
	case !metric.Confidence:
		r.report(path+".confidence", "only delivery has it; remove it")
	case t.Aggregation == "max" || t.Aggregation == "mean":
		r.report(path+".confidence", "it is for percentiles, not for the %s", t.Aggregation)
	}
}

// faultOf says whether the threshold names a fault that there is, or none.
func (r *rules) faultOf(path string, t v1alpha1.Threshold, metric verdict.Metric) bool {
	var titles []string
	for _, f := range r.s.Faults {
		titles = append(titles, f.Title())
	}
	switch {
	case t.Fault == "":
		return true
	case !metric.PerFault:
		r.report(path+".fault", "%s is not about faults; remove it", t.Metric)
	case len(titles) == 0:
		r.report(path+".fault", "the scenario has no faults")
	case !slices.Contains(titles, t.Fault):
		r.report(path+".fault", "there is no fault %q%s", t.Fault, suggest(t.Fault, titles))
	default:
		return true
	}
	return false
}

// samples finds thresholds that this scenario can only leave inconclusive.
func (r *rules) samples(path string, t v1alpha1.Threshold, metric verdict.Metric, e Expected) {
	have, what := r.yields(t, e)
	if have == 0 && what != "" {
		r.report(path, "the scenario gives it no samples: it has no %s", what)
		return
	}
	if t.MinSamples > have && what != "" {
		r.report(path+".minSamples", "the scenario gives %d samples (%s), not %d", have, what, t.MinSamples)
	}
	a, err := verdict.ParseAggregation(cmp.Or(t.Aggregation, metric.Aggregation))
	if t.Confidence == 0 || err != nil || a.Mean || a.Percentile >= 100 {
		return
	}
	if need := verdict.SamplesFor(a.Percentile, t.Confidence); need > have {
		r.report(path+".confidence", "p%g at %g takes %d samples; the scenario gives %d", a.Percentile, t.Confidence, need, have)
	}
}

// yields returns how many samples a threshold gets when everything goes well, and of what.
func (r *rules) yields(t v1alpha1.Threshold, e Expected) (n int64, of string) {
	switch {
	case t.Metric == "timeTo999" || t.Metric == "timeToLast":
		return e.Broadcasts, "broadcasts"
	case t.Metric == "late" || t.Metric == "lateShare":
		if len(r.s.Broadcasts) == 0 && r.s.Cascade == nil && (r.s.Chatter == nil || r.s.Chatter.DeliverWithin == 0) {
			return 0, "posts with a deliverWithin"
		}
		return e.Deliveries, "deliveries"
	case t.Metric == "shardMemoryGrowth":
		return 1, "role in a local fleet"
	case strings.HasSuffix(t.Metric, "Growth"):
		return 2, "roles in a local fleet"
	case strings.HasPrefix(t.Metric, "slowReaderEffect"):
		if s := r.s.Population.SlowReaders; s != nil {
			n = int64(s.Pairs(r.s.Phases.Measure.Std()))
		}
		return n, "pairs of blocks (population.slowReaders.alternate)"
	case strings.HasSuffix(t.Metric, "elayedDelivery"):
		delays := slices.ContainsFunc(r.s.Faults, func(f v1alpha1.Fault) bool {
			return f.Action == v1alpha1.Delay && (t.Fault == "" || t.Fault == f.Title())
		})
		if !delays {
			return 0, "faults that delay"
		}
		return 0, "" // How many are on their way meanwhile, only the run shows.
	case t.Metric == "notResumed", t.Metric == "reconnect" && len(r.s.Faults) > 0:
		return 0, "" // How many, only the run shows.
	case strings.HasPrefix(t.Metric, "fault"), t.Metric == "reconnect":
		if t.Fault != "" {
			return e.Faults[t.Fault], "faults of that name"
		}
		for _, count := range e.Faults {
			n += count
		}
		return n, "faults"
	case t.Metric == "ack" || t.Metric == "ackService" || t.Metric == "unacknowledged" || t.Metric == "missingAcknowledged":
		return e.Posts, "posts"
	case t.Metric == "missingSessions" || t.Metric == "signIn" || t.Metric == "sessionMemory":
		return e.Sessions, "sessions"
	}
	return e.Deliveries, "deliveries"
}
