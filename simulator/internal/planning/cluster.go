package planning

import (
	"fmt"
	"strings"

	"github.com/chatfleet/chatfleet/simulator/internal/plain"
)

// Whole says whether a plan is for a ChatCluster that there is not yet, of which everything that it has to have is known.
func (c Cluster) Whole() bool { return c.Image != "" }

const (
	// drainPace is a ChatCluster's default pace of drains, sessions a second, and drainTimeout and mostTimeout its timeout's default and bound, in seconds.
	drainPace, drainTimeout, mostTimeout = 500, 120, 3600
)

// Patch is the plan as a ChatCluster: a whole one, or what a server-side apply adds to one that there is. Its partitions can never be changed and its
// template is the owner's, so what it says of them is a comment in the latter.
func (p Plan) Patch() string {
	c, f := p.Asked.Cluster, p.Fleet
	var b strings.Builder
	fmt.Fprintf(&b, "# For %s, %s, %d of %d shards lost, %g %% to spare. Made by simulator plan, grade %s.\n",
		plain.Plural(int(p.Asked.Subscribers), "subscriber"), p.Asked.Objective, p.Asked.Lose, f.Shards, 100*p.Asked.Headroom, p.Grade)
	if !c.Whole() {
		fmt.Fprintf(&b, "# For a ChatCluster that there is: %s\n# The plan counts on %d partitions, which cannot be changed in it.\n", p.Apply(PatchFile), f.Partitions)
		if p.Asked.Pod.Connections != UsualConnections {
			fmt.Fprintf(&b, "# Its template has to set CHATD_LIMITS_CONNECTIONS=%d on the shards’ chatd, and their nodes have to allow as many open files.\n", p.Asked.Pod.Connections)
		}
	}
	fmt.Fprintf(&b, "apiVersion: chatfleet.io/v1alpha1\nkind: ChatCluster\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", c.Name, c.Namespace)
	if c.Whole() {
		fmt.Fprintf(&b, "  image: %q\n  region: %s # for ever\n  partitions: %d # for ever\n", c.Image, c.Region, f.Partitions)
	}
	fmt.Fprintf(&b, "  store:\n    replicas: %d\n", f.Stores.Count)
	if c.Whole() {
		fmt.Fprintf(&b, "    storage:\n      size: %s\n", c.Storage)
	}
	resources(&b, f.Stores.Cores, f.Stores.MemoryBytes)
	fmt.Fprintf(&b, "  shards:\n    replicas: %d\n", f.Shards)
	resources(&b, f.Cores, f.MemoryBytes)
	timeout := min(max(2*f.SessionsIfLost/drainPace, drainTimeout), mostTimeout)
	fmt.Fprintf(&b, "    drain:\n      sessionsPerSecond: %d\n      timeoutSeconds: %d\n", drainPace, timeout)
	if c.Whole() && p.Asked.Pod.Connections != UsualConnections {
		fmt.Fprintf(&b, `  template:
    shard:
      spec:
        containers:
          - name: chatd
            env:
              - {name: CHATD_LIMITS_CONNECTIONS, value: "%d"} # their nodes have to allow as many open files
`, p.Asked.Pod.Connections)
	}
	return b.String()
}

// Apply is the command that tries a file of the plan against an API server and changes nothing.
func (p Plan) Apply(file string) string {
	if p.Asked.Cluster.Whole() {
		return "kubectl apply --dry-run=server -f " + file
	}
	return "kubectl apply --server-side --force-conflicts --field-manager=simulator-plan --dry-run=server -f " + file
}

// resources of a container. There is no limit of cores, since a broadcast is a burst.
func resources(b *strings.Builder, cores float64, memory int64) {
	fmt.Fprintf(b, "    resources:\n      requests: {cpu: %dm, memory: %dMi}\n      limits: {memory: %dMi}\n", int64(1000*cores), memory>>20, memory>>20)
}
