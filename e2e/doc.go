// Package e2e shows on a real Kubernetes cluster that the operator does what it promises: fleets are installed, scaled, rolled out, broken and drained under
// a live load, and an audit says afterwards whether anything that was acknowledged was lost, doubled or out of order.
//
// It works on any cluster that a kubeconfig names. `make e2e` makes one where none is given, loads the images, and runs the cases that every change must
// pass; `make e2e-full` has the others too, some of which break nodes and need a cluster of kind's. Nothing of it runs with `go test ./...` alone: it
// asks for E2E_KUBECONFIG.
//
//   - main_test.go: what it is told, and how a case is run
//   - cases_test.go: the cases of make e2e, in their order
//   - full_test.go: those of make e2e-full besides
//   - table.go: what comes out: a table in the log, out/e2e/table.json and table.md
//   - internal/load: the load and its audit; internal/kube: what is done with the cluster
//
// A case fails if something was lost, doubled, out of order, or hangs; if a session was cut without a hint where none may be; if sessions were sent away
// faster than the set pace; and if somebody waited more than five times as long as the case's bound. Beyond the bound itself it says so and passes: these machines are shared.
package e2e
