// Package v1alpha1 holds the custom resources of chatfleet.io/v1alpha1 as Go types: what `kubectl explain` says, what the API server checks
// (the markers become the schema in config/crd), and the names that the operator and its users agree on. It is for whoever makes or reads
// these resources; it does nothing to a cluster, and imports no client.
//
// A field's comment is what people read in kubectl: what it is for, its unit, what happens when it is changed, and what that costs.
// There is no field before it does something.
//
// +kubebuilder:object:generate=true
// +groupName=chatfleet.io
package v1alpha1
