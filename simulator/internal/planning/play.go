package planning

import (
	"fmt"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
)

const (
	// seed of all plays, so that fleets are compared with the same luck.
	seed = 1
	// connectOver is over what time the audience comes, before anything is posted.
	connectOver = 30 * time.Minute
	// mostPosts are played where one follows another within mayMeet. That hangs on nothing that is searched for or bounded, or a tighter objective would be
	// held against fewer posts, with other luck.
	mostPosts = 8
	mayMeet   = time.Minute
	// firstPost and kills are after so long in the measure phase.
	firstPost = time.Second
)

// broadcasts is a scenario of posts to the whole audience on so many shards. Where posts come so quickly that one may meet the one before, several are played.
func (q Question) broadcasts(shards int) *v1alpha1.Scenario {
	every := time.Duration(float64(time.Second) / q.PostsPerSecond)
	count := 1
	if every < mayMeet {
		count = mostPosts
	}
	s := q.scenario(shards, firstPost+time.Duration(count)*every)
	if count == 1 {
		s.Phases.Measure = v1alpha1.Duration(2 * firstPost)
	}
	s.Broadcasts = []v1alpha1.Broadcast{{
		Schedule:     v1alpha1.Schedule{At: v1alpha1.Duration(firstPost), Every: v1alpha1.Duration(every), Count: count},
		MessageBytes: v1alpha1.Size(q.MessageBytes), DeliverWithin: v1alpha1.Duration(q.Objective.Within),
	}}
	return s
}

// losses is a scenario in which the shards that may be lost are, all at once.
func (q Question) losses(shards int) *v1alpha1.Scenario {
	s := q.scenario(shards, firstPost+2*q.BackWithin)
	q.kill(s, firstPost)
	return s
}

// worst is a scenario in which they are lost while a post is brought to their sessions.
func (q Question) worst(shards int) *v1alpha1.Scenario {
	s := q.broadcasts(shards)
	q.kill(s, firstPost)
	return s
}

func (q Question) kill(s *v1alpha1.Scenario, at time.Duration) {
	for k := range q.Lose {
		target := v1alpha1.FaultTarget(fmt.Sprintf("shard-%d", k))
		s.Faults = append(s.Faults, v1alpha1.Fault{
			Name: "loss", Action: v1alpha1.Kill, Target: target, Schedule: v1alpha1.Schedule{At: v1alpha1.Duration(at), Count: 1},
		})
	}
}

// scenario is one in which nothing happens, for so long.
func (q Question) scenario(shards int, measure time.Duration) *v1alpha1.Scenario {
	settle := v1alpha1.Duration(max(10*time.Second, 4*q.Objective.Within))
	stores := q.stores(shards)
	return &v1alpha1.Scenario{
		Name: "plan", Seed: seed, Engine: v1alpha1.ModelEngine,
		Target: v1alpha1.Target{Model: &v1alpha1.ModelledFleet{
			Shards: shards, Stores: stores.Count, Partitions: q.partitions(), CoresPerShard: q.Pod.Cores, CoresPerStore: stores.Cores, Zones: 1, Cells: 1,
			NetworkPerSecond: v1alpha1.Size(q.Pod.NetworkPerSecond), TLS: q.Pod.TLS,
		}},
		Population: v1alpha1.Population{Subscribers: int(q.Subscribers), DevicesPerUser: 1, Places: q.Places},
		Phases: v1alpha1.Phases{
			Connect: v1alpha1.Connect{Duration: v1alpha1.Duration(connectOver)}, Measure: v1alpha1.Duration(measure), Settle: &settle,
		},
	}
}

// play plays a scenario in brief.
func (q Question) play(s *v1alpha1.Scenario) (model.Outcome, error) {
	fleet, _ := model.FleetOf(s, q.Calibration)
	out, err := model.Play(model.Input{Scenario: s, Fleet: fleet, Calibration: q.Calibration, Seed: seed, Brief: true})
	if err != nil {
		return out, fmt.Errorf("play %d shards: %w", s.Target.Model.Shards, err)
	}
	return out, nil
}

// timeWith is the time of the objective with so many shards.
func (q Question) timeWith(shards int) (time.Duration, error) {
	out, err := q.play(q.broadcasts(shards))
	return q.Objective.of(out.Measurements), err
}

// backWith is how long it takes until all sessions of the lost ones of so many shards are signed in again; measure.Never if they are not.
func (q Question) backWith(shards int) (time.Duration, error) {
	out, err := q.play(q.losses(shards))
	var longest time.Duration
	for _, f := range out.Measurements.Faults {
		longest = max(longest, f.LongestReturn)
	}
	return longest, err
}

// Stores is what keeps the logs.
type Stores struct {
	Count int     `json:"count"`
	Cores float64 `json:"cores"`
	// Of each. By convention, since no calibration has it (config/samples/chatcluster-production.yaml).
	MemoryBytes int64 `json:"memoryBytes"`
	// Cores that each is busy for, with one of them publishing everything.
	Busy float64 `json:"busyCores"`
}

const (
	// leastStoreCores lets the embedded server and the disk's threads run beside each other.
	leastStoreCores = 2
	storeMemory     = 4 << 30
	// leastPartitions is the default of a ChatCluster.
	leastPartitions, mostPartitions = 16, 1024
	// growingFactor is what partitions leave for a fleet that grows, since their number can never be changed.
	growingFactor = 2
)

// stores are 3, which survive the loss of one, or 5, of two. Every post costs each of them, and its owner a copy a shard besides. One may have to publish all.
func (q Question) stores(shards int) Stores {
	s := Stores{Count: 3, MemoryBytes: storeMemory}
	if q.Lose > 1 {
		s.Count = 5
	}
	s.Busy = rounded(q.PostsPerSecond * (q.seconds(calibration.PostStore) + float64(shards)*q.seconds(calibration.Copy)))
	s.Cores = max(leastStoreCores, math.Ceil(s.Busy/q.spare()))
	return s
}

// partitions are a few for each core of all stores (docs/chatcluster.md, partitions), by powers of two. They hang on nothing that is searched for.
func (q Question) partitions() int {
	stores := q.stores(MostShards)
	n := leastPartitions
	for n < mostPartitions && float64(n) < growingFactor*float64(stores.Count)*stores.Cores {
		n *= 2
	}
	return n
}

// seconds is a coefficient that is a time.
func (q Question) seconds(name calibration.Name) float64 {
	k := q.Calibration.Get(name)
	switch k.Unit {
	case calibration.Nanoseconds:
		return k.Value / 1e9
	case calibration.Microseconds:
		return k.Value / 1e6
	case calibration.Milliseconds:
		return k.Value / 1e3
	}
	panic(fmt.Sprintf("planning: %s is no time", name))
}

// rounded keeps nine decimals: the last bits are not the same on all architectures.
func rounded(v float64) float64 { return math.Round(v*1e9) / 1e9 }
