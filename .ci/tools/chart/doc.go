// Package chart holds tests of charts/chatfleet and of the plain manifests in config: both are rendered as Helm and kustomize would, in the
// test's own process, and what comes out is read as Kubernetes would read it. `make chart-test` runs them.
//
// It is a module of its own, so that the programs do not depend on Helm and kustomize. What becomes of the objects in a cluster, it does not see.
package chart
