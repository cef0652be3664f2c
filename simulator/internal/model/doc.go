// Package model plays a scenario in simulated time against a fleet that need not exist: the same scenario as the live engine, the same posts at the
// same moments, and the same measurements, so that the same verdict and the same report come of it.
//
// It is pure: values in, values out. It knows no clock, no file, no network and no Kubernetes; all that it knows of a real fleet is in the
// calibration that it is given. What it says is as good as that, and package forecast says how good.
//
// # The way of a post
//
//		due ─ shard of the author ─ hop ─ owner ─ quorum ─ hop ─ acknowledged
//		       (processor time)          (station) (drawn)  └ hop ─ every shard with a reader ─ sweep ─ network ─ session
//
//	  - The shard that takes the post spends processor time on it, behind whatever else it does.
//	  - The owner is a station with a server a core; each replica spends as much. A partition whose store is gone has no owner until another took over,
//	    and the shard asks again every 250 ms.
//	  - The write to a quorum takes a log-normal time whose median and spread are the calibration's.
//	  - The owner publishes one copy to each shard, one after the other, at its cost and at the network's pace.
//	  - A shard sweeps over the readers of the log. The i-th of n sessions waits for i writes at the pace of the shard's cores, or of its network if that is
//	    slower: this ramp is most of what a broadcast takes. Sweeps over several logs take turns of 2 ms, with each other and with sign-ins and posts;
//	    an event that comes while its log is being swept goes along to all whom the sweep has not reached, in the same write.
//	  - The network adds half a round trip, drawn anew for each delivery from the place of the session.
//
// A turn of a sweep is one event, however many sessions it writes to: a chunk. Input.PerSession makes every session an event of its own, to show that
// nothing hangs on it.
//
// Where posts follow from something else than a schedule (a cascade), Input.Cases has them, with the readers of each.
//
// # Cores
//
// A shard's work goes at the pace of all its cores together, as if it could always be divided among them. On shared cores (a local fleet) all shards
// that have work, and the generator, divide what the idle stores leave of the machine, and a delivery costs what it takes to receive it too.
//
// # Sessions
//
// They connect at the scenario's pace, in groups small enough to draw a curve of. A sign-in takes two round trips and the shard's processor time; a shard with
// more than half a second of sign-ins before it sends a session away and tells it when to come. Who loses his connection comes back after a pause drawn
// evenly from 0 to 0.1 s × 2ⁿ, at most 2 s, to the next shard, and gets what he missed when he is signed in.
//
// # What it does not play
//
// Unmodelled lists it for a scenario. It finds no defects of the fleet: nothing is doubled, out of order or changed in it, and what it calls lost
// is what had not come when the scenario ended.
package model
