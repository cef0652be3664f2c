package poster

import (
	"cmp"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// Post is one entry of a schedule.
type Post struct {
	// From the start of the warm-up.
	Due time.Duration
	// The channel: 0 is the broadcast channel, those of the chatter begin at 1.
	Log int
	// The size of its content.
	Bytes int
	// The number of the broadcast that this is, from 0, or NoBroadcast.
	Broadcast int
	// When a delivery counts as late, from Due; 0 if never.
	DeliverWithin time.Duration
}

// NoBroadcast is the Broadcast of a post of the chatter.
const NoBroadcast = -1

// Schedule computes all posts of a scenario, in the order in which they are due. The same scenario with the same seed gives the
// same schedule. Defaults must be filled in.
func Schedule(s *v1alpha1.Scenario) []Post {
	posts := chatter(s)
	posts = append(posts, broadcasts(s)...)
	slices.SortStableFunc(posts, func(a, b Post) int { return cmp.Compare(a.Due, b.Due) })
	number := 0
	for i := range posts {
		if posts[i].Broadcast != NoBroadcast {
			posts[i].Broadcast = number
			number++
		}
	}
	return posts
}

func broadcasts(s *v1alpha1.Scenario) []Post {
	var posts []Post
	for _, b := range s.Broadcasts {
		for _, at := range b.Moments() {
			posts = append(posts, Post{
				Due: s.Phases.Warmup.Std() + at, Log: 0, Bytes: int(b.MessageBytes), DeliverWithin: b.DeliverWithin.Std(),
			})
		}
	}
	return posts
}

func chatter(s *v1alpha1.Scenario) []Post {
	c := s.Chatter
	if c == nil || s.Population.Channels == 0 {
		return nil
	}
	// Two streams, so that another way to arrive does not change who speaks.
	arrivals, channels := stream(s.Seed, "chatter arrivals"), stream(s.Seed, "chatter channels")
	gap := func() float64 { return 1 }
	if c.Arrivals != v1alpha1.Constant {
		gap = arrivals.ExpFloat64
	}
	end := s.ChatterEnds()
	var posts []Post
	for n := gap(); ; n += gap() {
		// n is the moment in units of the mean distance: no error adds up.
		due := time.Duration(n / c.RatePerSecond * float64(time.Second))
		if due >= end {
			return posts
		}
		posts = append(posts, Post{
			Due: due, Log: 1 + channels.IntN(s.Population.Channels), Bytes: int(c.MessageBytes),
			Broadcast: NoBroadcast, DeliverWithin: c.DeliverWithin.Std(),
		})
	}
}

// stream splits a named stream of random numbers from the seed.
func stream(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// randomID is the id under which post number n of a run is repeated. It is never 0.
func randomID(seed, run uint64, n int) uint64 {
	return max(1, mix(mix(seed^mix(run))+uint64(n)))
}

// mix is the finalizer of splitmix64 (Steele, Lea and Flood, 2014): a bijection, so ids of one run never meet.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// pacer follows a schedule. It waits inside of Pace, not by the duration that it returns, since vegeta sleeps for that deaf to
// everything else: a run that is interrupted would go on until the next post is due.
type pacer struct {
	posts []Post
	start int64 // by clock
	clock func() int64
	sleep func(time.Duration) bool // false: stop
}

// Pace returns when the post after the first hits is due, or stops.
func (p *pacer) Pace(_ time.Duration, hits uint64) (time.Duration, bool) {
	if hits >= uint64(len(p.posts)) {
		return 0, true
	}
	return 0, !p.sleep(time.Duration(p.start + int64(p.posts[hits].Due) - p.clock()))
}

// Rate returns the posts a second that are due around a moment.
func (p *pacer) Rate(at time.Duration) float64 {
	const window = time.Second
	from, _ := slices.BinarySearchFunc(p.posts, at-window/2, func(post Post, t time.Duration) int { return cmp.Compare(post.Due, t) })
	to, _ := slices.BinarySearchFunc(p.posts, at+window/2, func(post Post, t time.Duration) int { return cmp.Compare(post.Due, t) })
	return float64(to-from) / window.Seconds()
}
