// Package fleet runs a fleet of real chatd processes on this machine, as a target for a scenario: stores and shards on loopback
// ports, their data in a temporary directory, their logs in files, all gone when the simulator is gone.
//
// It starts, watches, stops, kills and restarts processes and knows what they use. It sends no posts and holds no sessions, and
// it decides nothing about faults: package fault does, by the methods of Fleet and Process. Package live is the other caller.
//
// Nothing outlives the simulator, by three belts: Close, in order; the kernel's parent-death signal on every process; and the
// reaper, which also removes the directory.
package fleet
