// Package measure holds what a run counts while it goes: latency histograms, counters over time, and the heat map of
// latency against time. Every type here has a useful zero value, merges exactly (the sum of the workers is the same as
// one worker that saw everything), travels as JSON from worker to coordinator and into report.json, and bounds its
// memory whatever it is fed.
//
// It judges nothing (package verdict does) and draws nothing (package report does). The swarm, the poster and the live
// engine fill these types; none of them is safe for concurrent use, so each goroutine fills its own and the owner merges.
package measure

// MaxGroups is how many kinds of posts a run can tell apart, each broadcast being one: every worker keeps figures for each, and a histogram
// takes some tens of KiB.
const MaxGroups = 4096
