package cascade

import (
	"fmt"
	"math"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// branching is a world in which the correction is a branching process: channels of one size and one community, so many that hardly ever two
// forwards go to one, and everybody there. The falsehood stays where it is.
func branching(channels, size int) *world {
	return newWorld(Crowd{
		People: 8 * size, Communities: 1, Coalition: Channels{channels, channels * size}, Outside: Channels{1, size},
		SizeExponent: 1, SizeRatio: 1, OnlineShare: 1,
	}, 1)
}

// trial plays the correction once more in the same world, with other chance.
func trial(w *world, seed uint64, s Spread, horizon time.Duration) Run {
	again := *w
	again.seed = seed
	return play(newFates(&again, s), ByForwards, 0, horizon, nil)
}

const branchingSize = 250

func spread(perPost float64) Spread {
	return Spread{ForwardTrue: perPost / branchingSize, Forewarned: 1, Inside: 1, ReactionMedianNs: time.Minute}
}

// corrections is how many posts of the correction there were, in each generation.
func corrections(r Run) (byGeneration []int, total int) {
	for _, p := range r.Posts {
		if p.Message == Correction {
			for len(byGeneration) <= p.Generation {
				byGeneration = append(byGeneration, 0)
			}
			byGeneration[p.Generation]++
			total++
		}
	}
	return byGeneration, total
}

// Below one forward a post a message dies out, and the number of its posts has the Borel distribution, whose mean is 1/(1 − R): the total
// progeny of a Galton–Watson process with Poisson offspring. What one channel's viewers forward is binomial, of 250 and so nearly Poisson.
func TestSubcriticalCascadesAreBorelDistributed(t *testing.T) {
	const trials = 3000
	w := branching(20_000, branchingSize)
	for _, r := range []float64{0.2, 0.5, 0.7} {
		t.Run(fmt.Sprint(r), func(t *testing.T) {
			sizes := make([]float64, trials)
			for i := range sizes {
				_, n := corrections(trial(w, uint64(i), spread(r), math.MaxInt64/2))
				sizes[i] = float64(n)
			}
			mean, deviation := stat.MeanStdDev(sizes, nil)
			if want, off := 1/(1-r), 3.3*deviation/math.Sqrt(trials); math.Abs(mean-want) > off {
				t.Errorf("%.3f posts on average, not %.3f ± %.3f", mean, want, off)
			}
			if p := fits(sizes, func(n int) float64 { return borel(n, r) }, 8); p < 0.001 {
				t.Errorf("the sizes are not Borel distributed (p = %.2g)", p)
			}
		})
	}
}

// borel is the probability of n posts in all.
func borel(n int, r float64) float64 {
	lgamma, _ := math.Lgamma(float64(n) + 1)
	return math.Exp(-r*float64(n) + float64(n-1)*math.Log(r*float64(n)) - lgamma)
}

// fits is the p of a chi-square test of whole numbers from 1, all beyond the last in one class.
func fits(values []float64, probability func(int) float64, last int) float64 {
	seen := make([]float64, last+1)
	for _, v := range values {
		seen[min(int(v)-1, last)]++
	}
	expected, rest := make([]float64, last+1), 1.0
	for i := range last {
		expected[i] = probability(i+1) * float64(len(values))
		rest -= probability(i + 1)
	}
	expected[last] = rest * float64(len(values))
	return 1 - distuv.ChiSquared{K: float64(last)}.CDF(stat.ChiSquare(seen, expected))
}

// Above one, a message that does not die out grows by R a generation; and by how many generations it has died out, the iterated generating
// function of the offspring says. With a reaction time that is always the same, generation n is n of them after the first post.
func TestSupercriticalCascadesGrowOrDieOut(t *testing.T) {
	const trials, generations = 1500, 5
	w := branching(20_000, branchingSize)
	for _, r := range []float64{1.2, 1.6, 2} {
		t.Run(fmt.Sprint(r), func(t *testing.T) {
			sizes, died := make([][]float64, generations+1), make([]float64, generations+1)
			for i := range trials {
				run := trial(w, uint64(i), spread(r), generations*time.Minute)
				byGeneration, _ := corrections(run)
				for g := range sizes {
					n := 0
					if g < len(byGeneration) {
						n = byGeneration[g]
					} else {
						died[g]++
					}
					sizes[g] = append(sizes[g], float64(n))
				}
				for _, p := range run.Posts {
					if late := p.AtNs - time.Duration(p.Generation)*time.Minute; p.Message == Correction && late.Abs() > time.Microsecond {
						t.Fatalf("generation %d came %s off its time", p.Generation, late)
					}
				}
			}
			gone := 0.0
			for g := range sizes {
				mean, deviation := stat.MeanStdDev(sizes[g], nil)
				// And two in a thousand of the forwards go where the message is already.
				if want, off := math.Pow(r, float64(g)), 3.3*deviation/math.Sqrt(trials)+0.004*math.Pow(r, float64(g)); math.Abs(mean-want) > off {
					t.Errorf("generation %d has %.3f posts on average, not %.3f ± %.3f", g, mean, want, off)
				}
				if share, off := died[g]/trials, 3.3*math.Sqrt(gone*(1-gone)/trials); math.Abs(share-gone) > off+1e-9 {
					t.Errorf("%.3f have died out before generation %d, not %.3f ± %.3f", share, g, gone, off)
				}
				gone = math.Pow(1-r/branchingSize+r/branchingSize*gone, branchingSize)
			}
		})
	}
}

// A falsehood that is forwarded 1.7 times as often has 1.7 times the forwards, of the same views in the mean; and what is said of the forewarned
// and of communities is so. Each figure is held to what chance allows.
func TestFatesAreAsSaid(t *testing.T) {
	p := small()
	p.Crowd.OnlineByHabit, p.Spread.ForwardTrue = 0.3, 0.02
	w := newWorld(p.Crowd, 7)
	f := newFates(w, p.Spread)
	var subscribers, views, forwards, anyway, inside [2]int
	var logs []float64
	for m := range Message(2) {
		for c := uint32(p.Crowd.Coalition.Count); int(c) < w.channels(); c++ {
			fate := f.of(m, c)
			subscribers[m] += len(w.subscribers(c))
			views[m] += len(fate.viewers)
			for _, fw := range fate.forwards {
				forwards[m]++
				if fw.anyway {
					anyway[m]++
				}
				if w.community(fw.to) == w.community(c) {
					inside[m]++
				}
				if fw.to == c || m == Falsehood && int(fw.to) < p.Crowd.Coalition.Count {
					t.Fatalf("the %s goes from channel %d to %d", m, c, fw.to)
				}
				logs = append(logs, math.Log(fw.after.Minutes()))
			}
		}
	}
	near := func(what string, part, whole int, want float64) {
		t.Helper()
		if got, off := float64(part)/float64(whole), 4*math.Sqrt(want*(1-want)/float64(whole)); math.Abs(got-want) > off {
			t.Errorf("%s: %.4f, not %.4f ± %.4f", what, got, want, off)
		}
	}
	near("forwards of the truth", forwards[Correction], views[Correction], 0.02)
	near("forwards of the falsehood", forwards[Falsehood], views[Falsehood], 0.034)
	near("by the forewarned", anyway[Falsehood], forwards[Falsehood], 0.3)
	near("inside, of the truth", inside[Correction], forwards[Correction], 0.85)
	near("inside, of the falsehood", inside[Falsehood], forwards[Falsehood], 0.85)
	// By habit, people come in pairs of views and in more, so that there is less chance than it seems in it: twice the interval.
	if got := float64(views[Falsehood]) / float64(subscribers[Falsehood]); math.Abs(got-0.2) > 0.005 {
		t.Errorf("%.4f of the subscribers see a post, not 0.2", got)
	}
	mean, deviation := stat.MeanStdDev(logs, nil)
	if off := 4 * 1.2 / math.Sqrt(float64(len(logs))); math.Abs(mean-math.Log(5)) > off || math.Abs(deviation-1.2) > off {
		t.Errorf("reactions have the median %.2f min and σ %.3f, not 5 and 1.2", math.Exp(mean), deviation)
	}
}

// Of two posts that one person could see, he sees both with the probability that the habits make: online by habit for both, or by chance twice.
func TestHabitsCorrelateViews(t *testing.T) {
	for _, habit := range []float64{0, 0.5, 1} {
		c := Crowd{
			People: 40_000, Communities: 1, Coalition: Channels{1, 40_000 - 1}, Outside: Channels{1, 40_000 - 1},
			SizeExponent: 1, SizeRatio: 1, OnlineShare: 0.2, OnlineByHabit: habit,
		}
		w := newWorld(c, 3)
		f := newFates(w, Spread{Forewarned: 1, ReactionMedianNs: 1})
		saw, both := newBitset(c.People), 0
		for _, person := range f.of(Correction, 0).viewers {
			saw.set(person)
		}
		for _, person := range f.of(Falsehood, 1).viewers {
			if saw.has(person) {
				both++
			}
		}
		want := 0.2 * (habit + (1-habit)*0.2)
		if got, off := float64(both)/40_000, 4*math.Sqrt(want*(1-want)/40_000); math.Abs(got-want) > off {
			t.Errorf("habit %g: %.4f see both, not %.4f ± %.4f", habit, got, want, off)
		}
	}
}
