// Package v1alpha1 is the scenario as Go types: what a simulated audience does, what breaks meanwhile, and what must hold.
// The comments here are the descriptions in the published JSON Schema, the `jsonschema` tags its bounds; the loader of the
// simulator checks a document against the same tags.
//
// It only says what a scenario is. Reading one with line and column, defaults and the rules between fields are the
// simulator's; so is everything that runs one.
package v1alpha1
