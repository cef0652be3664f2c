package verdict

import (
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

const (
	// lagShare is how much of the tightest bound the generator may be late, at p99.9.
	lagShare = 0.05
	// sharedShare is the same for the hiccup probe of a generator that shares its cores with the fleet.
	sharedShare = 0.25

	healthPercentile = 99.9
)

// Health is what can be said of the generator.
type Health struct {
	Healthy bool
	// Why not.
	Reasons []string
	// Why nothing can be said, if so; then Healthy says that nothing was found.
	Unknown []string
	// The p99.9s that were looked at.
	SendLag, Hiccup time.Duration
	// The tightest time bound of the run; 0 if it has none, and then only caps are looked at.
	TightestBound time.Duration
	// What SendLag and Hiccup may be.
	SendLagLimit, HiccupLimit time.Duration
	// The part of the error of each latency that comes from sharing cores.
	SharedCoresError time.Duration
}

func healthOf(m *Measurements, thresholds []v1alpha1.Threshold) Health {
	h := Health{
		SendLag:       m.Posts.SendLag.Percentile(healthPercentile),
		Hiccup:        m.Generator.Hiccup.Percentile(healthPercentile),
		TightestBound: tightestBound(m, thresholds),
	}
	h.Reasons = append(h.Reasons, m.Generator.CapsReached...)
	share := lagShare
	if m.Generator.SharesCores {
		share = sharedShare
		h.SharedCoresError = h.Hiccup
	}
	h.SendLagLimit = time.Duration(lagShare * float64(h.TightestBound))
	h.HiccupLimit = time.Duration(share * float64(h.TightestBound))
	if h.TightestBound > 0 && !m.Generator.Modelled {
		h.compare(m)
	}
	h.Healthy = len(h.Reasons) == 0
	return h
}

func (h *Health) compare(m *Measurements) {
	if m.Posts.SendLag.Count() == 0 {
		h.Unknown = append(h.Unknown, "the send lag was not measured")
	}
	if m.Generator.Hiccup.Count() == 0 {
		h.Unknown = append(h.Unknown, "the generator's hiccups were not measured")
	}
	if h.SendLag > h.SendLagLimit {
		h.Reasons = append(h.Reasons, fmt.Sprintf("send lag p99.9 is %s, over %g %% of the tightest bound (%s)",
			round(h.SendLag), 100*lagShare, h.TightestBound))
	}
	if h.Hiccup > h.HiccupLimit {
		h.Reasons = append(h.Reasons, fmt.Sprintf("hiccups p99.9 are %s, over %g %% of the tightest bound (%s)",
			round(h.Hiccup), 100*float64(h.HiccupLimit)/float64(h.TightestBound), h.TightestBound))
	}
}

// tightestBound is the smallest time that decides about something: a threshold's bound or a post's deliverWithin.
func tightestBound(m *Measurements, thresholds []v1alpha1.Threshold) time.Duration {
	var tightest time.Duration
	consider := func(d time.Duration) {
		if d > 0 && (tightest == 0 || d < tightest) {
			tightest = d
		}
	}
	for _, t := range thresholds {
		metric, known := FindMetric(t.Metric)
		if bound, isTime := t.Bound.Duration(); known && isTime && metric.ends != noEnds {
			consider(bound)
		}
	}
	for _, b := range m.Broadcasts {
		consider(b.DeliverWithin)
	}
	return tightest
}

func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
