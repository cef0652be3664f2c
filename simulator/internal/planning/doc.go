// Package planning answers what fleet an audience takes: the fewest shards with which every demand is met with something to spare, when some of them
// are lost. `simulator plan` calls it. It is pure: values in, values out, no clock, no file and no randomness but the model's, whose seed is fixed; the same question
// gives the same plan, to the byte.
//
// # How the answer is found
//
// Each demand by itself says how many shards it needs. Those of room (sockets, memory) and of rates (processors, network, growth) are divisions. Two are times. The
// time until a share of the audience has a post, with all of them on the shards that are left, is played in the model, and the number is found by bisection. The
// time until those of the lost shards are signed in again has a bound from above, which only a play at the end is held against: when who comes back is drawn, and
// a search over draws would find now more, now fewer. The fleet has as many shards as the demand that needs most, the binding one.
//
// More shards are not always quicker: the owner of a log publishes one copy to each, one after the other. A broadcast to n sessions takes about
// n·w/(s·c) + s·p, for a write's cost w, s shards of c cores, and a copy's cost p, which is least at s = √(n·w/(c·p)). The search does not go beyond.
//
// # What it does not do
//
// It does not know whether the model is right: package forecast gives interval and grade, and what is of grade D is indicative and never passes. It plans one
// fleet in one place. It plans no volumes and no load balancers, and the memory of stores is a convention, since no calibration has it.
package planning
