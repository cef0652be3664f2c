// Package swarm is a crowd of subscribers: tens of thousands of real WebSocket sessions in one process, each of which
// follows its logs by the rule for clients (cursors, gaps, differences, reconnects) and accounts for every event that it
// should have seen. It is at once the load and the checker, so it shares no code with package client: what the client
// gets wrong, the swarm must be able to see.
//
// A few loops (Config.Loops) share the sessions. A loop is one goroutine around one epoll instance, with its sessions and
// their cursors in dense arrays: no goroutine, timer or per-read allocation a connection. Nothing is shared between loops
// while they run; what they measured is merged when they have ended.
//
//	loop.go, connect.go, read.go   sockets: pacing, handshake, frames, reconnects
//	book.go, difference.go         the client rule and its accounting, with no socket in sight
//	meter.go                       latencies by group of posts, series, heat map
//	verify.go                      the judgement at the end, against what the logs really hold
//
// Package worker runs a swarm in a process of its own; the live engine drives the workers. The swarm gives no verdict.
package swarm
