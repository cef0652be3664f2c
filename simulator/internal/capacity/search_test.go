package capacity

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// loads is a search over a ladder from 1 to 1,000,000 with neighbours 5 % apart.
func loads(t interface{ Fatal(...any) }, from float64, whole bool) Search {
	rungs, start, err := ladder(from, 1, 1e6, 0.05, whole)
	if err != nil {
		t.Fatal(err)
	}
	return Search{Ladder: rungs, Start: start, Repeats: 3, MaxRuns: MaxRuns}
}

// doublings is how many runs it takes to go from one load to another, whichever is the larger one.
func doublings(from, to float64) int { return int(math.Abs(math.Log2(to/from))) + 2 }

// oracle says what becomes of a run.
type oracle func(load float64, kind Kind) Outcome

func upTo(limit float64) oracle {
	return func(load float64, _ Kind) Outcome {
		if load <= limit {
			return Held
		}
		return Missed
	}
}

// play searches to the end.
func (s Search) play(t interface{ Fatal(...any) }, o oracle) []Trial {
	var trials []Trial
	for {
		step, ok := s.Next(trials)
		if !ok {
			return trials
		}
		if len(trials) >= s.MaxRuns {
			t.Fatal("it goes on after all its runs")
		}
		trials = append(trials, Trial{step.Rung, step.Kind, o(s.Ladder[step.Rung], step.Kind)})
	}
}

func (s Search) at(rung int) float64 {
	if rung < 0 {
		return 0
	}
	return s.Ladder[rung]
}

// Of a fleet whose limit is sharp the search finds the last load that holds and the first that does not, which are no further apart than the tolerance, in as many
// runs as doublings, a bisection and the repeats take.
func TestASharpLimitIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.Bool().Draw(t, "whole")
		from := math.Round(math.Exp(rapid.Float64Range(0, math.Log(1e6)).Draw(t, "from")))
		limit := math.Exp(rapid.Float64Range(0, math.Log(1e6)).Draw(t, "limit"))
		s := loads(t, from, whole)
		if limit >= s.Ladder[len(s.Ladder)-1]/1.06 {
			return // TestTheEnd…
		}
		trials := s.play(t, upTo(limit))
		r := s.Result(trials)
		if !r.Complete || r.Capacity < 0 || r.To != r.Capacity+1 || r.From != r.Capacity || r.Limit != NoLimit {
			t.Fatalf("%+v", r)
		}
		low, high := s.at(r.Capacity), s.at(r.To)
		if low > limit || high <= limit || high > low*1.05*(1+1e-9) && high-low > 1+1e-9 {
			t.Fatalf("the limit is %g, and the capacity %g to %g", limit, low, high)
		}
		if most := doublings(from, limit) + 1 + 5 + 3 + 2; len(trials) > most {
			t.Fatalf("%d runs; %d are enough", len(trials), most)
		}
	})
}

// Where it is a matter of luck what becomes of a run near the limit, the interval still has the load in it that holds half of the time, in nearly all searches; and
// no search is without an end.
func TestTheIntervalCoversANoisyLimit(t *testing.T) {
	for _, spread := range []float64{0.01, 0.05, 0.1, 0.2} {
		covered, widest, runs := 0, 0.0, 0
		const searches = 200
		for seed := range uint64(searches) {
			random := rand.New(rand.NewPCG(seed, uint64(spread*1000)))
			limit := math.Exp(random.Float64() * math.Log(1e5))
			s := loads(t, 100, false)
			trials := s.play(t, func(load float64, kind Kind) Outcome {
				return upTo(limit*math.Exp(spread*random.NormFloat64()))(load, kind)
			})
			r := s.Result(trials)
			if r.Capacity >= 0 && r.To >= 0 {
				if s.at(r.From)/1.05 <= limit && s.at(r.To) >= limit/1.05 {
					covered++
				}
				widest = max(widest, s.at(r.To)/s.at(r.From))
			}
			runs += len(trials)
		}
		t.Logf("a limit that varies by %g %%: %d of %d intervals have it in them, the widest is a factor of %.2f, %.1f runs on average", 100*spread, covered, searches, widest, float64(runs)/searches)
		if covered < searches*92/100 {
			t.Errorf("a limit that varies by %g %%: %d of %d intervals have it in them", 100*spread, covered, searches)
		}
	}
}

// What a noisy search says follows from its runs, whatever these were.
func TestTheResultSaysWhatTheRunsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := loads(t, 1000, rapid.Bool().Draw(t, "whole"))
		outcomes := rapid.SampledFrom([]Outcome{Held, Missed, Unclear, GaveUp})
		trials := s.play(t, func(float64, Kind) Outcome { return outcomes.Draw(t, "outcome") })
		if len(trials) > s.MaxRuns {
			t.Fatalf("%d runs", len(trials))
		}
		r := s.Result(trials)
		holds, misses := map[int]int{}, map[int]int{}
		for _, trial := range trials {
			if trial.Outcome == Held && trial.Kind == Hold {
				holds[trial.Rung]++
			}
			if trial.Outcome == Missed {
				misses[trial.Rung]++
			}
		}
		if r.Capacity >= 0 && (holds[r.Capacity] < s.Repeats || misses[r.Capacity] > 0) {
			t.Fatalf("the capacity held %d times and was missed %d times", holds[r.Capacity], misses[r.Capacity])
		}
		if r.To >= 0 && misses[r.To] < s.Repeats {
			t.Fatalf("the end of the interval was missed %d times", misses[r.To])
		}
		for _, trial := range trials {
			if r.To >= 0 && trial.Rung >= r.To && trial.Outcome == Held {
				t.Fatalf("%d held, and the interval ends at %d", trial.Rung, r.To)
			}
			if r.Capacity >= 0 && trial.Rung < r.From && trial.Outcome == Missed {
				t.Fatalf("%d was missed, and the interval begins at %d", trial.Rung, r.From)
			}
		}
	})
}

// Where the generator gives up before the fleet does, the fleet bears at least the last load that was generated.
func TestTheGeneratorGivesUpFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := math.Exp(rapid.Float64Range(math.Log(4), math.Log(5e5)).Draw(t, "limit"))
		gives := limit * rapid.Float64Range(0.3, 0.999).Draw(t, "gives up at")
		from := math.Round(math.Exp(rapid.Float64Range(0, math.Log(1e6)).Draw(t, "from")))
		s := loads(t, from, false)
		trials := s.play(t, func(load float64, kind Kind) Outcome {
			if load > gives {
				return GaveUp
			}
			return upTo(limit)(load, kind)
		})
		r := s.Result(trials)
		if !r.Complete || r.Limit != ByGenerator || r.To >= 0 || r.Capacity < 0 {
			t.Fatalf("%+v", r)
		}
		if c := s.at(r.Capacity); c > gives || c < gives/1.0500001 {
			t.Fatalf("the generator gives up above %g, and the capacity is ≥ %g", gives, c)
		}
		// All that the generator cannot do is tried twice.
		if most := 2*doublings(from, gives) + 2*4 + 3 + 2; len(trials) > most {
			t.Fatalf("%d runs; %d are enough", len(trials), most)
		}
	})
}

// What holds for a short time alone is not the capacity.
func TestWhatHoldsForLonger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		short := math.Exp(rapid.Float64Range(math.Log(10), math.Log(1e5)).Draw(t, "short"))
		long := short * rapid.Float64Range(0.2, 1).Draw(t, "long")
		s := loads(t, 1000, false)
		trials := s.play(t, func(load float64, kind Kind) Outcome {
			if kind == Hold {
				return upTo(long)(load, kind)
			}
			return upTo(short)(load, kind)
		})
		r := s.Result(trials)
		if c := s.at(r.Capacity); !r.Complete || c > long || c < long/1.0500001 {
			t.Fatalf("%g holds for long, and the capacity is %g: %+v", long, c, r)
		}
		if len(trials) > 40 {
			t.Fatalf("%d runs", len(trials))
		}
	})
}

func TestOddFleets(t *testing.T) {
	always := func(o Outcome) oracle { return func(float64, Kind) Outcome { return o } }
	nth := func(n int, odd Outcome, o oracle) oracle {
		runs := 0
		return func(load float64, kind Kind) Outcome {
			if runs++; runs == n {
				return odd
			}
			return o(load, kind)
		}
	}
	for _, tt := range []struct {
		name     string
		oracle   oracle
		capacity float64 // at least, and less than twice that
		limit    Limit
		says     func(r Result) bool
		most     int
	}{
		{"nothing holds", always(Missed), 0, NoLimit, func(r Result) bool { return r.From == 0 && !r.OnlyGaveUp }, 13},
		{"the generator never can", always(GaveUp), 0, NoLimit, func(r Result) bool { return r.OnlyGaveUp }, 25},
		{"nothing ever tells", always(Unclear), 0, NoLimit, func(r Result) bool { return r.From < 0 && !r.OnlyGaveUp }, 25},
		{"everything holds", always(Held), 1e6, ByRange, func(r Result) bool { return r.To < 0 }, 15},
		{"the first run is missed by chance", nth(1, Missed, upTo(50_000)), 47_000, NoLimit, func(r Result) bool { return true }, 25},
		{"a doubled load is missed by chance", nth(3, Missed, upTo(50_000)), 47_000, NoLimit, func(r Result) bool { return true }, 25},
		{"a clock steps in the first run", nth(1, Unclear, upTo(50_000)), 47_000, NoLimit, func(r Result) bool { return r.From == r.Capacity }, 25},
		{"a clock steps in a bisection", nth(9, Unclear, upTo(50_000)), 47_000, NoLimit, func(r Result) bool { return r.From == r.Capacity }, 25},
		{"a clock steps in a held run", nth(13, Unclear, upTo(50_000)), 47_000, NoLimit, func(r Result) bool { return r.From == r.Capacity }, 25},
		{"above the limit nothing tells", func(load float64, _ Kind) Outcome {
			if load > 50_000 {
				return Unclear
			}
			return Held
		}, 47_000, ByDoubt, func(r Result) bool { return r.To < 0 }, 60},
		{"between what holds and what is missed nothing tells", func(load float64, _ Kind) Outcome {
			switch {
			case load > 70_000:
				return Missed
			case load > 50_000:
				return Unclear
			}
			return Held
		}, 47_000, NoLimit, func(r Result) bool { return r.To > r.Capacity }, 40},
		{"a held run is missed by chance", func() oracle {
			holds := 0
			return func(load float64, kind Kind) Outcome {
				if kind == Hold {
					if holds++; holds == 2 {
						return Missed
					}
				}
				return upTo(50_000)(load, kind)
			}
		}(), 44_000, NoLimit, func(r Result) bool { return r.To > r.Capacity }, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := loads(t, 1000, false)
			trials := s.play(t, tt.oracle)
			r := s.Result(trials)
			if c := s.at(r.Capacity); c < tt.capacity || c > 2*tt.capacity || r.Limit != tt.limit || !tt.says(r) || !r.Complete || len(trials) > tt.most {
				t.Errorf("%d runs: %+v, capacity %g", len(trials), r, c)
				for _, trial := range trials {
					t.Logf("%8.4g %s %s", s.Ladder[trial.Rung], trial.Kind, trial.Outcome)
				}
			}
		})
	}
}

// What it says will come is what comes, if the fleet is as it guesses; and it always ends.
func TestAhead(t *testing.T) {
	s := loads(t, 1000, false)
	ahead := s.Ahead(nil)
	if len(ahead) < 8 || len(ahead) > 25 || ahead[0].Rung != s.Start {
		t.Errorf("%d runs ahead, the first of %v", len(ahead), ahead[0])
	}
	var trials []Trial
	last := 0
	for step, ok := s.Next(nil); ok; step, ok = s.Next(trials) {
		trials = append(trials, Trial{step.Rung, step.Kind, upTo(50_000)(s.Ladder[step.Rung], step.Kind)})
		last = len(s.Ahead(trials))
	}
	if last != 0 {
		t.Errorf("%d runs ahead at the end", last)
	}
	one := Search{Ladder: []float64{5}, Repeats: 1, MaxRuns: 9}
	if n := len(one.Ahead(nil)); n != 2 {
		t.Errorf("a ladder of one load: %d runs", n)
	}
}

func TestLadder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.Bool().Draw(t, "whole")
		from := rapid.Float64Range(0.01, 1e6).Draw(t, "from")
		if whole {
			from = math.Ceil(from)
		}
		tolerance := rapid.Float64Range(minTolerance, maxTolerance).Draw(t, "tolerance")
		least, most := from/rapid.Float64Range(1, 1024).Draw(t, "down"), from*rapid.Float64Range(1, 1024).Draw(t, "up")
		if whole {
			least, most = max(math.Floor(least), 1), math.Ceil(most)
		}
		rungs, start, err := ladder(from, least, most, tolerance, whole)
		if err != nil {
			t.Fatal(err)
		}
		if rungs[start] != from || rungs[0] != least || rungs[len(rungs)-1] != most {
			t.Fatalf("from %g at %d of %v", from, start, rungs)
		}
		for i, load := range rungs {
			if whole && load != math.Trunc(load) {
				t.Fatalf("%g is not whole", load)
			}
			if i > 0 && (load <= rungs[i-1] || load > rungs[i-1]*(1+tolerance)*(1+1e-9) && !(whole && load == rungs[i-1]+1)) {
				t.Fatalf("%g after %g, with a tolerance of %g", load, rungs[i-1], tolerance)
			}
		}
		if most := 2*math.Log(1024)/math.Log(1+tolerance/1.2) + 24; float64(len(rungs)) > most && !whole {
			t.Fatalf("%d loads; %g are enough", len(rungs), most)
		}
	})
	for _, c := range [][4]float64{{0, 1, 2, 0.05}, {1, 2, 3, 0.05}, {4, 2, 3, 0.05}, {1, 1, math.Inf(1), 0.05}, {1, 1, 2, 0}, {1, 1, 2, math.NaN()}, {math.NaN(), 1, 2, 0.05}} {
		if _, _, err := ladder(c[0], c[1], c[2], c[3], false); err == nil {
			t.Errorf("%v is a ladder", c)
		}
	}
}
