// Package gateway is the door for clients: one http.Handler that shakes hands with WebSocket clients and passes their connections
// on, and serves the methods that need no session over HTTP, with connect. Where the engine can, it waits for what a connection says first, and plain handshakes
// are agreed to without the HTTP server (see opening).
//
// It knows HTTP and nothing of logs: what a request does is package shard's business, which it reaches by the interface
// Shard. Package node is its one caller.
package gateway
