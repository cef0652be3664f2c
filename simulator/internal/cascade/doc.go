// Package cascade is the social part of the scenario election-surge: a falsehood and its correction spread as posts from channel to channel, and
// people see the one or the other first. It says what a set of assumptions comes to, and how far that hangs on each of them; it measures
// nothing, and no time in it is a fleet's. What it asks of a fleet is the list of posts with their audiences, which the fleet's model plays.
//
// There are people, each of one community, and channels, each of one community too, whose subscribers are drawn from it. Some channels are a
// fact-checking coalition's; the falsehood spreads in the others, and the correction in all. The two meet in people who subscribe to both
// kinds. A channel posts each message at most once, the first time that somebody forwards it there. Of its subscribers those who are online
// see it then, the others never do in this channel. Each view is forwarded with some probability, after a reaction time, to one channel. Who
// saw the correction before the falsehood forwards the latter more rarely. In one arm the coalition's hub posts the correction to all its
// channels at once, in the other the fact-checker posts it to the own channel, from where only forwards carry it on.
//
// All chance is drawn by message and channel and not by the order of events, so that arms and delays of one seed have it in common: the same
// people are online, the same would forward, as quickly and to the same channel. An earlier correction or a hub then makes no correction
// later and no falsehood earlier, for any person whatever, which the tests hold each run to.
//
// Where the figures come from:
//
//   - Vosoughi, Roy & Aral 2018, The spread of true and false news online, Science 359: falsehoods were 70 % more likely to be retweeted.
//   - Juul & Ugander 2021, Comparing information diffusion mechanisms by matching on cascade size, PNAS 118: true and false cascades of one size
//     look alike, so that the two differ in one probability here and in nothing else.
//   - Goel, Anderson, Hofman & Watts 2016, The structural virality of online diffusion, Management Science 62: most cascades are small, and
//     what is large mostly owes it to large audiences: sizes with a heavy tail, and forward probabilities near the critical one.
//   - Hoseini et al. 2024, Characterizing information propagation in fringe communities on Telegram, ICWSM 18: forwards widen the reach
//     of posts much, and stay local. That 80 to 90 % of them do is this package's figure for it.
//   - Shao et al. 2016, Hoaxy: a platform for tracking online misinformation, WWW Companion: corrections lag by 10 to 20 hours; the longest delay
//     of the study is 13 hours.
//
// All other figures are assumptions without a source, and Default says so at each.
package cascade
