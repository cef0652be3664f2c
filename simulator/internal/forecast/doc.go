// Package forecast answers with the model: it plays a scenario with some seeds, moves each input to see what hangs on it, says how far all that is from
// what was measured, and makes of it a run to be judged and reported like one with real sockets.
//
// # How good an answer is
//
// The 95 % interval of an answer has three parts. Each coefficient is moved by one standard error, the scenario is played again with the same random
// numbers, and the squares of what that changes (in logarithms, since costs multiply) are added up, as if the errors were independent of each other. The
// spread over the seeds is added to them. And the ends are moved outwards by what the model itself was wrong by at its worst on runs that its fit did not
// see; a calibration without such runs says what it takes for that.
//
// The grade says how far the scenario is from what was measured, in the dimension in which it is farthest: A, within; B, up to 4 times; C, up to 20 times;
// D, further. A calibration without held-out runs is D at best, since nobody knows whether the model is any good; one whose worst held-out error is above
// 15 % loses a grade. What is D is indicative: it may fail, and never passes.
//
// # Cascades
//
// Of a scenario with a cascade each seed has other people, whose posts are the load: what they come to is played for both arms and all delays, each by itself. What
// people do is assumed, and stays apart from what the fleet takes: the intervals of who sees what first are over seeds and say nothing of the fleet, and those of
// times are the fleet's. To see whether the latter matter for the former, all people act once more with every delivery as late as the fleet's slowest thousandth.
package forecast
