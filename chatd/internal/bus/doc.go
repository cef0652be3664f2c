// Package bus embeds NATS: it carries the partitions' streams between the stores, and requests, live events and digests
// between stores and shards.
//
// A Store runs a server with JetStream, clustered with the other stores, makes the partitions' streams, and runs an
// owner.Owner for each partition that it leads. A Shard runs a server without JetStream that joins the stores as a leaf node. A
// Local joins the two in one process. All that chatd knows of NATS is in this package: its callers see owners, events and
// requests.
//
// Subjects, for a region and a partition:
//
//	log.<region>.<partition>.<log>    events, stream LOG-<region>-<partition>
//	state.<region>.<partition>.<log>  snapshots, stream STATE-<region>-<number>, for several partitions each: see layout
//	own.<region>.<partition>          requests to the partition's owner
//	live.<region>.<partition>.<log>   stored events, as they happen
//	digest.<region>.<partition>       which logs have moved
//	say.<region>.<partition>.<log>    what a shard tells the others and nobody stores (typing), to one of the stores, which says it again on
//	soft.<region>.<partition>.<log>   for the shards that have the log open
//	revoked.<region>.<hash>           revoked tokens, stream REVOKED-<region>
//	own.<region>.revoked              requests to the store that leads that list
//	digest.<region>.revoked           how far that list is
//	room.<region>                     whether a store's volume has room, to the other stores
package bus
