package plan

import (
	"fmt"
	"math"
	"time"
)

// settledFor is how long every shard must have been ready before sessions are evened out: clients that are on their way find their place
// first.
const settledFor = 15 * time.Second

// rebalance has shards with many more sessions than the mean give some to the others. It waits until nothing else moves sessions. Only what is
// above the mean leaves, so no more sessions move than must, but for those that a chance brings to a shard that is full too.
//
// The mean is of all sessions that there were lately: those who are on their way still want a place. By those alone who are there, each round of
// sheds would call for the next where clients find no place at once, until nobody is left.
func (f *fleet) rebalance() {
	live, _ := f.count()
	if live < 2 || live != len(f.shards) || live != f.want.Shards {
		return
	}
	total := 0
	for _, sh := range f.shards {
		if !sh.Ready || !sh.Reached || sh.Leaving.State != Staying {
			if sh.Leaving.State == Shedding {
				f.wait(sh.Name, fmt.Sprintf("sheds sessions, %d held", sh.Sessions))
				f.again(look)
			}
			return
		}
		if left := settledFor - f.now.Sub(sh.ReadySince); left > 0 {
			f.again(left)
			return
		}
		total += sh.Sessions
	}
	mean := float64(max(total, f.lately)) / float64(live)
	full := f.pick(func(sh Shard) bool { return float64(sh.Sessions) > mean+tolerance(mean) })
	for _, i := range full {
		sh := f.shards[i]
		f.do(ShedSessions{sh.Name, int(math.Ceil(mean)), max(1, f.want.Drain.SessionsPerSecond/len(full)),
			Why(fmt.Sprintf("it holds %d sessions, the mean of %d shards is %.0f", sh.Sessions, live, mean))})
		f.again(look)
	}
}

// stopSheds calls sheds off where shards leave, or where the pace has become lower than theirs together: both share one pace.
func (f *fleet) stopSheds() {
	shedders := f.pick(func(sh Shard) bool { return sh.Live() && sh.Leaving.State == Shedding })
	pace := 0
	for _, i := range shedders {
		pace += f.shards[i].Leaving.PerSecond
	}
	if leavers := f.pick(func(sh Shard) bool { return sh.present() && sh.Mark != nil }); len(leavers) == 0 && pace <= max(len(shedders), f.want.Drain.SessionsPerSecond) {
		return
	}
	for _, i := range shedders {
		f.do(ReverseDrain{f.shards[i].Name, "sessions are evened out once the others have left"})
		f.shards[i].Leaving = Leaving{}
	}
}

// tolerance is how far above the mean a shard may be: a tenth, or what chance does. Sessions that choose among shards at random leave
// a shard with a standard deviation of about the root of the mean; beyond four of these it is not chance.
func tolerance(mean float64) float64 { return max(mean/10, 4*math.Sqrt(mean)) }
