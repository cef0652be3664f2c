// Package load keeps a fleet busy while something happens to it, as its users do, and knows afterwards what every one of them should have seen: real
// sessions of the public client, posts at times that were set beforehand, and an audit over what was acknowledged, what the logs hold and what
// each device was given.
//
//   - ledger.go: the audit, pure
//   - load.go: sessions, posts, and the end
//   - devices.go: what one device notes
//
// It is for the end-to-end tests. The simulator drives far more sessions, but begins and ends with its scenario; this one begins and ends with what a test does.
package load
