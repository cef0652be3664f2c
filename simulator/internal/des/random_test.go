package des

import (
	"hash/fnv"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Ln and Exp are the library's within two units in the last place, or one part in 10^15.
func TestLogarithmAndExponential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(1e-300, 1e300).Draw(t, "x")
		if got, want := Ln(x), math.Log(x); math.Abs(got-want) > 4e-16*math.Max(math.Abs(want), 1) {
			t.Fatalf("Ln(%g) = %v, want %v", x, got, want)
		}
		y := rapid.Float64Range(-700, 700).Draw(t, "y")
		if got, want := Exp(y), math.Exp(y); math.Abs(got-want) > 5e-16*want {
			t.Fatalf("Exp(%g) = %v, want %v", y, got, want)
		}
	})
	if Exp(1000) != math.Inf(1) || Exp(-1000) != 0 || Exp(0) != 1 || Ln(1) != 0 {
		t.Error("the ends are wrong")
	}
}

func TestNormalQuantileInvertsTheDistribution(t *testing.T) {
	for _, p := range []float64{1e-9, 1e-4, 0.02, 0.025, 0.3, 0.5, 0.9, 0.975, 0.999, 1 - 1e-7} {
		x := NormalQuantile(p)
		if back := 0.5 * math.Erfc(-x/math.Sqrt2); math.Abs(back-p) > 3e-9*math.Max(p, 1e-9)+1e-12 && math.Abs(back-p)/math.Min(p, 1-p) > 1e-7 {
			t.Errorf("p = %g: x = %g, back %g", p, x, back)
		}
	}
}

// The mean and deviation of many draws are within five standard errors of what they should be: by chance a miss is one in a million.
func TestDistributions(t *testing.T) {
	const n = 200_000
	for name, tt := range map[string]struct {
		draw            func(s *Stream) float64
		mean, deviation float64
	}{
		"uniform":     {(*Stream).Float64, 0.5, math.Sqrt(1.0 / 12)},
		"exponential": {(*Stream).Exp, 1, 1},
		"normal":      {(*Stream).Normal, 0, 1},
		"of 0 to 6":   {func(s *Stream) float64 { return float64(s.IntN(7)) }, 3, 2},
	} {
		s := NewStream(7, name)
		var sum, squares float64
		for range n {
			x := tt.draw(s)
			sum += x
			squares += (x - tt.mean) * (x - tt.mean)
		}
		if mean := sum / n; math.Abs(mean-tt.mean) > 5*tt.deviation/math.Sqrt(n) {
			t.Errorf("%s: mean %g, want %g", name, mean, tt.mean)
		}
		if deviation := math.Sqrt(squares / n); math.Abs(deviation/tt.deviation-1) > 0.02 {
			t.Errorf("%s: deviation %g, want %g", name, deviation, tt.deviation)
		}
	}
}

func TestStreamsOfOtherNamesAndSeedsDiffer(t *testing.T) {
	first := map[uint64]string{}
	for _, seed := range []uint64{0, 1, 2, 1 << 63} {
		for _, name := range []string{"", "a", "b", "arrivals"} {
			x := NewStream(seed, name).Uint64()
			if before, seen := first[x]; seen {
				t.Errorf("seed %d, %q begins as %s", seed, name, before)
			}
			first[x] = name
		}
	}
	if a, b := NewStream(5, "x"), NewStream(5, "x"); a.Uint64() != b.Uint64() {
		t.Error("the same seed and name differ")
	}
}

// What is drawn is the same to the bit on every architecture and with every release of Go: this number was made on amd64.
func TestDrawsAreTheSameEverywhere(t *testing.T) {
	h := fnv.New64a()
	s := NewStream(42, "everywhere")
	for range 10_000 {
		for _, x := range []float64{s.Exp(), s.Normal(), Exp(s.Normal()), float64(s.IntN(1000))} {
			bits := math.Float64bits(x)
			for i := range 8 {
				_, _ = h.Write([]byte{byte(bits >> (8 * i))})
			}
		}
	}
	if got := h.Sum64(); got != everywhere {
		t.Errorf("got %#x, want %#x", got, everywhere)
	}
}

const everywhere uint64 = 0x7de1841afe7d7894
