// Package poster posts a schedule to a fleet over HTTP, open loop: when each post is due was decided before the run, and a fleet
// that answers late is not waited for.
//
// The schedule is a pure function of the scenario and its seed. vegeta keeps the time and the workers; a post's way through
// dying shards and changing owners is a RoundTripper of ours, which repeats it with the same random id until it is
// acknowledged or its deadline is over, so that killing a process never loses a post in silence. What became of each post,
// and when, is kept for every single one.
//
// It receives nothing (package swarm does) and does not look whether the fleet has kept what it acknowledged (package history
// does). Package live calls it.
package poster
