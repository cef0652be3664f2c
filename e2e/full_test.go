package e2e

// fullCases are those of make e2e-full.
var fullCases = []one{}
