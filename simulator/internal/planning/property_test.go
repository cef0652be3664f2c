package planning

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

// usualChecks of a property are enough in each run of the tests, since a check plays a dozen fleets; -rapid.checks asks for more.
const usualChecks = "10"

func TestMain(m *testing.M) {
	asked := false
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		if err := flag.Set("rapid.checks", usualChecks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// anyQuestion is small enough to be played many times. What binds is now this, now that.
func anyQuestion(t *rapid.T) Question {
	return with(func(q *Question) {
		q.Subscribers = rapid.Int64Range(1, 3_000).Draw(t, "subscribers")
		q.Objective.Percentile = rapid.SampledFrom([]float64{50, 99, 99.9, 100}).Draw(t, "percentile")
		q.Objective.Within = time.Duration(rapid.IntRange(20, 2000).Draw(t, "ms")) * time.Millisecond
		q.Lose = rapid.IntRange(0, 3).Draw(t, "lose")
		q.Headroom = float64(rapid.IntRange(0, 60).Draw(t, "headroom")) / 100
		q.Pod.Cores = rapid.SampledFrom([]float64{0.1, 0.25, 2}).Draw(t, "cores")
		q.Pod.TLS = rapid.Bool().Draw(t, "tls")
		q.Pod.Connections = rapid.SampledFrom([]int64{200, 18_000, 1_000_000}).Draw(t, "connections")
		q.Pod.NetworkPerSecond = rapid.SampledFrom([]int64{1e6, 1.25e9}).Draw(t, "network")
		q.PostsPerSecond = rapid.SampledFrom([]float64{0.01, 1, 20}).Draw(t, "posts")
		q.BackWithin = time.Duration(rapid.IntRange(1, 30).Draw(t, "back")) * time.Second
		q.GrowthPerMinute = rapid.SampledFrom([]float64{0, 5000, 50_000}).Draw(t, "growth")
	})
}

// Who asks for more never gets fewer shards, for no demand.
func TestMoreNeedsNoFewer(t *testing.T) {
	for name, harder := range map[string]func(t *rapid.T, q *Question){
		"one subscriber more":   func(_ *rapid.T, q *Question) { q.Subscribers++ },
		"many subscribers more": func(t *rapid.T, q *Question) { q.Subscribers += rapid.Int64Range(2, 3_000).Draw(t, "more") },
		"a tighter objective": func(t *rapid.T, q *Question) {
			q.Objective.Within -= time.Duration(rapid.Int64Range(1, int64(q.Objective.Within)-1).Draw(t, "tighter"))
		},
		"more may be lost": func(_ *rapid.T, q *Question) { q.Lose++ },
		"more headroom":    func(t *rapid.T, q *Question) { q.Headroom += float64(rapid.IntRange(1, 30).Draw(t, "more")) / 100 },
		"more growth": func(t *rapid.T, q *Question) {
			q.GrowthPerMinute += float64(rapid.IntRange(1, 100_000).Draw(t, "more"))
		},
		"larger posts": func(t *rapid.T, q *Question) { q.MessageBytes += rapid.Int64Range(1, 10_000).Draw(t, "more") },
		"back earlier": func(_ *rapid.T, q *Question) { q.BackWithin /= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				q := anyQuestion(t)
				before := needsOf(t, q)
				harder(t, &q)
				for demand, after := range needsOf(t, q) {
					if after < before[demand] {
						t.Fatalf("%s needs %d shards, and with %s %d", demand, before[demand], name, after)
					}
				}
			})
		})
	}
}

// The same at the edge, where a fleet is only just enough for so many subscribers: with one more after the other it is never fewer shards. (Where the number of
// them that may miss the percentile grows by one, at each 1,000 of p99.9, one more can be the easier question. There is no such number among these.)
func TestOneSubscriberMoreNeedsNoFewer(t *testing.T) {
	for percentile, left := range map[float64]int{99.9: 47, 100: 7} {
		t.Run(fmt.Sprint(percentile), func(t *testing.T) {
			q := with(func(q *Question) {
				roomy(q)
				q.Subscribers, q.Objective.Percentile, q.Headroom, q.Lose, q.Pod.Cores = 6_050, percentile, 0, 0, 0.1
			})
			takes, err := q.timeWith(left)
			if err != nil {
				t.Fatal(err)
			}
			q.Objective.Within = takes + time.Microsecond
			before := 0
			for q.Subscribers = 6_044; q.Subscribers <= 6_070; q.Subscribers += 2 - q.Subscribers/6_060 {
				shards, _, err := q.shardsForTime()
				if err != nil || shards < before {
					t.Errorf("%g %% within %s: %d shards for one subscriber fewer, and %d for %d (%v)", percentile, q.Objective.Within, before, shards, q.Subscribers, err)
				}
				before = shards
				if q.Subscribers == 6_050 && shards > left || q.Subscribers == 6_070 && shards <= left {
					t.Errorf("%g %% within %s: %d shards for %d, which %d are just enough for 6,050 of", percentile, q.Objective.Within, shards, q.Subscribers, left)
				}
			}
		})
	}
}

// Each demand is met with as many shards as it is said to need, and not with one fewer.
func TestOneShardFewerIsNotEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := anyQuestion(t)
		demands, _, err := q.demands()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range demands {
			if d.Shards == 0 {
				continue
			}
			if !met(t, q, d, d.Shards) {
				t.Fatalf("%s: %d shards are not enough", d.Name, d.Shards)
			}
			if fewer := d.Shards - 1; fewer > q.Lose && met(t, q, d, fewer) {
				t.Fatalf("%s: %d shards, but %d are enough", d.Name, d.Shards, fewer)
			}
		}
	})
}

// met plays, or divides, once more.
func met(t *rapid.T, q Question, d Demand, shards int) bool {
	var takes time.Duration
	var err error
	switch {
	case d.Name == "growth": // which may use the headroom
		return d.total/float64(shards-q.Lose) <= d.Most
	case d.By == byDivision:
		return d.total/float64(shards-q.Lose)+d.idle <= d.Most*q.spare()*(1+1e-9)
	case d.By == byBound:
		takes = q.returnAtMost(shards - q.Lose)
	default:
		takes, err = q.timeWith(shards - q.Lose)
	}
	if err != nil {
		t.Fatal(err)
	}
	return milliseconds(takes) < d.Most*q.spare()
}

// The search finds what looking at every number would find, and looks at few.
func TestSmallest(t *testing.T) {
	for from := 1; from <= MostShards; from++ {
		asked := 0
		got, err := smallest(func(n int) (bool, error) {
			asked++
			return n >= from, nil
		})
		if err != nil || got != from || asked > 10 {
			t.Fatalf("%d after %d looks, want %d (%v)", got, asked, from, err)
		}
	}
}

// Where what is so is now so and now not, it finds an edge all the same, and who is content with more of the numbers is not given more.
func TestSmallestOfARaggedEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		easy := rapid.SliceOfN(rapid.Bool(), MostShards, MostShards).Draw(t, "easy")
		hard := slices.Clone(easy)
		for _, n := range rapid.SliceOf(rapid.IntRange(0, MostShards-1)).Draw(t, "harder at") {
			hard[n] = false
		}
		search := func(so []bool) int {
			n, err := smallest(func(n int) (bool, error) { return so[n-1], nil })
			if err != nil || n < MostShards && !so[n-1] || n > 1 && so[n-2] {
				t.Fatalf("%d is no edge (%v)", n, err)
			}
			return n
		}
		if a, b := search(easy), search(hard); a > b {
			t.Fatalf("%d, and where fewer are enough %d", a, b)
		}
	})
}

// The model is never slower than the bound of a return.
func TestTheReturnIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := anyQuestion(t)
		q.Lose = rapid.IntRange(1, 5).Draw(t, "lost")
		q.BackWithin = time.Minute
		if rapid.Bool().Draw(t, "slow") { // so that many are sent away again
			q.Subscribers, q.Pod.Cores = 3000, 0.1
		}
		if rapid.Bool().Draw(t, "far") {
			q.Places = []v1alpha1.Place{far(0.5, "Jakarta", 190*time.Millisecond), far(0.5, "Quito", 160*time.Millisecond)}
		}
		if rapid.Bool().Draw(t, "busy") { // with pings, of which few shards bear more than many
			q.Calibration = q.Calibration.Moved(calibration.Ping, 100)
		}
		left := rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, 40)).Draw(t, "left")
		takes, err := q.backWith(left + q.Lose)
		if most := q.returnAtMost(left); err != nil || takes > most {
			t.Fatalf("with %d shards left the model says %s, and at most it is to be %s (%v)", left, takes, most, err)
		}
	})
}

// The model is never quicker than the two divisions by hand.
func TestTheModelIsNotQuickerThanByHand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := anyQuestion(t)
		left := rapid.IntRange(1, 40).Draw(t, "left")
		takes, err := q.timeWith(left)
		if err != nil {
			t.Fatal(err)
		}
		h := q.byHand(left)
		if least := max(h.Cores, h.Network); takes < least-least/100 {
			t.Fatalf("the model says %s, and by hand it is %s", takes, least)
		}
	})
}

// Who could be there in time is as many as the time of their ramp says, whatever pings take, and one more is late.
func TestWithinIsTheOtherWayRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := anyQuestion(t)
		q.Calibration = q.Calibration.Moved(calibration.Ping, rapid.Float64Range(0, 1000).Draw(t, "pings"))
		seconds, share := rapid.Float64Range(0.001, 2).Draw(t, "seconds"), q.Objective.Percentile/100
		n := q.within(seconds, share)
		if takes := n * q.each(n) * share; takes > seconds*(1+1e-9) {
			t.Fatalf("%g sessions take %g s, not %g", n, takes, seconds)
		}
		if takes := (n + 1) * q.each(n+1) * share; takes <= seconds {
			t.Fatalf("one more than %g sessions take %g s, and %g are there", n, takes, seconds)
		}
	})
}
