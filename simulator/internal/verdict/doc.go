// Package verdict judges a run: measurements and thresholds in; a verdict, its reasons and an exit code out. It is pure:
// no clock, no randomness that is not seeded, no input or output, so that a verdict can be made again from report.json.
//
// # The verdict
//
// The first rule that holds decides:
//
//  1. Fail: a process of the fleet ended by itself, or a correctness threshold (lost, duplicate, unordered, missingAcknowledged) was missed. That an event came twice is
//     a fact whatever the clock, the generator or the cores did.
//  2. Inconclusive: the fleet could not be reached, the run was interrupted, or a clock stepped. Every time that was measured
//     is then in doubt, those that the generator's health is read from included.
//  3. GeneratorUnhealthy: neither pass nor fail, since nobody knows what a healthy generator would have seen.
//  4. Fail: another threshold was missed.
//  5. Inconclusive: a worker was lost (its sessions are not in the figures), the generator's health was not measured, a
//     threshold has too few samples or its error straddles the bound, or there is no threshold.
//  6. Pass.
//
// A threshold without samples is inconclusive, never a pass. Making any measurement worse never turns another verdict into a
// pass.
//
// # Error, and cores that are shared
//
// A latency that was measured is value ± error. A time threshold passes if value + error is below the bound, is missed if
// value − error is not, and is inconclusive between. Every end on its own healthy cores and one clock: the error is 0.
// Two clocks add half the width of the interval in which their offset lies, to what has its ends on both.
//
// The generator's health is two p99.9s against the tightest time bound of the run: the send lag (what was due and when it was
// sent), and the hiccup probe (when nothing in particular wanted to run and when it did). On cores of its own each may be 5 %.
//
// When the fleet runs on the same cores, the send lag is held to the same 5 %: a generator that is late does not offer the
// load that the scenario says, whatever the reason. The probe is not. On a few cores a broadcast to thousands of sockets keeps
// every core busy for as long as it lasts, at both ends at once, and the probe then shows that the machine was busy, not that
// the generator was ill. Its delay is also of known sign: a receiver that runs late notes an arrival late, so the latency is
// overstated and never understated. So the probe's p99.9 becomes a part of the error: a pass is a pass in spite of it, a
// latency that is over the bound by less than it is inconclusive, and beyond a quarter of the tightest bound it says too
// little and the generator is unhealthy after all.
//
// A change that was estimated from pairs of blocks (slowReaderEffect) is such a value too, and its 95 % interval the error. It fails only if
// all of the interval lies beyond the bound: chance alone does that one time in forty. It passes if the change is within the bound and the
// interval narrow enough that a change as large as the bound would have shown. Between, and where the interval is wider, it is
// inconclusive, and the reason says how many pairs it would take. slowReaderEffectUpper claims more, that the change is below the bound for
// all that the pairs say: it passes if all of the interval is.
//
// What was modelled has no generator and one clock. Its error is the prediction interval, as a share of each time, and a bound inside of the interval is
// inconclusive; what is only indicative never passes (rule 5), but fails where the whole interval is beyond the bound.
//
// late and lateShare are counts and have no error: they count a delivery as it was measured, overstated or not.
//
// Not in it: what the fleet would have done on cores of its own. A run that shares its cores is labelled so.
//
// # This run and the next
//
// Without confidence a threshold is about this run, of which every delivery was counted: nothing was sampled, so there is
// nothing to be confident about. With confidence c it claims the percentile p of the next run too, and needs: at least
// ln(1−c)/ln(p) samples, the number at which not to see a miss by luck has a probability below 1−c (2,995 for p99.9 at 95 %);
// at least MinBlocks blocks, since deliveries of one broadcast at one shard share their luck; and the bound held in a share of
// at least c of the bootstrap's samples of whole blocks.
package verdict
