// Package planted is a proxy in front of a shard that plants faults: it drops, doubles, swaps and delays deliveries, cuts
// connections in the middle of a frame, and acknowledges posts that it keeps to itself. What it does not alter it passes byte
// for byte. It counts what it planted, so that a test can hold a verdict against it: a checker that has never caught a fault
// proves nothing.
//
// It is for tests, whose swarm, posters and clients connect to it in place of the shard. It is no model of a bad network (which
// would not know of events) and never part of a run that is reported.
package planted
