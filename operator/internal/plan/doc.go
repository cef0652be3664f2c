// Package plan decides what is to be done to a region's fleet, and says why. It is pure: what was observed, what is wanted and the
// time go in, ordered actions come out, with what is being waited for and when to look again. It keeps nothing between two calls: whatever a
// plan needs to know of the past stands on the fleet itself (a mark on a pod, a revision that was proven), so an operator that dies
// anywhere in a plan is followed by one that goes on.
//
// It knows no Kubernetes. Package controller observes, calls Next, and has an Actor do what comes out; the command line prints the same
// plan for people (operator plan).
//
// The rules, one file each:
//
//   - shards.go: how many there are, which one goes, and what takes the place of what
//   - revision.go: which revision a new shard gets, and when a bad one stops a roll-out
//   - drain.go: how a shard leaves, and how it is taken back
//   - rebalance.go: sessions move to shards that have few
//   - stores.go: one store at a time, only while every group of replicas is current
package plan
