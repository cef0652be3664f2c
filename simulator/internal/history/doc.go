// Package history finds out what a fleet's logs really hold, by reading them over HTTP to the end, and whether that is what the
// fleet acknowledged.
//
// It is one of the two ends of the account of a run: package swarm says what sessions were given, package poster what was
// acknowledged, and the lists that are read here decide who is right. So it shares no code with either, nor with package client.
// Package live calls it.
package history
