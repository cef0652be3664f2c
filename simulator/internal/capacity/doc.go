// Package capacity searches, on a live fleet, for the largest load that it bears: it plays a scenario again and again with one quantity set
// anew, and has the scenario's own thresholds say of each run whether that was too much.
//
// # The search
//
// It goes over a ladder of loads, each at most the tolerance above the one below, and is a pure function of the runs that there were (Search.Next):
//
//  1. Find. The load is doubled until it is too much (or halved until it is not), and what lies between is bisected until two neighbours on the ladder are
//     known, of which the lower one held. The first load that is too much is tried again, since all that follows stands on it; where a load did now
//     this, now that, most of its runs decide.
//  2. Hold. That load is held in longer runs, as many as there are to be repeats. If one of them is missed, lower loads are tried by such runs,
//     at growing steps and then by bisection, until one has held in all of its repeats.
//  3. Confirm. The lowest load above everything that ever held is played until it was missed in as many runs.
//
// The capacity is the largest load that held in all repeats and was never missed. Its interval goes from the lowest load that was ever missed (or the
// capacity, if that is lower) to the one that never held: below it nothing was missed, from its end on nothing held, between them it is sometimes
// one and sometimes the other.
//
// A run that says nothing is played once more: one that is inconclusive, or whose generator was not healthy. If that says nothing either, the load is not held, and
// not missed: the search goes on below it. Where the generator gave up on the loads above the capacity, or nothing was missed at all, the fleet bears at
// least that much, and the finding says so.
//
// It plays no run itself and writes no file: the command "simulator capacity" does, and hands in how. What it finds is a report.Capacity.
package capacity
