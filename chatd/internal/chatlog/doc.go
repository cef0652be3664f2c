// Package chatlog is what a log is: the state that its events add up to, and the rules by which a command becomes the next
// event.
//
// It is pure. A State is the fold of a log's events; Decide looks at a State and a Command and answers with the next Event,
// or with the position of the event that the command already became, or with an error; Apply folds an Event in. Nothing here
// does I/O, knows NATS, or reads a clock. The owner of a partition calls it (package owner), on one goroutine a partition;
// nobody else decides what is appended to a log.
//
// The fold is deterministic: every event is a complete account of what it changed, so that any owner that folds the same
// events has the same state. Snapshots are the State marshalled as wire.LogState.
package chatlog
