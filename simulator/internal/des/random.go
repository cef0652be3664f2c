package des

import (
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Stream is a stream of random numbers. Two streams of one seed and different names are independent of each other.
type Stream struct{ pcg rand.PCG }

// NewStream splits the named stream from a seed.
func NewStream(seed uint64, name string) *Stream {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	s := &Stream{}
	s.pcg.Seed(mix(seed), mix(h.Sum64()^seed))
	return s
}

// mix is the finalizer of splitmix64 (Steele, Lea and Flood, 2014): seeds that differ in a bit begin at places that have nothing in common.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Uint64 draws 64 bits.
func (s *Stream) Uint64() uint64 { return s.pcg.Uint64() }

// Float64 draws evenly from the middles of 2^53 cells of 0 to 1, so never 0 or 1.
func (s *Stream) Float64() float64 {
	return float64(float64(s.pcg.Uint64()>>11)+0.5) * (1.0 / (1 << 53))
}

// IntN draws evenly from 0 to n-1 (Lemire, 2019). n must be above 0.
func (s *Stream) IntN(n int) int {
	high, low := bits.Mul64(s.pcg.Uint64(), uint64(n))
	if low < uint64(n) {
		for least := -uint64(n) % uint64(n); low < least; {
			high, low = bits.Mul64(s.pcg.Uint64(), uint64(n))
		}
	}
	return int(high)
}

// Exp draws from the exponential distribution with mean 1.
func (s *Stream) Exp() float64 { return -Ln(s.Float64()) }

// Normal draws from the normal distribution with mean 0 and deviation 1, by the inverse of its distribution.
func (s *Stream) Normal() float64 { return NormalQuantile(s.Float64()) }

// ln2High + ln2Low is the logarithm of 2, the first with so many zeros at its end that small multiples of it are exact.
const (
	ln2High = 6.93147180369123816490e-01
	ln2Low  = 1.90821492927058770002e-10
)

// Ln is the natural logarithm of x > 0, the same bits on every architecture. The method and its coefficients are those of FreeBSD's e_log.c
// (Sun Microsystems, 1993; error below 1 unit in the last place), with every product rounded.
func Ln(x float64) float64 {
	f, exponent := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		exponent--
	}
	f--
	k := float64(exponent)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	t1 := float64(s2 * (6.666666666666735130e-01 + float64(s4*(2.857142874366239149e-01+float64(s4*(1.818357216161805012e-01+float64(s4*1.479819860511658591e-01)))))))
	t2 := float64(s4 * (3.999999999940941908e-01 + float64(s4*(2.222219843214978396e-01+float64(s4*1.531383769920937332e-01)))))
	half := float64(0.5 * float64(f*f))
	return float64(k*ln2High) - ((half - (float64(s*(half+t1+t2)) + float64(k*ln2Low))) - f)
}

// Exp is e to the power of x, the same bits on every architecture. The method is that of FreeBSD's e_exp.c, as Ln's.
func Exp(x float64) float64 {
	switch {
	case x > 709.78:
		return math.Inf(1)
	case x < -745.13:
		return 0
	}
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	high := x - float64(k*ln2High)
	low := float64(k * ln2Low)
	r := high - low
	t := float64(r * r)
	c := r - float64(t*(1.66666666666666657415e-01+float64(t*(-2.77777777770155933842e-03+float64(t*(6.61375632143793436117e-05+float64(t*(-1.65339022054652515390e-06+float64(t*4.13813679705723846039e-08)))))))))
	y := 1 - ((low - float64(r*c)/(2-c)) - high)
	return math.Ldexp(y, int(k))
}

// NormalQuantile is the value that a standard normal variable stays below with probability p, 0 < p < 1 (Acklam's rational approximation,
// relative error below 1.2e-9).
func NormalQuantile(p float64) float64 {
	const edge = 0.02425
	switch {
	case p < edge:
		return tail(math.Sqrt(float64(-2 * Ln(p))))
	case p > 1-edge:
		return -tail(math.Sqrt(float64(-2 * Ln(1-p))))
	}
	q := p - 0.5
	r := float64(q * q)
	above := poly(r, -3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02, 1.383577518672690e+02, -3.066479806614716e+01, 2.506628277459239e+00)
	below := poly(r, -5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01, -1.328068155288572e+01, 1)
	return float64(above*q) / below
}

func tail(q float64) float64 {
	above := poly(q, -7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00, -2.549732539343734e+00, 4.374664141464968e+00, 2.938163982698783e+00)
	return above / poly(q, 7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1)
}

// poly is the polynomial with these coefficients, the highest power first.
func poly(x float64, coefficients ...float64) float64 {
	sum := 0.0
	for _, c := range coefficients {
		sum = float64(sum*x) + c
	}
	return sum
}
