package calibrate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/report"
)

// reported is the report of a run in which everything came.
func reported(s *v1alpha1.Scenario) report.Report {
	response := measure.NewHistogram()
	response.RecordN(8*time.Millisecond, 15)
	r := report.Report{
		StartedAt: time.Unix(1000, 0).UTC(), Phases: []report.Phase{{Name: report.PhaseMeasure, FromMs: 2000, ToMs: 12_000}},
		Simulator: report.Simulator{CPU: "x", Cores: 2, Kernel: "6", Platform: "linux/amd64"}, Processors: &report.Processors{GeneratorSeconds: 3, BusySeconds: 9.2, InterruptSeconds: 1},
		Posts: report.Posts{Intended: 15, Acknowledged: 15}, Histograms: report.Histograms{Response: response},
		Fleet: report.Fleet{Processes: []report.Process{{Role: "store", CPUSeconds: 2}, {Role: "store", CPUSeconds: 1}, {Role: "shard", CPUSeconds: 4}}},
	}
	n := int64(s.Population.Sessions())
	r.Sessions.Wanted, r.Sessions.SignedIn = n, n
	r.Series.Delivered = measure.NewSeries(0)
	r.Series.Delivered.Add(1900*time.Millisecond, 7)
	r.Series.Delivered.Add(2*time.Second, n)
	r.Series.Delivered.Add(12*time.Second, 9)
	if s.Chatter != nil {
		return r
	}
	for k := range 6 {
		h := measure.NewHistogram()
		h.RecordN(time.Duration(10+k)*time.Millisecond, n/2)
		h.RecordN(time.Duration(20+k)*time.Millisecond, n-n/2)
		r.Broadcasts = append(r.Broadcasts, report.Broadcast{Recipients: n, Latency: h})
	}
	return r
}

func collection(dir string, done []Observation) Collection {
	now := time.Unix(0, 0)
	return Collection{
		Dir: dir, Done: done, Seed: 1, Commit: "abc", Say: func(string, ...any) {},
		Points: Grid(Options{Quick: true, HeldOutRuns: -1, Repeats: 2}),
		Now:    func() time.Time { now = now.Add(time.Second); return now },
		Play:   func(_ context.Context, s *v1alpha1.Scenario) (report.Report, error) { return reported(s), nil },
	}
}

// A grid that was stopped, in whatever way, goes on where it was, and runs nothing twice.
func TestAGridGoesOnWhereItStopped(t *testing.T) {
	dir := t.TempDir()
	played := map[string]int{}
	for rounds := 0; ; rounds++ {
		done, err := ReadObservations(dir)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		c := collection(dir, done)
		n := 0
		c.Play = func(_ context.Context, s *v1alpha1.Scenario) (report.Report, error) {
			if n++; n == 2 {
				cancel() // in the middle of the second
				return report.Report{}, nil
			}
			played[s.Name]++
			return reported(s), nil
		}
		all, whole, err := c.Run(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if whole {
			if len(all) != len(c.Points) || rounds < 3 {
				t.Errorf("%d of %d after %d rounds", len(all), len(c.Points), rounds)
			}
			break
		}
		if rounds > 20 {
			t.Fatal("it never ends")
		}
	}
	for name, n := range played {
		if n != 1 {
			t.Errorf("%s was run %d times", name, n)
		}
	}
}

func TestNoRunIsBegunThatWouldEndTooLate(t *testing.T) {
	c := collection(t.TempDir(), nil)
	c.For = c.Points[0].Lasts() + 2*time.Second
	all, whole, err := c.Run(context.Background())
	if err != nil || whole || len(all) != 1 {
		t.Errorf("%d runs, whole %t, %v", len(all), whole, err)
	}
}

// A run that is no sample is tried again once all others were run, and is given up after some times.
func TestWhatIsNoSampleIsTriedAgain(t *testing.T) {
	c := collection(t.TempDir(), nil)
	bad := c.Points[0].Name
	var order []string
	c.Play = func(_ context.Context, s *v1alpha1.Scenario) (report.Report, error) {
		order = append(order, s.Name)
		r := reported(s)
		if s.Name == bad {
			r.Processors.BusySeconds = 20
		}
		return r, nil
	}
	all, whole, err := c.Run(context.Background())
	if err != nil || !whole {
		t.Fatal(whole, err)
	}
	if n := len(c.Points); len(order) != n+mostAttempts-1 || order[1] == bad || order[n] != bad {
		t.Errorf("run in the order %v", order)
	}
	if len(Usable(all)) != len(c.Points)-1 || !strings.Contains(all[0].Unusable, "others used") {
		t.Errorf("%+v", all[0])
	}
}

func TestAFailedRunEndsIt(t *testing.T) {
	c := collection(t.TempDir(), nil)
	c.Play = func(context.Context, *v1alpha1.Scenario) (report.Report, error) {
		return report.Report{}, errors.New("no chatd")
	}
	if _, whole, err := c.Run(context.Background()); err == nil || whole || !strings.Contains(err.Error(), c.Points[0].Name) {
		t.Errorf("%t, %v", whole, err)
	}
}

func TestWhatIsObserved(t *testing.T) {
	p := Point{Name: "p", Sessions: 1000, Shards: 2, Bytes: []int{200, 1000, 4000}, Repeats: 2}
	s, err := collection("", nil).Points[0].Scenario(1)
	if err != nil {
		t.Fatal(err)
	}
	s.Population.Subscribers = 1000
	o := Observe(p, 7, "abc", reported(s))
	if o.Unusable != "" || o.Stores != 3 || o.Shards != 4 || o.Generator != 3 || o.Interrupts != 1 || o.Seconds != 10 || o.Delivered != 1000 || o.Others != 0.01 {
		t.Errorf("%+v", o)
	}
	if b := o.Broadcasts[4]; b.Bytes != 1000 || b.P50Ms > 14.1 || b.LastMs < 23.9 || b.LastMs > 24.1 {
		t.Errorf("%+v", b)
	}
	for name, spoil := range map[string]func(r *report.Report){
		"signed in":    func(r *report.Report) { r.Sessions.SignedIn-- },
		"lost":         func(r *report.Report) { r.Deliveries.Lost = 1 },
		"doubled":      func(r *report.Report) { r.Deliveries.Duplicate = 1 },
		"fleet ended":  func(r *report.Report) { r.Fleet.Exits = []string{"shard-1: killed"} },
		"stepped":      func(r *report.Report) { r.Clock.StepMs = 9 },
		"acknowledged": func(r *report.Report) { r.Posts.Acknowledged-- },
		"others used":  func(r *report.Report) { r.Processors.StolenSeconds = 2 },
		"nothing":      func(r *report.Report) { r.Posts.Intended, r.Posts.Acknowledged = 0, 0 },
	} {
		r := reported(s)
		spoil(&r)
		if got := Observe(p, 7, "abc", r); !strings.Contains(got.Unusable, name) {
			t.Errorf("%s: %q", name, got.Unusable)
		}
	}
}

// What is in the file is what was written; a line that was cut off at the end is left out, one before the end is an error.
func TestObservationsAreKept(t *testing.T) {
	dir := t.TempDir()
	c := collection(dir, nil)
	all, _, err := c.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, ObservationsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text string
		want int
	}{
		"whole": {string(text), len(all)}, "cut off": {string(text[:len(text)-20]), len(all) - 1}, "cut off within": {string(text[20:]), -1},
		"another schema": {strings.Replace(string(text), "observation/v1", "observation/v9", 1), -1},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadObservations(dir)
		if tt.want < 0 != (err != nil) || err == nil && len(got) != tt.want {
			t.Errorf("%s: %d, %v", name, len(got), err)
		}
		if name != "cut off" {
			continue
		}
		if err := Append(dir, all[len(all)-1]); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(path); err != nil || string(again) != string(text) {
			t.Errorf("after a line that was cut off: %v", err)
		}
	}
}
