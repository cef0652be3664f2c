package schedule

import (
	"math"
	"slices"
	"testing"
	"time"

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
	a, b := Posts(scenario()), Posts(scenario())
	if !slices.Equal(a, b) {
		t.Error("the same scenario gave two schedules")
	}
	other := scenario()
	other.Seed = 8
	if slices.Equal(a, Posts(other)) {
		t.Error("another seed gave the same schedule")
	}
	// What is added does not move what was there.
	more := scenario()
	more.Broadcasts = nil
	alone := Posts(more)
	a = slices.DeleteFunc(a, func(p Post) bool { return p.Broadcast != NoBroadcast })
	if !slices.Equal(a, alone) {
		t.Error("the chatter depends on the broadcasts")
	}
}

func TestScheduleOfBroadcasts(t *testing.T) {
	var got []Post
	for _, p := range Posts(scenario()) {
		if p.Broadcast != NoBroadcast {
			got = append(got, p)
		}
	}
	s := time.Second
	want := []Post{
		{15 * s, 0, 500, 0, s, 0}, {17 * s, 0, 100, 1, 0, 0}, {25 * s, 0, 500, 2, s, 0}, {35 * s, 0, 500, 3, s, 0},
	}
	if !slices.Equal(got, want) {
		t.Errorf("broadcasts %+v\nwant %+v", got, want)
	}
}

// 100 s at 50 a second: 5,000 arrivals with a standard deviation of √5,000, and gaps whose deviation is their mean.
func TestPoissonArrivals(t *testing.T) {
	s := scenario()
	s.Broadcasts = nil
	posts := Posts(s)
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
	posts := Posts(s)
	for i, p := range posts {
		if p.Due != time.Duration(i+1)*250*time.Millisecond {
			t.Fatalf("post %d is due at %s", i, p.Due)
		}
	}
	if len(posts) != 399 {
		t.Errorf("%d posts, want one each 250 ms within 100 s", len(posts))
	}
}

func TestChatterEndsWhenItIsTold(t *testing.T) {
	s := &v1alpha1.Scenario{
		Population: v1alpha1.Population{Subscribers: 1, Channels: 3},
		Phases:     v1alpha1.Phases{Warmup: v1alpha1.Duration(20 * time.Second), Measure: v1alpha1.Duration(time.Minute)},
		Chatter:    &v1alpha1.Chatter{Arrivals: v1alpha1.Constant, RatePerSecond: 2, For: v1alpha1.Duration(30 * time.Second)},
	}
	if posts := Posts(s); len(posts) != 59 || posts[len(posts)-1].Due >= 30*time.Second {
		t.Errorf("%d posts", len(posts))
	}
	s.Chatter.For = 0
	if posts := Posts(s); len(posts) != 159 {
		t.Errorf("%d posts without an end", len(posts))
	}
}
