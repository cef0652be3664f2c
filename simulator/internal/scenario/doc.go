// Package scenario reads scenarios: strictly, with the line, column and field of all that is wrong, at once, and what to do
// about it. What it returns has its defaults filled and contradicts nothing, so nobody else checks it again.
//
// The types are in api/scenario/v1alpha1; their tags say what each field may hold, this package's rules what fields may not
// say together. The commands run, validate and schema call it. Whether this machine can carry a scenario is not asked here.
package scenario
