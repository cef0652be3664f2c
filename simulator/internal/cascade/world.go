package cascade

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// Message is which of the two a post has.
type Message uint8

// The messages. In a moment that both have, the falsehood is first.
const (
	Falsehood Message = iota
	Correction
)

func (m Message) String() string { return [...]string{"falsehood", "correction"}[m] }

// MarshalText writes its name.
func (m Message) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// world is the people and channels of one seed. The coalition's channels come first. A person is a number; those of a community follow
// each other.
type world struct {
	Crowd
	seed uint64
	// The subscribers of channel i are members[first[i]:first[i+1]], ascending: 4 bytes a subscription, and nobody is in a channel twice.
	members []uint32
	first   []int
	// Those who are online always or never, and of them those who always are.
	habit, there bitset
	// The channel of the first post of each message.
	origin [2]uint32
	// By message and community, the channels that take it.
	takers [2][][]uint32
}

func newWorld(c Crowd, seed uint64) *world {
	w := &world{Crowd: c, seed: seed}
	sizes := append(w.sizes(c.Coalition, "coalition"), w.sizes(c.Outside, "outside")...)
	w.first = make([]int, len(sizes)+1)
	for i, n := range sizes {
		w.first[i+1] = w.first[i] + n
	}
	w.subscribe()
	w.acquireHabits()
	for m := range w.takers {
		w.takers[m] = make([][]uint32, c.Communities)
	}
	for i := range sizes {
		at := w.community(uint32(i))
		w.takers[Correction][at] = append(w.takers[Correction][at], uint32(i))
		if i >= c.Coalition.Count {
			w.takers[Falsehood][at] = append(w.takers[Falsehood][at], uint32(i))
		}
	}
	// Where a subscription, drawn evenly, is of: both begin in a channel as people see it, which is larger than most.
	r := rand.New(stream(seed, "origins"))
	w.origin[Correction] = w.channelOf(r.IntN(c.Coalition.Subscriptions))
	w.origin[Falsehood] = w.channelOf(c.Coalition.Subscriptions + r.IntN(c.Outside.Subscriptions))
	return w
}

// channels is how many there are of both kinds.
func (w *world) channels() int { return len(w.first) - 1 }

func (w *world) community(channel uint32) int {
	if int(channel) >= w.Coalition.Count {
		channel -= uint32(w.Coalition.Count)
	}
	return int(channel) % w.Communities
}

func (w *world) subscribers(channel uint32) []uint32 {
	return w.members[w.first[channel]:w.first[channel+1]]
}

func (w *world) channelOf(subscription int) uint32 {
	return uint32(sort.SearchInts(w.first, subscription+1) - 1)
}

// sizes draws the sizes of channels from a Pareto law without its far end, and scales them so that they sum to what is asked for. None is
// larger than a community.
func (w *world) sizes(kind Channels, name string) []int {
	uniform := distuv.Uniform{Min: math.Pow(w.SizeRatio, -w.SizeExponent), Max: 1, Src: stream(w.seed, "sizes/"+name)}
	shapes := make([]float64, kind.Count)
	for i := range shapes {
		shapes[i] = math.Pow(uniform.Rand(), -1/w.SizeExponent)
	}
	most := float64(w.perCommunity())
	at := func(scale float64) (sum float64) {
		for _, s := range shapes {
			sum += min(s*scale, most)
		}
		return sum
	}
	// The sum grows with the scale up to what Check has made sure is enough.
	low, scale := 0.0, most
	for {
		middle := (low + scale) / 2
		if middle == low || middle == scale {
			break
		}
		if at(middle) < float64(kind.Subscriptions) {
			low = middle
		} else {
			scale = middle
		}
	}
	// What rounding takes is given back, one each, to the first that have room.
	sizes, rest := make([]int, kind.Count), kind.Subscriptions
	for i, s := range shapes {
		sizes[i] = int(min(s*scale, most))
		rest -= sizes[i]
	}
	for i := 0; rest > 0; i = (i + 1) % len(sizes) {
		if sizes[i] < w.perCommunity() {
			sizes[i]++
			rest--
		}
	}
	return sizes
}

// subscribe draws the subscribers of each channel from its community: so many different ones, all as likely. They are marked in a bitset until
// there are enough, and read from it in their order.
func (w *world) subscribe() {
	n := w.perCommunity()
	w.members = make([]uint32, 0, w.first[w.channels()])
	marked := newBitset(n)
	r := rand.New(stream(w.seed, "members"))
	for i := range w.channels() {
		size := w.first[i+1] - w.first[i]
		// For more than half it takes fewer draws to say who is not.
		inverted := size > n/2
		draws := size
		if inverted {
			draws = n - size
		}
		for draws > 0 {
			if marked.set(r.Uint32N(uint32(n))) {
				draws--
			}
		}
		w.members = marked.drain(w.members, uint32(w.community(uint32(i))*n), n, inverted)
	}
}

func (w *world) acquireHabits() {
	n := w.Communities * w.perCommunity()
	w.habit, w.there = newBitset(n), newBitset(n)
	r := stream(w.seed, "habits")
	habit, there := within32(w.OnlineByHabit), within32(w.OnlineShare)
	for person := range uint32(n) {
		u := r.Uint64()
		if u>>32 < habit {
			w.habit.set(person)
		}
		if u&math.MaxUint32 < there {
			w.there.set(person)
		}
	}
}

// within32 is a probability as a bound on 32 random bits.
func within32(p float64) uint64 { return uint64(math.Round(p * (1 << 32))) }

// bitset is a set of people, a bit each: 1 MB for 8 million.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i uint32) bool { return b[i>>6]>>(i&63)&1 != 0 }

// set says whether it was not in.
func (b bitset) set(i uint32) bool {
	bit := uint64(1) << (i & 63)
	if b[i>>6]&bit != 0 {
		return false
	}
	b[i>>6] |= bit
	return true
}

// drain appends what is in the set, or of the first n what is not, each with a base added, and empties it.
func (b bitset) drain(to []uint32, base uint32, n int, inverted bool) []uint32 {
	for i, word := range b {
		b[i] = 0
		if inverted {
			word = ^word
			if rest := n - i*64; rest < 64 {
				word &= 1<<rest - 1
			}
		}
		for ; word != 0; word &= word - 1 {
			to = append(to, base+uint32(i*64+bits.TrailingZeros64(word)))
		}
	}
	return to
}
