// Package calibrate finds what the model computes with: it runs a designed grid of scenarios against fleets on this machine, fits the model's
// coefficients to what they showed, and holds the fit against the largest sizes, which it did not see. The command `simulator calibrate` calls it; what
// comes of it is a calibration (package calibration) and a report of how good it is.
//
// # The grid
//
// A point is one run: a fleet of its own, sessions that stay connected, and broadcasts of several sizes of payload that take turns, or chatter in
// channels up to rates that the cores cannot take. Broadcasts to one population are repeats, and the median of them is the figure. The order is random, what is
// held out among the rest, since a machine's pace drifts. A run is written down as it ends (ObservationsFile), so that a grid can be stopped at any moment. One in which
// anybody else used the cores is no sample and is run again.
//
// # The fit
//
// Least squares on the logarithms of all figures of all fitted runs (times of broadcasts, of chatter and of acknowledgements; deliveries a second; processor
// time of stores, shards and generator), each in its tolerance, with the model itself as the forward function: what is played is the scenario that was run, with its seed. The method is
// Levenberg's and Marquardt's with Huber's loss and a weak pull towards the values that it begins with, so that what the figures do not tell apart stays
// where it was. It draws nothing: the same observations give the same coefficients.
//
// Their intervals are from a bootstrap over the runs, since what happens within one is correlated; each resample is fitted by one step of the problem that is
// linear at the optimum.
//
// # The hold-out
//
// Runs of the largest sizes are never part of a fit: Run and FitUSL refuse them. Measured is the median of the runs of a size, each the median of its broadcasts.
// The errors go into the calibration, and from there into the interval and the grade of every forecast.
//
// The Universal Scalability Law is fitted to the same broadcasts as a check by other means: it knows only how many sessions there are.
package calibrate
