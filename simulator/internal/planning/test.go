package planning

import (
	"fmt"
	"strings"
)

// Test is a scenario that says whether a shard does what the model says of it, at a size that fits on a machine.
type Test struct {
	// Of a shard of the plan, or as many as were ever tried on one.
	Sessions int64  `json:"sessions"`
	Shards   int    `json:"shards"`
	Scenario string `json:"scenario"`
}

// The files of a plan, beside its JSON.
const (
	TestFile  = "test.yaml"
	PatchFile = "plan.yaml"
)

const (
	// mostTested is how many sessions on one shard, and on one machine with their generator, a local fleet was tried with (docs/performance.md).
	mostTested = 15_000
)

// test is a shard with as many sessions as one of the plan's has when others are lost: what the ramp of a broadcast hangs on.
func (q Question) test(f Fleet) *Test {
	t := &Test{Sessions: min(f.SessionsIfLost, mostTested), Shards: 1}
	o := q.Objective.figure()
	var b strings.Builder
	fmt.Fprintf(&b, `# One shard of a plan for %s subscribers, with the sessions that it has when others are lost (at most %d), made by simulator plan.
# Run it, and hold what was measured against what the model says of the same file on the same machine.
apiVersion: chatfleet.io/v1alpha1
kind: Scenario
name: plan-test
seed: 1
target:
  local: {stores: %d, shards: %d}
population:
  subscribers: %d
phases:
  connect: {duration: %s}
  warmup: 2s
  measure: 40s
  settle: 10s
broadcasts:
  - {at: 2s, every: 3s, count: 12, messageBytes: %dB, deliverWithin: %s}
thresholds:
  - {metric: %s, aggregation: %s, bound: %s}
`, grouped(float64(q.Subscribers)), mostTested, 3, t.Shards, t.Sessions, connects(t.Sessions), q.MessageBytes, q.Objective.Within, o.metric, o.among, q.Objective.Within)
	t.Scenario = b.String()
	return t
}

// connects is a time over which so many sessions come at a pace that two cores were measured to bear, 800 a second (scenarios/broadcast-20k.yaml).
func connects(sessions int64) string { return fmt.Sprintf("%ds", max(sessions/800, 2)) }
