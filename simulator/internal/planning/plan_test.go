package planning

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

func rendered(t testing.TB, p Plan) string {
	t.Helper()
	var text strings.Builder
	if err := Render(&text, p, "out/plan", "2026-11-30 (of today)"); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// What a plan may be called, and why; and its text, and the same of what is read back.
func TestVerdicts(t *testing.T) {
	within := func(q *Question) { q.Calibration = tested(0.05) }
	for name, tt := range map[string]struct {
		q        Question
		code     int
		says     string
		grade    string
		headline string
	}{
		"within what was measured": {with(within), verdict.ExitPass, "", "A", "PLAN: 20,000 subscribers"},
		"untested":                 {question(), verdict.ExitInconclusive, "grade D", "D", "PLAN, INDICATIVE, TEST IT FIRST: "},
		"far beyond":               {with(func(q *Question) { within(q); q.Subscribers = 420_000 }), verdict.ExitInconclusive, "21 times beyond", "D", "PLAN, INDICATIVE"},
		"an interval that reaches beyond": {with(func(q *Question) {
			within(q)
			roomy(q)
			q.Headroom = 0.01
			q.Objective.Within = 40500 * time.Microsecond
		}), verdict.ExitInconclusive, "ask for more --headroom", "A", "PLAN, INCONCLUSIVE"},
		"the way alone":                        {with(func(q *Question) { q.Places = []v1alpha1.Place{far(1, "Quito", 3*time.Second)} }), verdict.ExitFail, "so the round trips alone take longer", "", "NO FLEET MEETS THIS"},
		"only without headroom":                {with(func(q *Question) { q.Objective.Within, q.Headroom = 5*time.Millisecond, 0.6 }), verdict.ExitFail, "(5ms less --headroom)", "", "NO FLEET MEETS THIS"},
		"too many for a ChatCluster":           {with(func(q *Question) { q.Pod.Connections = 20 }), verdict.ExitFail, "open files alone takes 1,430 shards, and a ChatCluster has at most 1,000", "", "NO FLEET MEETS THIS"},
		"no room even without sessions":        {with(func(q *Question) { q.Pod.MemoryBytes = 192 << 20 }), verdict.ExitFail, "memory: no number of shards is enough", "", "NO FLEET MEETS THIS"},
		"so many that publishing takes longer": {with(func(q *Question) { q.Pod.Connections, q.Objective = 30, Objective{100, 9 * time.Millisecond} }), verdict.ExitFail, "publishing to one after the other takes too long", "D", "NO FLEET MEETS THIS"},
	} {
		t.Run(name, func(t *testing.T) {
			p := planned(t, tt.q)
			grade := ""
			if p.Found != nil {
				grade = p.Grade
			}
			if p.ExitCode != tt.code || !strings.Contains(strings.Join(p.Reasons, "\n"), tt.says) || grade != tt.grade {
				t.Errorf("exit code %d, grade %q, %q; want %d, %q and %q", p.ExitCode, grade, p.Reasons, tt.code, tt.grade, tt.says)
			}
			if (p.Verdict == verdict.Pass) != (tt.code == verdict.ExitPass) || (p.Found != nil && p.Test != nil) != (grade == "D") {
				t.Errorf("verdict %s, exit code %d, grade %s, test %v", p.Verdict, p.ExitCode, grade, p.Found != nil && p.Test != nil)
			}
			text := rendered(t, p)
			if !strings.HasPrefix(text, tt.headline) {
				t.Error(text)
			}
			for line := range strings.Lines(text) {
				if utf8.RuneCountInString(line) > width+1 {
					t.Errorf("too wide: %s", line)
				}
			}
			data, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if back, ok := Parse(data); !ok || rendered(t, back) != text || back.ExitCode != p.ExitCode {
				t.Errorf("read back it says\n%s", rendered(t, back))
			}
		})
	}
}

// The fleet has as many shards as the demand that needs most, and which that is follows from what is scarce.
func TestWhatBinds(t *testing.T) {
	for want, change := range map[string]func(q *Question){
		"open files":        func(q *Question) { q.Pod.Connections = 1000 },
		"memory":            func(q *Question) { q.Pod.MemoryBytes = 320 << 20 },
		"time to 99.9 %":    func(q *Question) { roomy(q); q.Objective.Within = 40 * time.Millisecond },
		"processor, steady": func(q *Question) { roomy(q); q.PostsPerSecond = 100 },
		"network":           func(q *Question) { roomy(q); q.Pod.NetworkPerSecond, q.PostsPerSecond = 1e6, 2 },
		"growth":            func(q *Question) { q.GrowthPerMinute = 400_000 },
		"return":            func(q *Question) { roomy(q); q.BackWithin, q.Pod.Cores = 6*time.Second, 0.5 },
	} {
		p := planned(t, with(change))
		if p.Binding != want || p.Found == nil {
			t.Errorf("%s binds, want %s: %v", p.Binding, want, p.Reasons)
			continue
		}
		for _, d := range p.Demands {
			if d.Shards > p.Fleet.Shards || d.Name == want && d.Shards != p.Fleet.Shards {
				t.Errorf("%s: the fleet has %d shards, %s needs %d", want, p.Fleet.Shards, d.Name, d.Shards)
			}
			if d.Name != "growth" && d.Used > d.Most*p.Asked.spare()*(1+1e-9) {
				t.Errorf("%s: %s uses %g of %g", want, d.Name, d.Used, d.Most)
			}
		}
	}
}

// The same question gives the same plan, to the byte, on any number of cores.
func TestTheSamePlan(t *testing.T) {
	q := with(func(q *Question) {
		q.Places, q.Seeds = []v1alpha1.Place{far(0.5, "Jakarta", 190*time.Millisecond), far(0.5, "Quito", 160*time.Millisecond)}, 2
	})
	text := func(cores int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		p := planned(t, q)
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(data) + p.Patch() + p.Test.Scenario
	}
	one := text(1)
	if two := text(2); one != two {
		t.Error("another plan on two cores")
	}
	if !strings.Contains(one, `"grade":"D"`) || !strings.Contains(one, `"shards":3`) {
		t.Errorf("the plan lacks what was found: %.400s", one)
	}
}

// Cost, bounds by hand and growth, by hand once more, with round figures.
func TestFigures(t *testing.T) {
	q := with(func(q *Question) {
		q.Subscribers, q.Headroom, q.Lose, q.PostsPerSecond, q.Pod.TLS, q.Pod.Connections = 100_000, 0, 0, 0.1, false, 10_000
		q.Prices.CoreHour, q.Prices.GiBHour, q.Prices.EgressGB = 1, 0.1, 0.01
		for i := range q.Calibration.Coefficients {
			switch k := &q.Calibration.Coefficients[i]; k.Name {
			case calibration.Write:
				k.Value = 10
			case calibration.Frame:
				k.Value = 100
			case calibration.SessionMemory:
				k.Value = 1000
			case calibration.SocketMemory:
				k.Value = 9000
			case calibration.PodReplacement:
				k.Value = 30_000
			}
		}
	})
	p := planned(t, q)
	f := p.Fleet
	if f.Shards != 10 || f.Left != 10 || f.SessionsIfLost != 10_000 || f.Stores.Count != 3 {
		t.Fatalf("%+v", f)
	}
	// 192 MiB and 10,000 × 10 kB are 287.4 MiB.
	if f.MemoryBytes != 320<<20 {
		t.Errorf("%d MiB a pod", f.MemoryBytes>>20)
	}
	near := func(name string, got, want float64) {
		if math.Abs(got/want-1) > 1e-3 {
			t.Errorf("%s: %g, want %g", name, got, want)
		}
	}
	near("cores", f.TotalCores, 10*4+3*2)
	near("GiB", f.TotalMemoryGiB, 10*0.3125+3*4)
	near("egress", f.EgressGBMonthly, 0.1*730*3600*100_000*300/1e9)
	near("cost", p.Cost.Total, 46*730+15.125*0.1*730+7884*0.01)
	near("by cores", float64(p.Hand.Cores), 99_900*10_000/40.0)
	near("by network", float64(p.Hand.Network), 99_900*300/12.5)
	// All of 10 × 10,000 connections are taken.
	if g := p.Growth; g.Arriving != time.Minute || g.Room != 0 || g.PerMinute != 0 {
		t.Errorf("%+v", g)
	}
	q.Headroom = 0.5 // 20 shards, with room for 100,000 more; their memory has it, since it is sized with headroom
	p = planned(t, q)
	if p.Fleet.MemoryBytes != 512<<20 { // Twice 192 MiB and 5,000 × 10 kB, which are 479.4 MiB.
		t.Errorf("%d MiB a pod with headroom", p.Fleet.MemoryBytes>>20)
	}
	if g := p.Growth; p.Fleet.Shards != 20 || g.Room != 100_000 || g.PerMinute != 100_000 {
		t.Errorf("%d shards, %+v", p.Fleet.Shards, g)
	}
	for _, q.Pod.TLS = range []bool{false, true} {
		for _, d := range q.divisions() {
			if want := 100_000 * q.Calibration.SessionBytes(q.Pod.TLS); d.Name == "memory" && d.total != want {
				t.Errorf("%g bytes of all sessions, want %g", d.total, want)
			}
		}
	}
	if q.Lose = 2; q.stores(f.Shards).Count != 5 {
		t.Error("three stores survive the loss of one")
	}
}

// Growth that the room does not bear takes shards beforehand, and the text says so; what it bears, scaling passes.
func TestPreWarming(t *testing.T) {
	for _, tt := range []struct {
		perMinute float64
		want      string
	}{{1000, "scaling keeps up"}, {400_000, "only pre-warming passes"}} {
		p := planned(t, with(func(q *Question) { q.GrowthPerMinute = tt.perMinute }))
		if text := strings.Join(strings.Fields(rendered(t, p)), " "); !strings.Contains(text, tt.want) {
			t.Errorf("%g a minute: %s", tt.perMinute, text)
		}
		if p.Growth.PerMinute < tt.perMinute {
			t.Errorf("the fleet bears %g a minute, not %g", p.Growth.PerMinute, tt.perMinute)
		}
	}
}

// What a plan of grade D demands is a scenario that is right, for a local fleet.
func TestTheTestIsAScenario(t *testing.T) {
	for _, f := range figures {
		for _, sessions := range []int64{1, 12_563, 250_000} {
			made := with(func(q *Question) { q.Objective.Percentile = f.percentile }).test(Fleet{SessionsIfLost: sessions})
			s, err := scenario.Read(TestFile, strings.NewReader(made.Scenario))
			if err != nil {
				t.Fatalf("%s: %v\n%s", f.text, err, made.Scenario)
			}
			last := s.Thresholds[len(s.Thresholds)-1]
			if s.Target.Local == nil || int64(s.Population.Subscribers) != min(sessions, mostTested) || last.Metric != f.metric {
				t.Errorf("%s: %+v", f.text, s)
			}
		}
	}
}

// Pings take their part of every shard's cores, whatever else there is to do.
func TestPingsAreCounted(t *testing.T) {
	q := with(roomy)
	pings := with(func(q *Question) { roomy(q); q.Calibration = q.Calibration.Moved(calibration.Ping, 25) })
	more := 20_000 * 25 * 8e-6 / 20 // the standard error is 8 µs
	for i, d := range pings.divisions() {
		want := 0.0
		if strings.HasPrefix(d.Name, "processor") {
			want = more
		}
		if got := d.total - q.divisions()[i].total; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %g more, want %g", d.Name, got, want)
		}
	}
	// The sign-ins of the lost half on the shard that is left, twice, at the pace that pings leave.
	work := 2 * 10_000 * q.seconds(calibration.SignIn)
	if later, want := pings.returnAtMost(1)-q.returnAtMost(1), work/pings.pace(20_000)-work/q.pace(20_000); math.Abs(later.Seconds()/want-1) > 0.01 {
		t.Errorf("back %s later, want %g s", later, want)
	}
	f := Fleet{Left: 1, MemoryBytes: q.Pod.MemoryBytes, SessionsIfLost: 20_000}
	quiet, busy := q.growing(f, 300*time.Millisecond), pings.growing(f, 300*time.Millisecond)
	if fewer := (quiet.BySignIns - busy.BySignIns) / 60 * q.seconds(calibration.SignIn); math.Abs(fewer-more) > 0.01 || busy.Room >= quiet.Room {
		t.Errorf("%+v, with pings %+v", quiet, busy)
	}
}

// Where posts meet, several are played, and the plan is for the slowest.
func TestPostsThatMeet(t *testing.T) {
	q := with(func(q *Question) { roomy(q); q.Pod.Cores = 0.5 })
	alone, err := q.timeWith(2)
	if err != nil {
		t.Fatal(err)
	}
	q.PostsPerSecond = 20
	together, err := q.timeWith(2)
	if err != nil {
		t.Fatal(err)
	}
	if n := q.broadcasts(2).Broadcasts[0].Count; n != mostPosts || together <= alone {
		t.Errorf("%d posts: %s, and one alone %s", n, together, alone)
	}
}

// Everything a plan says is written, and read back the same.
func TestPlansAreJSON(t *testing.T) {
	for _, q := range []Question{question(), with(func(q *Question) { q.Pod.Connections = 20 })} {
		p := planned(t, q)
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if _, ok := back["fleet"]; ok != (p.Found != nil) || back["schema"] != Schema || bytes.Contains(data, []byte("null")) {
			t.Errorf("%.300s", data)
		}
		if got := fmt.Sprint(back["exitCode"]); got != fmt.Sprint(p.ExitCode) {
			t.Errorf("exit code %s", got)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	q := with(func(q *Question) { q.Subscribers, q.Seeds = 2_500_000, 3 })
	for b.Loop() {
		planned(b, q)
	}
}
