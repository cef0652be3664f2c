// Package live is the live engine: it carries a scenario out against a real fleet, with real sockets and real posts, and comes
// back with the measurements.
//
// It puts together what others do. A run has these phases:
//
//	prepare    the fleet is ready; channels are made
//	connect    sessions connect and sign in
//	warm-up    the chatter runs and is not measured
//	measure    chatter, broadcasts and faults, measured
//	settle     nothing is posted; what is under way may arrive
//	finish     the logs are read to their heads, and everybody's account is held against them
//
// It gives no verdict (package verdict does) and writes no report (package report). The command "simulator run" calls it.
package live
