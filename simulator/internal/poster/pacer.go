package poster

import (
	"cmp"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

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
	posts []schedule.Post
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
	from, _ := slices.BinarySearchFunc(p.posts, at-window/2, func(post schedule.Post, t time.Duration) int { return cmp.Compare(post.Due, t) })
	to, _ := slices.BinarySearchFunc(p.posts, at+window/2, func(post schedule.Post, t time.Duration) int { return cmp.Compare(post.Due, t) })
	return float64(to-from) / window.Seconds()
}
