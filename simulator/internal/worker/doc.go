// Package worker spreads a swarm over processes, since one process may open some 20,000 files at most and use one core's worth
// of a loop. It is both ends: Pool starts the worker processes, divides the sessions among them, and makes one result of
// theirs; Run is what the hidden command "simulator worker" does.
//
// A worker dials its coordinator, says hello with a secret that it was given on its standard input, and then does what it is
// told. Messages are JSON with a length before them, bounded and versioned (message.go):
//
//	worker → coordinator   hello · ready · progress … · severed … · settled · result, or failed
//	coordinator → worker   plan · start · cut … · wake … · settle · finish
//
// Nothing outlives its coordinator: a worker ends when the connection does, and the kernel kills it when the coordinator dies.
// Nothing hangs: each stage has a deadline, and a worker that is lost is reported while the others go on.
//
// The live engine uses Pool as its crowd. A worker gives no verdict; what was lost with it, the caller has to judge.
package worker
