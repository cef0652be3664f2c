package plan

import (
	"fmt"
	"slices"
	"time"
)

const (
	// look is how often a shard that sends sessions away is looked at.
	look = 2 * time.Second
	// evictAfter is how long after its time is over a shard is evicted. At the end of its time a shard tells all sessions that are left, with a
	// hint that spreads them; they have this long to go.
	evictAfter = 5 * time.Second
)

// drain sends the sessions of marked shards away, all together at the fleet's pace, and evicts who has none left.
func (f *fleet) drain() {
	leavers := f.pick(func(sh Shard) bool { return sh.Mark != nil && sh.Name != "" && sh.present() })
	sending, spare := 0, f.want.Drain.SessionsPerSecond
	for _, i := range leavers {
		switch sh := f.shards[i]; {
		case sh.Leaving.State == Drained:
		case sh.Leaving.State == Draining && f.timeLeft(sh) <= 0: // it goes on at its pace until it is evicted
			spare -= sh.Leaving.PerSecond
		default:
			sending++
		}
	}
	pace := spare / max(1, sending)
	if spare == f.want.Drain.SessionsPerSecond {
		pace = max(1, pace)
	}
	// Those that drain already get their new pace first: an operator that dies in between leaves the fleet slower than it may be, not faster.
	slices.SortStableFunc(leavers, func(i, j int) int {
		return first(f.shards[i].Leaving.State == Draining, f.shards[j].Leaving.State == Draining)
	})
	for _, i := range leavers {
		f.drainOne(f.shards[i], pace)
	}
}

func (f *fleet) drainOne(sh Shard, pace int) {
	left := f.timeLeft(sh)
	switch {
	case sh.hopeless():
		f.do(DeleteShard{sh.Name, false, Why("it is to leave, " + sh.state() + " and holds no session")})
	case sh.Reached && sh.Leaving.State == Drained:
		f.do(EvictShard{sh.Name, "no session is left"})
		f.again(look)
	case left <= -evictAfter:
		f.do(EvictShard{sh.Name, Why(fmt.Sprintf("its time of %s is over with %d sessions left; they have the hint", f.want.Drain.Timeout, sh.Sessions))})
		f.again(look)
	case sh.Reached && sh.Leaving.State == Draining && sh.Leaving.PerSecond == pace, left <= 0:
		f.wait(sh.Name, fmt.Sprintf("%d sessions to leave", sh.Sessions))
		f.again(min(look, left+evictAfter))
	case pace < 1:
		f.wait(sh.Name, "others whose time is over send as many sessions away as may go at once")
		f.again(look)
	default:
		f.do(BeginDrain{sh.Name, pace, left, Why(fmt.Sprintf("it is to leave (%s)", sh.Mark.Cause))})
		f.again(look)
	}
}

// timeLeft is what is left of the time that a marked shard has to send its sessions away.
func (f *fleet) timeLeft(sh Shard) time.Duration {
	return f.want.Drain.Timeout - f.now.Sub(sh.Mark.Since)
}
