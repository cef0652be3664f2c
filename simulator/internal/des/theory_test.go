package des

import (
	"math"
	"testing"
	"time"
)

// What queueing theory knows in closed form, against the engine. Each case is run with as many fixed seeds as trials; each run is one
// independent sample of a mean, so the means of the runs have a Student's interval without any assumption on what is correlated within a run.
//
// The interval is of 99.9 %, and the runs are fixed, so a test is either always right or always wrong. It can fail: the intervals are narrow
// (each case bounds how wide its interval may be), and an engine that is wrong by more than that is outside.
const (
	trials  = 24
	student = 3.768 // 99.95th percentile of Student's distribution with 23 degrees of freedom
)

// agrees fails if theory is outside of the interval of the samples' mean, or if the interval is wider than a share of theory.
func agrees(t *testing.T, name string, samples []float64, theory, widest float64) {
	t.Helper()
	var sum, squares float64
	for _, x := range samples {
		sum += x
	}
	n := float64(len(samples))
	mean := sum / n
	for _, x := range samples {
		squares += (x - mean) * (x - mean)
	}
	half := student * math.Sqrt(squares/(n-1)/n)
	if math.Abs(mean-theory) > half {
		t.Errorf("%s: %.6g ± %.2g, theory has %.6g", name, mean, half, theory)
	}
	if half > widest*theory {
		t.Errorf("%s: ± %.2g is more than %g %% of %.6g, so it says little", name, half, 100*widest, theory)
	}
}

// queueing is the mean wait, in units of the mean service time, of Poisson arrivals at a station.
func queueing(seed uint64, servers int, load float64, service func(s *Stream) float64) float64 {
	const (
		unit   = float64(time.Millisecond)
		warmup = 20_000
		jobs   = 200_000
	)
	station := NewStation(servers)
	arrivals, services := NewStream(seed, "arrivals"), NewStream(seed, "services")
	var q Queue[int] // Through the queue of events, so that it is under test too.
	q.Push(0, 0)
	var waited float64
	for range warmup + jobs {
		n, _ := q.Pop()
		begins, _ := station.Serve(q.Now(), time.Duration(unit*service(services)))
		if n >= warmup {
			waited += float64(begins - q.Now())
		}
		q.Push(q.Now()+time.Duration(unit*arrivals.Exp()/(load*float64(servers))), n+1)
	}
	return waited / jobs / unit
}

// erlangC is the probability that an arrival waits at k servers with an offered load of a = k × load.
func erlangC(k int, a float64) float64 {
	b := 1.0 // Erlang B by its recursion.
	for i := 1; i <= k; i++ {
		b = a * b / (float64(i) + a*b)
	}
	rho := a / float64(k)
	return b / (1 - rho + rho*b)
}

func TestStationsAgreeWithTheory(t *testing.T) {
	exponential := (*Stream).Exp
	constant := func(*Stream) float64 { return 1 }
	// Nine of ten take a half, one takes 5.5: mean 1, second moment 3.25.
	uneven := func(s *Stream) float64 {
		if s.Float64() < 0.1 {
			return 5.5
		}
		return 0.5
	}
	const pollaczekKhinchine = 0.5 // × load × second moment / (1 − load)
	for _, tt := range []struct {
		name    string
		servers int
		load    float64
		service func(s *Stream) float64
		theory  float64
		widest  float64
	}{
		{"M/M/1 at 50 %", 1, 0.5, exponential, 0.5 / (1 - 0.5), 0.02},
		{"M/M/1 at 80 %", 1, 0.8, exponential, 0.8 / (1 - 0.8), 0.03},
		{"M/M/3 at 70 %", 3, 0.7, exponential, erlangC(3, 2.1) / (3 * (1 - 0.7)), 0.03},
		{"M/M/16 at 90 %", 16, 0.9, exponential, erlangC(16, 14.4) / (16 * (1 - 0.9)), 0.08},
		{"M/D/1 at 80 %", 1, 0.8, constant, pollaczekKhinchine * 0.8 / (1 - 0.8), 0.02},
		{"M/G/1 at 60 %", 1, 0.6, uneven, pollaczekKhinchine * 0.6 * 3.25 / (1 - 0.6), 0.02},
	} {
		samples := make([]float64, trials)
		for i := range samples {
			samples[i] = queueing(uint64(i), tt.servers, tt.load, tt.service)
		}
		agrees(t, tt.name, samples, tt.theory, tt.widest)
	}
}

// A bulk that finds the station idle is a ramp, exactly: of n jobs on k servers the i-th ends after (⌊i/k⌋ + 1) services.
func TestABulkIsARamp(t *testing.T) {
	for _, servers := range []int{1, 2, 7} {
		station := NewStation(servers)
		last := station.ServeBulk(time.Second, 100, time.Millisecond, func(i int, ends time.Duration) {
			if want := time.Second + time.Duration(i/servers+1)*time.Millisecond; ends != want {
				t.Fatalf("%d servers: job %d ends at %s, want %s", servers, i, ends, want)
			}
		})
		if want := time.Second + time.Duration((100+servers-1)/servers)*time.Millisecond; last != want {
			t.Errorf("%d servers: the last ends at %s, want %s", servers, last, want)
		}
	}
}

// M[X]/D/1, bulks of a fixed size that come at random: the wait of the first of a bulk is that of an M/D/1 queue whose job is a whole bulk, and
// the others wait besides for those before them.
func TestBulksThatComeAtRandom(t *testing.T) {
	const (
		size, load    = 10, 0.7
		warmup, bulks = 2000, 40_000
		takes         = time.Millisecond
	)
	samples := make([]float64, trials)
	for k := range samples {
		station, arrivals := NewStation(1), NewStream(uint64(k), "bulks")
		var at time.Duration
		var waited float64
		for b := range warmup + bulks {
			at += time.Duration(size * float64(takes) / load * arrivals.Exp())
			station.ServeBulk(at, size, takes, func(_ int, ends time.Duration) {
				if b >= warmup {
					waited += float64(ends - takes - at)
				}
			})
		}
		samples[k] = waited / bulks / size / float64(takes)
	}
	first := 0.5 * load * size / (1 - load)
	agrees(t, "M[10]/D/1 at 70 %", samples, first+float64(size-1)/2, 0.02)
}

// The largest of n exponential times has the mean 1 + 1/2 + … + 1/n, the smallest 1/n: what "the last of n" and "the first that answers" rest on.
func TestOrderStatistics(t *testing.T) {
	const n, rounds = 50, 4000
	most, least := make([]float64, trials), make([]float64, trials)
	for k := range trials {
		s := NewStream(uint64(k), "order")
		for range rounds {
			largest, smallest := 0.0, math.Inf(1)
			for range n {
				x := s.Exp()
				largest, smallest = max(largest, x), min(smallest, x)
			}
			most[k] += largest / rounds
			least[k] += smallest / rounds
		}
	}
	harmonic := 0.0
	for i := 1; i <= n; i++ {
		harmonic += 1 / float64(i)
	}
	agrees(t, "the largest of 50", most, harmonic, 0.01)
	agrees(t, "the smallest of 50", least, 1.0/n, 0.02)
}

// Utilization is load: what a station worked is what it was given.
func TestAStationIsBusyAsLongAsItIsGiven(t *testing.T) {
	station := NewStation(3)
	station.ServeBulk(0, 9, time.Second, nil)
	if station.Busy() != 9*time.Second || station.Free() != 3*time.Second || station.Servers() != 3 {
		t.Errorf("busy %s, free at %s", station.Busy(), station.Free())
	}
	station.Stop(10 * time.Second)
	if begins, ends := station.Serve(4*time.Second, time.Second); begins != 10*time.Second || ends != 11*time.Second {
		t.Errorf("stopped until 10 s, it begins at %s and ends at %s", begins, ends)
	}
}
