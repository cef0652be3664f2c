// Package des is a discrete-event engine: a queue of events in integer nanoseconds, named streams of random numbers, and stations that
// serve. It knows nothing of chat; package model is made of it.
//
// # Determinism
//
// The same seed gives the same bytes, on any number of cores and on any architecture that Go compiles for:
//
//   - Time is whole nanoseconds (time.Duration since the start), and nothing here looks at a clock.
//   - Events of the same moment come out in the order in which they were put in.
//   - A stream of random numbers is split from one seed by its name, so that what one part draws does not move what another part gets.
//   - A compiler may fuse x*y + z into one instruction that rounds once, and on some architectures it does. The language forbids that across an
//     explicit conversion, so products that are added to stand in float64(…) here, and who computes with these numbers does the same.
//   - math.Exp and math.Log are written in assembly for some architectures and differ in their last bit; Exp and Ln here do not.
//
// An engine is used by one goroutine. Runs of different seeds are independent of each other.
package des
