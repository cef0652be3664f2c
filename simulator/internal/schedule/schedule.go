// Package schedule lays out the posts of a scenario before it is played: an open loop. It is pure, so the live engine, which sends them, and the
// model, which plays them in simulated time, have the same posts at the same moments.
package schedule

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
	// How many sessions read it, where the population does not say so; else 0.
	Readers int
}

// NoBroadcast is the Broadcast of a post of the chatter.
const NoBroadcast = -1

// Posts computes all posts of a scenario, in the order in which they are due. The same scenario with the same seed gives the
// same schedule. Defaults must be filled in.
func Posts(s *v1alpha1.Scenario) []Post {
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

// chatterSlices is how many slices the chatter of the measure phase is cut into where a threshold has a confidence: each is then some
// seconds of all shards, and they share little luck.
const chatterSlices = 30

// ChatterSlices cuts the measure phase into parts of which each has figures of its own for its chatter: one, or some where a threshold claims
// more than this run.
func ChatterSlices(s *v1alpha1.Scenario) (length time.Duration, n int) {
	length = s.Phases.Measure.Std()
	if slices.ContainsFunc(s.Thresholds, func(t v1alpha1.Threshold) bool { return t.Confidence > 0 }) {
		length = max(length/chatterSlices, time.Second)
	}
	return length, max(int((s.Phases.Measure.Std()+length-1)/max(length, 1)), 1)
}
