package verdict

import (
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

func histogram(d time.Duration, n int64) *measure.Histogram {
	h := measure.NewHistogram()
	h.RecordN(d, n)
	return h
}

// goodRun is a run of 10 broadcasts to 2,000 sessions that has nothing wrong with it.
func goodRun() Measurements {
	m := Measurements{
		Sessions: Sessions{Wanted: 2000, Dialled: 2000, Established: 2000, SignedIn: 2000, SignIn: histogram(20*time.Millisecond, 2000), Return: histogram(300*time.Millisecond, 600), ReturnsResumed: 600},
		Deliveries: Deliveries{
			Expected: 20_000, Delivered: 20_000,
			Latency: histogram(200*time.Millisecond, 20_000),
		},
		Posts: Posts{
			Intended: 10, Sent: 10, Acknowledged: 10, Checked: 10,
			SendLag:  histogram(time.Millisecond, 10),
			Service:  histogram(5*time.Millisecond, 10),
			Response: histogram(6*time.Millisecond, 10),
		},
		Fleet:     Fleet{RSSBytesPerSession: 9000, CPUPerDelivery: 12 * time.Microsecond, Growth: map[string]Growth{"shard": {1, 1, 1}}},
		Generator: Generator{Hiccup: histogram(2*time.Millisecond, 10_000)},
		Clock:     Clock{Source: "CLOCK_MONOTONIC of one host", Trusted: true},
	}
	for i := range 10 {
		m.Broadcasts = append(m.Broadcasts, Broadcast{
			At: time.Duration(i) * time.Second, DeliverWithin: time.Second,
			Recipients: 2000, Latency: histogram(200*time.Millisecond, 2000),
		})
		for _, shard := range []string{"shard-0", "shard-1"} {
			m.Blocks = append(m.Blocks, Block{Name: shard, Latency: histogram(200*time.Millisecond, 1000)})
		}
	}
	for i, wait := range []time.Duration{800 * time.Millisecond, 900 * time.Millisecond, 1100 * time.Millisecond} {
		m.Faults = append(m.Faults, Fault{
			Name: "store kills", Action: "kill", Target: "store-leading", At: time.Duration(i) * time.Second,
			LongestAckWait: wait, LongestDeliveryWait: wait, Posts: 100, Deliveries: 1000, Sessions: 200, LongestReturn: wait,
		})
	}
	m.Faults[2].Delay = &Delay{By: 300 * time.Millisecond, Sessions: 200, Far: histogram(400*time.Millisecond, 100), Others: histogram(100*time.Millisecond, 900)}
	for range 30 {
		m.Slow.Pairs = append(m.Slow.Pairs, SlowPair{Reading: 50 * time.Millisecond, Slow: 50 * time.Millisecond})
	}
	return m
}

func bound(text string) v1alpha1.Bound {
	var b v1alpha1.Bound
	if err := b.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return b
}

// threshold reads "metric aggregation? bound".
func threshold(metric, aggregation, limit string) v1alpha1.Threshold {
	return v1alpha1.Threshold{Metric: metric, Aggregation: aggregation, Bound: bound(limit)}
}

func usualThresholds() []v1alpha1.Threshold {
	return []v1alpha1.Threshold{
		threshold("lost", "", "0"),
		threshold("duplicate", "", "0"),
		threshold("unordered", "", "0"),
		threshold("missingAcknowledged", "", "0"),
		threshold("missingSessions", "", "0"),
		threshold("delivery", "p99.9", "1s"),
		threshold("timeTo999", "max", "1s"),
	}
}
