// Package controller runs fleets on Kubernetes: for each ChatCluster it observes, plans, acts and writes a status, again and again. It decides nothing
// about pods (package plan does) and keeps nothing between two rounds but connections, and what it need not ask or write again so soon: whoever dies is
// followed by another that goes on.
//
//   - reconciler.go: one round, and what calls for one
//   - read.go: what the API server knows of a fleet
//   - members.go: what members say of themselves, over mutual TLS
//   - around.go: what stands around the pods, and apply.go: how it is written, if it is not there already
//   - credentials.go: the Secrets that the operator makes
//   - revisions.go: templates that are kept
//   - actor.go: what the plan asks for
//   - manager.go: the process around it
package controller
