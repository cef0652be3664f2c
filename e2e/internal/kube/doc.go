// Package kube is what the end-to-end tests do with a Kubernetes cluster, and see of it: waiting for a state, fleets and their pods, admin ports by way of the
// API server, nodes. What a platform engineer types, the tests type too: kubectl and helm are run as programs.
//
//   - cluster.go: the cluster, waiting, and the programs
//   - fleet.go: one ChatCluster, its conditions, pods and sessions
//   - nodes.go: nodes, and the containers that they are on a cluster of kind's
package kube
