//go:build !linux

package sched

func (*Process) prompt() {}

// Patiently runs f.
func (*Process) Patiently(f func()) { f() }
