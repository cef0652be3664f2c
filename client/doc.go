// Package client is the Go client of a chatfleet fleet: one [Client] is one device of one user, over as many connections as
// it takes. It signs in, attaches logs, and hands each log's events to the application once, in order and without holes,
// whatever the network does; it posts, and repeats a post until the fleet has said what became of it.
//
// The application keeps nothing but its own data and, through a [CursorStore], how far it has come in each log. An update
// counts as handled when the log's handler has returned; only then its cursor is kept. A program that crashes between the
// two gets the update again at its next start. Who wants it exactly once through crashes too keeps the cursor in the same
// transaction as the data: see [CursorStore].
//
// A slow handler costs its own log only: what does not fit into its queue is not kept, but read from the log again once
// there is room. Memory is bounded, nothing is lost, and other logs do not wait.
//
// The package speaks the protocol of docs/protocol.md and nothing else; it knows no terminal, no user interface and no
// local message store. The simulator's subscribers do not use it, and its checker must not.
package client
