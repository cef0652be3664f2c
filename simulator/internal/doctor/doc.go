// Package doctor says what this machine can generate, before a run fails for it: it reads what the kernel allows (facts.go), works out
// what a scenario asks for (needs.go), holds one against the other (examine.go, pure), and tries the sender and the receiver on a
// small scale against servers in this process (selftest.go).
//
// It is about the generator, and about the processes of a local fleet as far as they share its limits. What a fleet can take only a
// run shows. The command "simulator doctor" is the caller.
package doctor
