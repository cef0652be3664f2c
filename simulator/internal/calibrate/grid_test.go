package calibrate

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// The grid has what a fit must have to say anything, and is no longer than it says.
func TestTheGridIsWide(t *testing.T) {
	points := Grid(Options{Seed: 1})
	var fitted, held []Point
	sizes, shards, bytes, rates, names := map[int]bool{}, map[int]bool{}, map[int]bool{}, map[float64]bool{}, map[string]bool{}
	largest := 0
	var grid, heldOut time.Duration
	for _, p := range points {
		if names[p.Name] {
			t.Errorf("%s is there twice", p.Name)
		}
		names[p.Name] = true
		if p.HeldOut {
			held = append(held, p)
			heldOut += p.Lasts()
			continue
		}
		fitted = append(fitted, p)
		grid += p.Lasts()
		largest = max(largest, p.Sessions)
		shards[p.Shards] = true
		if p.PostsPerSecond > 0 {
			rates[p.PostsPerSecond] = true
			continue
		}
		sizes[p.Sessions] = true
		for _, b := range p.Bytes {
			bytes[b] = true
		}
		if p.Repeats < wantRepeats {
			t.Errorf("%s has %d repeats", p.Name, p.Repeats)
		}
	}
	if len(sizes) < wantSizes || decades(fitted) < wantDecades || len(shards) < 3 || len(bytes) < 3 || len(rates) < 5 {
		t.Errorf("%d sizes over %.2f decades, %d shards, %d payloads, %d rates", len(sizes), decades(fitted), len(shards), len(bytes), len(rates))
	}
	for _, sessions := range []int{50_000, 100_000} {
		n := 0
		for _, p := range held {
			if p.Sessions == sessions {
				n++
			}
			if p.Sessions <= largest {
				t.Errorf("%s is held out, and the fit sees %d sessions", p.Name, largest)
			}
		}
		if n < wantRuns {
			t.Errorf("%d runs of %d sessions are held out", n, sessions)
		}
	}
	if grid > 30*time.Minute || heldOut > 25*time.Minute {
		t.Errorf("the grid takes %s, what is held out %s", grid, heldOut)
	}
}

// Each point is a scenario that both engines take, with as many broadcasts of each size as it says, none before the one before it is over.
func TestEveryPointIsAScenario(t *testing.T) {
	for _, p := range append(Grid(Options{}), Grid(Options{Quick: true})...) {
		s, err := p.Scenario(1)
		if err != nil {
			t.Fatal(err)
		}
		if s.Population.Sessions() != p.Sessions || s.Target.Local.Shards != p.Shards || s.Target.Local.Stores != p.Stores || int(s.Workers.Count) != p.Workers {
			t.Errorf("%s: %+v", p.Name, s)
		}
		bySize := map[int]int{}
		n := 0
		for _, post := range schedule.Posts(s) {
			if post.Broadcast == schedule.NoBroadcast {
				continue
			}
			if want := p.Bytes[n%len(p.Bytes)]; post.Bytes != want {
				t.Errorf("%s: broadcast %d has %d bytes, want %d", p.Name, n, post.Bytes, want)
			}
			bySize[post.Bytes]++
			n++
		}
		for _, bytes := range p.Bytes {
			if bySize[bytes] != p.Repeats {
				t.Errorf("%s: %d broadcasts of %d bytes, want %d", p.Name, bySize[bytes], bytes, p.Repeats)
			}
		}
	}
}

func TestTheSeedOrdersTheGrid(t *testing.T) {
	a, again, b := Grid(Options{Seed: 1}), Grid(Options{Seed: 1}), Grid(Options{Seed: 2})
	if !reflect.DeepEqual(a, again) {
		t.Error("one seed gave two orders")
	}
	if reflect.DeepEqual(a, b) {
		t.Error("two seeds gave one order")
	}
	sorted := slices.IsSortedFunc(a, func(x, y Point) int { return x.Sessions - y.Sessions })
	if sorted {
		t.Error("the sizes are in order, so what drifts with the hour is taken for what comes with the size")
	}
}

func TestAGridCanBeCut(t *testing.T) {
	for _, p := range Grid(Options{Sessions: []int{500, 50_000}, Repeats: 2, HeldOutRuns: 3}) {
		if p.Sessions != 500 && p.Sessions != 50_000 {
			t.Errorf("%s is there", p.Name)
		}
		if p.Repeats != 2 || p.Run > 3 {
			t.Errorf("%+v", p)
		}
	}
	if slices.ContainsFunc(Grid(Options{HeldOutRuns: -1}), func(p Point) bool { return p.HeldOut }) {
		t.Error("something is held out")
	}
	var all time.Duration
	for _, p := range Grid(Options{Quick: true}) {
		all += p.Lasts()
	}
	if all > 5*time.Minute {
		t.Errorf("the quick grid takes %s", all)
	}
}
