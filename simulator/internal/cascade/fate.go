package cascade

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// fate is what a post of a message in a channel comes to, whenever it is posted: who is online to see it, and whose views may be forwarded.
type fate struct {
	viewers  []uint32
	forwards []forward
}

// forward is a view that is forwarded, if need be only by one who was not forewarned.
type forward struct {
	by, to uint32
	// Even if he was.
	anyway bool
	after  time.Duration
}

// fates is those of one seed, drawn when they are first asked for. They do not depend on arms and delays, which therefore share them. It is
// for one goroutine.
type fates struct {
	*world
	Spread
	drawn [2][]*fate
}

func newFates(w *world, s Spread) *fates {
	f := &fates{world: w, Spread: s}
	for m := range f.drawn {
		f.drawn[m] = make([]*fate, w.channels())
	}
	return f
}

func (f *fates) of(m Message, channel uint32) *fate {
	if f.drawn[m][channel] == nil {
		f.drawn[m][channel] = f.draw(m, channel)
	}
	return f.drawn[m][channel]
}

// draw takes one number a subscriber: half of its bits say whether he is online, half whether he would forward. What else a forward
// takes has a stream of its own, so that a change of one probability leaves everything else as it was.
func (f *fates) draw(m Message, channel uint32) *fate {
	name := fmt.Sprintf("%s/%d", m, channel)
	views, ways := stream(f.seed, "views/"+name), stream(f.seed, "forwards/"+name)
	forwards := f.ForwardTrue
	if m == Falsehood {
		forwards *= f.FalseFactor
	}
	online, would, anyway := within32(f.OnlineShare), within32(forwards), within32(forwards*f.Forewarned)
	subscribers := f.subscribers(channel)
	out := &fate{viewers: make([]uint32, 0, int(1.1*f.OnlineShare*float64(len(subscribers)))+8)}
	for _, person := range subscribers {
		u := views.Uint64()
		sees := u>>32 < online
		if f.habit.has(person) {
			sees = f.there.has(person)
		}
		if !sees {
			continue
		}
		out.viewers = append(out.viewers, person)
		if chance := u & math.MaxUint32; chance < would {
			if to, ok := f.target(m, channel, rand.New(ways)); ok {
				out.forwards = append(out.forwards, forward{person, to, chance < anyway, f.reaction(ways)})
			}
		}
	}
	return out
}

// target draws the channel that a forward goes to, among those that take the message, each as likely: of this community or of the others,
// and not where it comes from. It is false if there is none.
func (f *fates) target(m Message, from uint32, r *rand.Rand) (uint32, bool) {
	home := f.community(from)
	inside := r.Float64() < f.Inside || f.Communities == 1
	for range 64 { // One will do, unless hardly a channel but this one takes the message.
		community := home
		if !inside {
			community = r.IntN(f.Communities - 1)
			if community >= home {
				community++
			}
		}
		takers := f.takers[m][community]
		if len(takers) == 0 {
			continue
		}
		if to := takers[r.IntN(len(takers))]; to != from {
			return to, true
		}
	}
	return 0, false
}

// reaction draws the time from a view to its forward.
func (f *fates) reaction(r rand.Source) time.Duration {
	d := distuv.LogNormal{Mu: math.Log(float64(f.ReactionMedianNs)), Sigma: f.ReactionSigma, Src: r}.Rand()
	if !(d < float64(math.MaxInt64)/4) {
		return math.MaxInt64 / 4 // centuries; and the sum with a moment still is a moment
	}
	return time.Duration(d)
}
