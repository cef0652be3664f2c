// Package fault breaks what a scenario says: it kills, stops and restarts processes of a local fleet and cuts or delays connections of sessions
// at their moments, and records whom it hit, what they were at that moment, and exactly when.
//
// Whether the fleet bore it well is found out elsewhere: packages poster and swarm measure the waits, package verdict judges
// them. Package live is the caller.
package fault
