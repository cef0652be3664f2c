// Package owner is the one writer of a partition: the place that gives every event its position and its place in the stream.
//
// The store that leads a partition's log stream runs an Owner for it (package bus decides when). An owner works in terms. A
// term begins with a take-over: read the newest checkpoint, then the stream's tail behind it. From then on, on a single
// goroutine, commands become events (package chatlog), events are appended, pipelined, each expecting the sequence of the one
// before it, and what the stream acknowledges is answered and announced live. The first outcome that is not the expected one
// ends the term; the next begins by reading what is really there.
//
// # Why nothing is lost, doubled or out of order
//
// The fence: an append names the stream's last sequence, and the stream refuses it if that is not so. Whoever appends has
// therefore seen everything before. Only what is acknowledged is answered or announced. What is unknown at the end of a term is
// neither; if it reached the stream, the next take-over finds it there, and the repeat of its command finds it among the
// recent ids.
//
// The chain: appends are pipelined, so the fence alone would leave a gap. A stopped owner that goes on may have events 1 and 2
// on the way; if another owner appended exactly one event meanwhile, 1 is refused, but 2 now names the right sequence and
// is stored, without 1. So every event names the term that wrote it, and the first of a term the term before it. An event
// whose predecessor in the stream is not the one its writer meant is void: every reader of the stream (a take-over) sees that
// from the stream alone and passes over it. Its writer never answered for it, because the refusal of 1 ended its term.
//
// # What is refused, and what is read
//
// Only an append has that fence: what a term says without one is as good as the tail that it has read. So a take-over asks the stream's leader
// where the tail ends, and believes no replica that has less. An append of the owner before may still arrive behind that. Until the term
// has an event of its own in the stream, it asks again before it refuses anything, and with every tick; if there is more, the term ends.
//
// # State and checkpoints
//
// A log's state is kept in memory while it is in use and, as a snapshot, in the partition's state stream. A checkpoint
// (seq) says that every log's snapshot holds at least its events up to seq; so a log without an event in the tail behind the checkpoint
// is exactly what its snapshot says, and the log stream, whose blocks may be cold, is not touched to load it. Snapshots are
// made only of acknowledged events. A reader of the state stream takes no replica that is behind the checkpoint that it
// began with; an older checkpoint is as good, its tail is longer. Snapshots and checkpoints carry the revision that they replace, so a
// stopped owner that goes on cannot put an old one over a new one.
//
// # What one partition tells another
//
// Who has joined a channel stands in the users' own logs, and the channel has a count. Each partition keeps a tally for each channel: how many
// of its users have joined, as of a sequence of its stream. A tally is a fold of acknowledged events, kept by snapshots like a log's state,
// so a crash neither doubles nor loses anything in it. It is told to the channel's owner as a whole, not as a difference: of two tallies of a
// partition the newer is true, so repeats, delays and disorder change nothing. The channel's state keeps one tally a partition, and no
// event says so. A ban is told to the banned user's own log in the same way, which notes that he has left, unless he was let in again at a later
// position.
//
// What is to be told stands in the checkpoint, else in the tail behind it, until the other side says that it is kept for good: that a
// snapshot with it stands before a checkpoint which that owner has written. A term replaces the newest checkpoint by itself (the
// claim) and then reads tallies only from replicas that have the claim: whatever was kept before is there. A stopped owner that goes on cannot
// write a checkpoint after that. If it stores a snapshot, who replaces it takes over the newer tallies in it, so none is ever replaced by an
// older one. Of a partition that is restored to an earlier state (a newer epoch) a tally replaces the old epoch's with the next join
// or leave; until then the channel counts what it was told before.
//
// # Reading
//
// Each event points back to the log's event before it, and to its last event at a multiple of chatlog.SkipEvery: a difference
// needs no index, and its cost does not grow with the partition.
package owner
