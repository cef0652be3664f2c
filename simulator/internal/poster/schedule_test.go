package poster

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

func scenario() *v1alpha1.Scenario {
	seconds := func(n int) v1alpha1.Duration { return v1alpha1.Duration(time.Duration(n) * time.Second) }
	return &v1alpha1.Scenario{
		Seed:       7,
		Population: v1alpha1.Population{Subscribers: 10, Channels: 5},
		Phases:     v1alpha1.Phases{Warmup: seconds(10), Measure: seconds(90)},
		Chatter:    &v1alpha1.Chatter{Arrivals: v1alpha1.Poisson, RatePerSecond: 50, MessageBytes: 200},
		Broadcasts: []v1alpha1.Broadcast{
			{Schedule: v1alpha1.Schedule{At: seconds(5), Every: seconds(10), Count: 3}, MessageBytes: 500, DeliverWithin: seconds(1)},
			{Schedule: v1alpha1.Schedule{At: seconds(7)}, MessageBytes: 100},
		},
	}
}

func TestScheduleIsAFunctionOfTheSeed(t *testing.T) {
	a, b := Schedule(scenario()), Schedule(scenario())
	if !slices.Equal(a, b) {
		t.Error("the same scenario gave two schedules")
	}
	other := scenario()
	other.Seed = 8
	if slices.Equal(a, Schedule(other)) {
		t.Error("another seed gave the same schedule")
	}
	// What is added does not move what was there.
	more := scenario()
	more.Broadcasts = nil
	alone := Schedule(more)
	a = slices.DeleteFunc(a, func(p Post) bool { return p.Broadcast != NoBroadcast })
	if !slices.Equal(a, alone) {
		t.Error("the chatter depends on the broadcasts")
	}
}

func TestScheduleOfBroadcasts(t *testing.T) {
	var got []Post
	for _, p := range Schedule(scenario()) {
		if p.Broadcast != NoBroadcast {
			got = append(got, p)
		}
	}
	s := time.Second
	want := []Post{
		{15 * s, 0, 500, 0, s}, {17 * s, 0, 100, 1, 0}, {25 * s, 0, 500, 2, s}, {35 * s, 0, 500, 3, s},
	}
	if !slices.Equal(got, want) {
		t.Errorf("broadcasts %+v\nwant %+v", got, want)
	}
}

// 100 s at 50 a second: 5,000 arrivals with a standard deviation of √5,000, and gaps whose deviation is their mean.
func TestPoissonArrivals(t *testing.T) {
	s := scenario()
	s.Broadcasts = nil
	posts := Schedule(s)
	if n := float64(len(posts)); math.Abs(n-5000) > 5*math.Sqrt(5000) {
		t.Errorf("%v posts, want about 5,000", n)
	}
	var sum, squares float64
	for i := 1; i < len(posts); i++ {
		gap := (posts[i].Due - posts[i-1].Due).Seconds()
		sum += gap
		squares += gap * gap
	}
	mean := sum / float64(len(posts)-1)
	deviation := math.Sqrt(squares/float64(len(posts)-1) - mean*mean)
	if math.Abs(deviation/mean-1) > 0.1 {
		t.Errorf("gaps of mean %v and deviation %v; those of a Poisson process are equal", mean, deviation)
	}
	used := map[int]int{}
	for _, p := range posts {
		used[p.Log]++
	}
	for log := 1; log <= 5; log++ {
		if used[log] < 800 || len(used) != 5 {
			t.Errorf("posts by channel: %v", used)
		}
	}
}

func TestConstantArrivals(t *testing.T) {
	s := scenario()
	s.Broadcasts, s.Chatter.Arrivals, s.Chatter.RatePerSecond = nil, v1alpha1.Constant, 4
	posts := Schedule(s)
	for i, p := range posts {
		if p.Due != time.Duration(i+1)*250*time.Millisecond {
			t.Fatalf("post %d is due at %s", i, p.Due)
		}
	}
	if len(posts) != 399 {
		t.Errorf("%d posts, want one each 250 ms within 100 s", len(posts))
	}
}

func TestRandomIDsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, run := rapid.Uint64().Draw(t, "seed"), rapid.Uint64().Draw(t, "run")
		seen := map[uint64]int{}
		for n := range 1000 {
			id := randomID(seed, run, n)
			if other, ok := seen[id]; ok || id == 0 {
				t.Fatalf("posts %d and %d have the id %d", n, other, id)
			}
			seen[id] = n
		}
	})
}

// The pacer lets post n go when it is due by the clock, late ones at once, and says how many are due around a moment.
func TestPacer(t *testing.T) {
	now := int64(1000)
	var slept []time.Duration
	p := &pacer{
		posts: []Post{{Due: 0}, {Due: 100}, {Due: 200}}, start: 1000,
		clock: func() int64 { return now },
		sleep: func(d time.Duration) bool { slept = append(slept, d); now += max(0, int64(d)) + 150; return true },
	}
	for n := range uint64(3) {
		if wait, stop := p.Pace(time.Hour, n); wait != 0 || stop {
			t.Errorf("post %d: wait %v, stop %v", n, wait, stop)
		}
	}
	if want := []time.Duration{0, -50, -100}; !slices.Equal(slept, want) {
		t.Errorf("slept %v, want %v", slept, want)
	}
	if _, stop := p.Pace(0, 3); !stop {
		t.Error("it goes on after the last post")
	}
	if rate := p.Rate(0); rate != 3 {
		t.Errorf("rate %v around the start, want 3", rate)
	}
	if rate := p.Rate(time.Minute); rate != 0 {
		t.Errorf("rate %v after the end, want 0", rate)
	}
}

func TestChatterEndsWhenItIsTold(t *testing.T) {
	s := &v1alpha1.Scenario{
		Population: v1alpha1.Population{Subscribers: 1, Channels: 3},
		Phases:     v1alpha1.Phases{Warmup: v1alpha1.Duration(20 * time.Second), Measure: v1alpha1.Duration(time.Minute)},
		Chatter:    &v1alpha1.Chatter{Arrivals: v1alpha1.Constant, RatePerSecond: 2, For: v1alpha1.Duration(30 * time.Second)},
	}
	if posts := Schedule(s); len(posts) != 59 || posts[len(posts)-1].Due >= 30*time.Second {
		t.Errorf("%d posts", len(posts))
	}
	s.Chatter.For = 0
	if posts := Schedule(s); len(posts) != 159 {
		t.Errorf("%d posts without an end", len(posts))
	}
}
