// Package render makes the Kubernetes objects of a fleet out of its ChatCluster, as typed values. It is pure: nothing is read or written here.
//
//   - names.go: what everything is called, and the labels
//   - template.go, shard.go, store.go: pods
//   - revision.go: which of the user's inputs a pod is made from, and the name of that
//   - service.go, around.go: what stands around the pods
//
// Package controller applies them; `operator plan` uses the revisions. What becomes of pods, and when, is for package plan.
package render
