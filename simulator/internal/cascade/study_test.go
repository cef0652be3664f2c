package cascade

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What the study answers, at a twentieth of its size: how many of those whom the falsehood reached had seen the correction before.
func ExampleStudy() {
	p := Default()
	p.Crowd.People, p.Crowd.Communities = 400_000, 4
	p.Crowd.Coalition, p.Crowd.Outside = Channels{100, 400_000}, Channels{100, 400_000}
	r, err := Study(p)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range r.Cells {
		fmt.Printf("%-6s by %-8s %s: %s\n", Span(c.DelayNs), c.Arm, c.Forewarned.Shares(), most(c.Forewarned))
	}
	// Output:
	// 1 min  by forwards 11 % (4.9 to 17): a minority
	// 15 min by forwards 3.9 % (0.3 to 7.5): a minority
	// 2 h    by forwards <0.1 % (0 to <0.1): a minority
	// 13 h   by forwards 0 % (0 to 0): a minority
	// 1 min  by hub      54 % (50 to 58): most
	// 15 min by hub      18 % (10 to 27): a minority
	// 2 h    by hub      0.4 % (0 to 1.0): a minority
	// 13 h   by hub      0 % (0 to 0): a minority
}

// The same parameters give the same bytes, on one core and on two.
func TestTheSameOnAnyNumberOfCores(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first string
	p := small()
	p.Seeds = 3
	for _, cores := range []int{1, 2} {
		runtime.GOMAXPROCS(cores)
		r, err := Study(p)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Sensitivity(p)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := Render(&text, r, v); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(map[string]any{"study": r, "variations": v, "text": text.String()})
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(data)
		}
		if string(data) != first {
			t.Fatalf("with %d cores it is another result", cores)
		}
	}
}

// The study has every arm and delay, with intervals that hold their means; and posts of one seed, to be played.
func TestStudyIsComplete(t *testing.T) {
	p := small()
	r, err := Study(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 8 || len(r.Gains) != 4 || r.ForwardsPerPost[Falsehood] < 4.079 || r.ForwardsPerPost[Falsehood] > 4.081 {
		t.Fatalf("%d cells, %d gains, %v", len(r.Cells), len(r.Gains), r.ForwardsPerPost)
	}
	if c, found := r.Cell(ByHub, time.Second); found {
		t.Errorf("a delay that nobody asked for has %+v", c)
	}
	for _, g := range r.Gains {
		hub, _ := r.Cell(ByHub, g.DelayNs)
		alone, found := r.Cell(ByForwards, g.DelayNs)
		if !found {
			t.Fatalf("no forwards after %s", g.DelayNs)
		}
		for _, pair := range [][3]Interval{
			{g.Forewarned, hub.Forewarned, alone.Forewarned}, {g.CorrectionFirst, hub.CorrectionFirst, alone.CorrectionFirst}, {g.Falsehood, hub.Falsehood, alone.Falsehood},
		} {
			if gain, with, without := pair[0].Mean, pair[1].Mean, pair[2].Mean; math.Abs(gain-(with-without)) > 1e-6 {
				t.Errorf("after %s the hub changes %g to %g by %g", g.DelayNs, without, with, gain)
			}
		}
	}
	for _, c := range r.Cells {
		for _, i := range []Interval{c.CorrectionFirst, c.Forewarned, c.Correction, c.Falsehood, c.Deliveries, c.PeakDeliveriesPerSecond} {
			if !(i.Low <= i.Mean && i.Mean <= i.High && i.Low >= 0) {
				t.Errorf("%s after %s: %+v", c.Arm, c.DelayNs, i)
			}
		}
		if len(c.Posts) == 0 || len(c.Over) != len(moments(p.HorizonNs)) || c.Over[len(c.Over)-1].Falsehood != c.Falsehood {
			t.Errorf("%s after %s: %d posts, %d moments", c.Arm, c.DelayNs, len(c.Posts), len(c.Over))
		}
		hub := 0
		for _, post := range c.Posts {
			if post.Message == Correction && post.AtNs == c.DelayNs {
				hub++
			}
		}
		if want := map[Arm]int{ByHub: p.Crowd.Coalition.Count, ByForwards: 1}[c.Arm]; hub != want {
			t.Errorf("%s after %s: the correction is posted %d times at once, not %d", c.Arm, c.DelayNs, hub, want)
		}
	}
}

// Whom a post reaches first sums up to all who are reached, and half of them is where the sum passes half.
func TestPeopleOfPostsSumUp(t *testing.T) {
	p := small()
	slow, later := 0, 0
	for k := range p.Seeds {
		people := NewPeople(p, k)
		seed := people.Play(0)
		for i, run := range seed.Cells() {
			var reached [2]int
			var first, half *time.Duration
			for _, post := range run.Posts {
				if post.News > post.Online {
					t.Errorf("%+v: more see it for the first time than see it", post)
				}
				reached[post.Message] += post.News
				if post.Message == Correction && first == nil {
					first = &post.AtNs
				}
				if post.Message == Correction && half == nil && reached[Correction]*2 >= run.Correction {
					half = new(post.AtNs - *first)
				}
			}
			if reached != [2]int{Falsehood: run.Falsehood, Correction: run.Correction} {
				t.Errorf("run %d: the posts come to %v people, the run to %d and %d", i, reached, run.Falsehood, run.Correction)
			}
			if *run.HalfNs != *half {
				t.Errorf("run %d: half after %s, want %s", i, *run.HalfNs, *half)
			}
			if *half > 0 {
				slow++
			}
		}
		// The same people, with deliveries that take as long again, act the same; with others they need not.
		for _, c := range Changes([]Seed{seed, seed}, []Seed{people.Play(0), people.Play(0)}) {
			if c.Forewarned.Mean != 0 || c.CorrectionFirst.Mean != 0 {
				t.Errorf("no time changes a share by %+v", c)
			}
		}
		for _, c := range Changes([]Seed{seed, seed}, []Seed{people.Play(time.Hour), people.Play(time.Hour)}) {
			if c.Forewarned.Mean != 0 {
				later++
			}
		}
	}
	if slow == 0 || later == 0 {
		t.Errorf("in %d runs forwards take time, in %d an hour a delivery changes something", slow, later)
	}
}

// The text says what is assumed, what follows, and where the answer would be another.
func TestRenderSaysWhatItRestsOn(t *testing.T) {
	p := small()
	p.Seeds = 3
	r, err := Study(p)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Sensitivity(p)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := Render(&text, r, v); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Nothing here was measured", "over 3 seeds", "80 k people in 2 communities", "| 13 h | hub |", "| 1.0 % of views are forwarded | 13.6 / 8 |", "- After 1 min by hub it is "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Params)
		want   string
	}{
		"a share":           {func(p *Params) { p.Crowd.OnlineShare = 1.2 }, "onlineShare is 1.2"},
		"no number":         {func(p *Params) { p.Spread.Inside = math.NaN() }, "inside is NaN"},
		"a probability":     {func(p *Params) { p.Spread.FalseFactor = 400 }, "falseFactor is 400"},
		"nobody":            {func(p *Params) { p.Crowd.People = 1 }, "1 people in 2 communities"},
		"too large":         {func(p *Params) { p.Crowd.Outside.Subscriptions = 1 << 40 }, "outside.subscriptions"},
		"no channels":       {func(p *Params) { p.Crowd.Coalition.Count = 0 }, "coalition.count is 0"},
		"a seed":            {func(p *Params) { p.Seeds = 1 }, "seeds is 1"},
		"no delay":          {func(p *Params) { p.DelaysNs = nil }, "delaysNs is []"},
		"before it happens": {func(p *Params) { p.DelaysNs = []time.Duration{-1} }, "delaysNs is [-1ns]"},
		"no end":            {func(p *Params) { p.HorizonNs = 0 }, "horizonNs is 0s"},
		"no reaction":       {func(p *Params) { p.Spread.ReactionMedianNs = 0 }, "median 0s"},
		"seen too early":    {func(p *Params) { p.Spread.DeliveryNs = -1 }, "deliveryNs is -1ns"},
	} {
		p := small()
		c.change(&p)
		if _, err := Study(p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, which does not say %q", name, err, c.want)
		}
	}
	if err := Default().Check(); err != nil {
		t.Error(err)
	}
}

// A 95 % interval holds what it is of 95 times in a hundred, also that of a share and of a difference.
func TestIntervalsHoldTheirMeans(t *testing.T) {
	const trials, seeds = 4000, 12
	r := rand.New(rand.NewPCG(1, 2))
	held := [3]int{}
	for range trials {
		var whole, part, other figure
		for range seeds {
			common := r.NormFloat64()
			n := 100 + 10*r.NormFloat64()
			whole, part = append(whole, n), append(part, 0.3*n+r.NormFloat64())
			other = append(other, 5+common)
			part[len(part)-1] += common
		}
		holds := func(i Interval, v float64) int {
			if i.Low <= v && v <= i.High {
				return 1
			}
			return 0
		}
		held[0] += holds(IntervalOf(other), 5)
		held[1] += holds(pooled(part, whole).share(), 0.3)
		held[2] += holds(part.less(other), 25)
	}
	for i, n := range held {
		if share := float64(n) / trials; share < 0.93 || share > 0.97 {
			t.Errorf("interval %d holds its mean %.3f of the time", i, share)
		}
	}
}

var (
	wholeSeeds = flag.Int("cascade.seeds", 20, "how many seeds BenchmarkElectionSurge plays")
	wholeOut   = flag.String("cascade.out", "", "where BenchmarkElectionSurge writes election-surge.json and election-surge.md, with the sensitivity; empty: nowhere, and without")
)

// The whole study: a second or two a seed and core.
func BenchmarkElectionSurge(b *testing.B) {
	p := Default()
	p.Seeds = *wholeSeeds
	var r Result
	for range b.N {
		var err error
		if r, err = Study(p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N*p.Seeds), "s/seed")
	if *wholeOut == "" {
		return
	}
	b.StopTimer()
	v, err := Sensitivity(p)
	if err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	if err := Render(&text, r, v); err != nil {
		b.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"study": r, "variations": v})
	if err != nil {
		b.Fatal(err)
	}
	for name, content := range map[string][]byte{"election-surge.md": []byte(text.String()), "election-surge.json": data} {
		if err := os.WriteFile(filepath.Join(*wholeOut, name), content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
}
