package planning

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration/calibrationtest"
	"github.com/chatfleet/chatfleet/simulator/internal/prices"
)

// question is one of 20,000 subscribers, with what the command line would fill in.
func question() Question {
	return Question{
		Subscribers: 20_000, Objective: Objective{99.9, time.Second}, Lose: 1, Headroom: 0.3, MessageBytes: 200, PostsPerSecond: 0.01,
		BackWithin: 30 * time.Second, ScaleAfter: 30 * time.Second, Seeds: 1,
		Pod:         Pod{Cores: 4, MemoryBytes: 2 << 30, NetworkPerSecond: 1_250_000_000, Connections: UsualConnections, TLS: true},
		Cluster:     Cluster{Name: "eu", Namespace: "chat"},
		Calibration: calibrationtest.ByHand(), Prices: prices.Example(),
	}
}

// with changes a question.
func with(change func(q *Question)) Question {
	q := question()
	change(&q)
	return q
}

// roomy has time be what binds.
func roomy(q *Question) {
	q.Pod.Connections, q.Pod.MemoryBytes = 1_000_000, 64<<30
}

// tested is a calibration that was held against runs, and was wrong by so much at worst.
func tested(worst float64) calibration.Calibration {
	c := calibrationtest.ByHand()
	c.HoldOut = []calibration.HeldOut{{Run: "run", Figure: "time to the last", PredictedMs: 100 * (1 + worst), MeasuredMs: 100, LeastMs: 90, LargestMs: 110, Runs: 5}}
	return c
}

func far(share float64, name string, roundTrip time.Duration) v1alpha1.Place {
	return v1alpha1.Place{Name: name, Share: share, RoundTrip: v1alpha1.Duration(roundTrip), RoundTripP99: v1alpha1.Duration(3 * roundTrip)}
}

func planned(t testing.TB, q Question) Plan {
	t.Helper()
	p, err := Make(q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// needsOf is how many shards each demand of a question takes, or one more than there can be.
func needsOf(t *rapid.T, q Question) map[string]int {
	demands, _, err := q.demands()
	if err != nil {
		t.Fatal(err)
	}
	needs := map[string]int{}
	for _, d := range demands {
		if needs[d.Name] = d.Shards; d.Shards == 0 || d.Shards > MostShards {
			needs[d.Name] = MostShards + 1
		}
	}
	return needs
}
