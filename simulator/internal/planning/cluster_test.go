package planning

import (
	"maps"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// config is where the CustomResourceDefinitions and the samples are.
const config = "../../../config/"

// wholes are plans for new fleets, of which each writes something else.
var wholes = sync.OnceValues(func() (map[string]Plan, error) {
	plans := map[string]Plan{}
	for name, change := range map[string]func(q *Question){
		"as usual":         func(*Question) {},
		"many connections": func(q *Question) { q.Pod.Connections = 100_000 },
		"five stores":      func(q *Question) { q.Lose, q.Pod.Cores = 2, 0.5 },
		"many partitions":  func(q *Question) { q.PostsPerSecond = 500; q.Subscribers = 100; q.Objective.Within *= 10 },
		"a long drain":     func(q *Question) { roomy(q); q.Subscribers, q.Lose = 60_000, 0 },
		"one subscriber, and an image by its digest": func(q *Question) {
			q.Subscribers, q.Lose = 1, 0
			q.Cluster.Image = "chatd@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		},
	} {
		p, err := Make(with(func(q *Question) {
			q.Cluster = Cluster{Name: "eu", Namespace: "chat", Image: "registry.example.com/chatd:1.0.0", Region: "eu1", Storage: "100Gi"}
			change(q)
		}))
		if err != nil {
			return nil, err
		}
		plans[name] = p
	}
	return plans, nil
})

// What is written has no field that a ChatCluster has not, and says what the plan does. Whether an API server takes it is TestAnAPIServerTakesThePatch.
func TestAPatchSaysWhatThePlanDoes(t *testing.T) {
	made, err := wholes()
	if err != nil {
		t.Fatal(err)
	}
	plans := maps.Clone(made)
	part := plans["many connections"]
	part.Asked.Cluster = Cluster{Name: "eu", Namespace: "chat"}
	plans["a part"] = part
	for name, p := range plans {
		var c v1alpha1.ChatCluster
		if err := yaml.UnmarshalStrict([]byte(p.Patch()), &c); err != nil {
			t.Errorf("%s: %v\n%s", name, err, p.Patch())
			continue
		}
		shards, stores := c.Spec.Shards, c.Spec.Store
		memory, cores, storeMemory := shards.Resources.Limits["memory"], shards.Resources.Requests["cpu"], stores.Resources.Limits["memory"]
		if *shards.Replicas != int32(p.Fleet.Shards) || memory.Value() != p.Fleet.MemoryBytes || cores.MilliValue() != int64(1000*p.Fleet.Cores) {
			t.Errorf("%s: the shards of %+v\n%s", name, p.Fleet, p.Patch())
		}
		if stores.Replicas != int32(p.Fleet.Stores.Count) || storeMemory.Value() != p.Fleet.Stores.MemoryBytes {
			t.Errorf("%s: the stores of %+v\n%s", name, p.Fleet, p.Patch())
		}
		if whole := p.Asked.Cluster.Whole(); whole != (c.Spec.Image != "") || whole && c.Spec.Partitions != int32(p.Fleet.Partitions) || !whole && c.Spec.Partitions != 0 {
			t.Errorf("%s: image %q, partitions of %d\n%s", name, c.Spec.Image, p.Fleet.Partitions, p.Patch())
		}
		if strings.Contains(p.Patch(), "CHATD_LIMITS_CONNECTIONS") != (p.Asked.Pod.Connections != UsualConnections) {
			t.Errorf("%s: the shards’ connections:\n%s", name, p.Patch())
		}
	}
}
