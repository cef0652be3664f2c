// Package logsync decides, for one log on one device, what becomes of everything that arrives: apply it, drop it, hold it,
// or ask the server for the difference. It is the client rule of docs/protocol.md as a value: no I/O, no clock, no
// goroutine. Each input returns what is to be done, and the same inputs always give the same answers.
//
// Package client drives it, one Log for each attached log, and is its only caller. It does not know sessions, cursors on
// disk or the application; how long to wait between two connections is not decided here either.
package logsync
