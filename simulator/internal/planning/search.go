package planning

import (
	"math"
	"sort"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/model"
)

// smallest finds a number from 1 to MostShards with which it is so and with one less it is not, by bisection; it is taken to be so with MostShards. Which numbers are
// looked at hangs on the answers alone, so who is content with fewer at every number is never given more, also where what is so is not so with every greater number.
func smallest(ok func(n int) (bool, error)) (int, error) {
	fails, holds := 0, MostShards
	for holds-fails > 1 {
		n := fails + (holds-fails)/2
		so, err := ok(n)
		if err != nil {
			return 0, err
		}
		if so {
			holds = n
		} else {
			fails = n
		}
	}
	return holds, nil
}

// cost is the processor time of a shard for one session of a broadcast, in seconds, as the model computes it.
func (q Question) cost() float64 {
	w := q.seconds(calibration.Write)
	base := w
	if q.Pod.TLS {
		base *= q.Calibration.Get(calibration.TLS).Value
	}
	return max(base+float64(q.MessageBytes-measuredBytes)*q.seconds(calibration.Byte), base/2)
}

// pings is the processor time of a shard for the pings of so many sessions, in cores.
func (q Question) pings(sessions float64) float64 {
	return sessions * q.seconds(calibration.Ping) / model.PingEvery.Seconds()
}

// pace is how many cores a shard with so many sessions has for all else, as the model computes it: pings take half of them at most.
func (q Question) pace(sessions float64) float64 {
	return max(q.Pod.Cores-q.pings(sessions), q.Pod.Cores/2)
}

// measuredBytes is the size of the posts that a write was measured with.
const measuredBytes = 200

// wireBytes is what the network carries of a broadcast for one session.
func (q Question) wireBytes() float64 {
	return float64(q.MessageBytes) + q.Calibration.Get(calibration.Frame).Value
}

// each is how long a shard with so many sessions takes for one of them in a broadcast, in seconds: the slower one of cores and network.
func (q Question) each(sessions float64) float64 {
	return max(q.cost()/q.pace(sessions), q.wireBytes()/float64(q.Pod.NetworkPerSecond))
}

// quickest is the number of shards beyond which more are slower, since the owner publishes to one after the other. With so many no shard has pings to speak of.
func (q Question) quickest() int {
	publish := max(q.seconds(calibration.Copy), q.wireBytes()/float64(q.Pod.NetworkPerSecond))
	return int(min(max(math.Sqrt(float64(q.Subscribers)*q.each(0)/publish), 1), MostShards))
}

// shardsForTime finds how many have to be left so that the model meets the objective with headroom; 0 if none do, and then the time with the most that make
// sense.
func (q Question) shardsForTime() (left int, best time.Duration, err error) {
	allowed, most := q.allowed(q.Objective.Within), q.quickest()
	left, err = smallest(func(n int) (bool, error) {
		if n >= most {
			return true, nil // More would not help, whether or not that is enough.
		}
		if h := q.byHand(n); tooLong(max(h.Cores, h.Network), allowed) {
			return false, nil
		}
		takes, err := q.timeWith(n)
		return takes < allowed, err
	})
	if err != nil || left < most {
		return left, 0, err
	}
	if best, err = q.timeWith(most); best >= allowed {
		left = 0
	}
	return left, best, err
}

const (
	// patience is how much processor time for sign-ins may wait before a shard sends sessions away, and pauseBase and pauseMost are what a session waits at most
	// before it tries the next one (simulator/internal/model).
	patience             = 500 * time.Millisecond
	pauseBase, pauseMost = 100 * time.Millisecond, 2 * time.Second
	// farOut is how many standard deviations of its logarithm the way of a session that is hardly ever farther away lies above the median; z99 is the 99th percentile.
	farOut, z99 = 4, 2.326
)

// returnAtMost is how long it takes, at most, until the sessions of the lost shards are signed in on those that are left. A play is no good for a search: who comes
// back when is drawn, and with one session more all is drawn anew.
func (q Question) returnAtMost(left int) time.Duration {
	var pauses time.Duration
	for k := range q.Lose + 1 { // The next shard may be lost as well.
		pauses += min(pauseBase<<min(k, 10), pauseMost)
	}
	var trip time.Duration
	for _, p := range q.Places {
		sigma := math.Log(float64(p.RoundTripP99)/float64(p.RoundTrip)) / z99
		trip = max(trip, time.Duration(float64(p.RoundTrip)*math.Exp(farOut*sigma)))
	}
	lost := ceil(q.Subscribers, left+q.Lose) * int64(q.Lose)
	work := time.Duration(float64(ceil(lost, left)) * q.seconds(calibration.SignIn) / q.pace(float64(ceil(q.Subscribers, left))) * float64(time.Second))
	// Who is sent away comes again when what waits is done, and up to as long again and the way after that: so a shard may have nothing to do for half of the time.
	takes := pauses + 3*time.Duration(q.Lose+1)*trip + 2*work + 2*patience
	if work > patience {
		turns := math.Ceil(float64(work) / float64(patience))
		takes += time.Duration(turns) * 3 * trip
		// Who is sent from one shard to the next comes to the lost ones again and again.
		takes += time.Duration(math.Ceil(2*turns/float64(left))) * time.Duration(q.Lose) * pauseMost
	}
	return takes
}

// shardsForReturn is how many have to be left so that all sessions of those that are lost are back in time; 0 if no number is enough.
func (q Question) shardsForReturn() int {
	allowed := q.allowed(q.BackWithin)
	left := sort.Search(MostShards, func(n int) bool { return q.returnAtMost(n+1) < allowed }) + 1
	if left > MostShards {
		return 0
	}
	return left
}

// tooLong says that the least that something can take, by hand, is so far above what is allowed that a play would say the same. The tenth is for the nanoseconds
// that the model rounds to.
func tooLong(least, allowed time.Duration) bool { return least-least/10 > allowed }
