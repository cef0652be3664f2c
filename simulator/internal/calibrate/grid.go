package calibrate

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/scenario"
)

// Point is one run of the grid: a fleet of its own, sessions that stay, and broadcasts to all of them or chatter in channels.
type Point struct {
	Name     string `json:"name"`
	Stores   int    `json:"stores"`
	Shards   int    `json:"shards"`
	Sessions int    `json:"sessions"`
	// The sizes of the broadcasts, which take turns, and how many there are of each. They are the repeats of one connected population.
	Bytes   []int `json:"bytes,omitempty"`
	Repeats int   `json:"repeats,omitempty"`
	// Or posts a second in channels of this many sessions each.
	PostsPerSecond float64 `json:"postsPerSecond,omitempty"`
	Readers        int     `json:"readers,omitempty"`
	// Processes of the generator; 0 is as few as can be.
	Workers int `json:"workers,omitempty"`
	// The fit does not see it. A held-out point is run several times; this one is the Run-th, from 1.
	HeldOut bool `json:"heldOut,omitempty"`
	Run     int  `json:"run,omitempty"`
}

// The sizes of a run, in time.
const (
	connectPerSecond = 1300
	leadTime         = 2 * time.Second
	tailTime         = time.Second
	chatterTime      = 12 * time.Second
	chatterBytes     = 200
	// setUp is what starting and ending a fleet takes, about; for the estimate alone.
	setUp = 9 * time.Second
)

// Options cut and shape a grid.
type Options struct {
	// Only points of these sizes; all if there is none.
	Sessions []int
	// How many broadcasts of each size of payload; 0 is defaultRepeats.
	Repeats int
	// How many runs of each held-out point; 0 is defaultHeldOutRuns, below 0 none.
	HeldOutRuns int
	// Five small points and one to be held out, for trying it out: a fit to them says little.
	Quick bool
	// By which the points are put in order.
	Seed uint64
}

const (
	defaultRepeats     = 5
	defaultHeldOutRuns = 5
)

// payloads are the sizes of posts that the grid has: a line, a paragraph, a page.
var payloads = []int{200, 1000, 4000}

// Grid is the designed grid: sessions over a decade and a half, shards from one to six, payloads, and rates of chatter up to what two cores cannot
// take; and, held out of the fit, the largest sizes. The order is random, so that what drifts with the hour favours no size.
func Grid(o Options) []Point {
	repeats, heldOut := o.Repeats, o.HeldOutRuns
	if repeats == 0 {
		repeats = defaultRepeats
	}
	if heldOut == 0 {
		heldOut = defaultHeldOutRuns
	}
	bySize := map[int][]int{500: {1, 2, 4}, 1000: {2, 4}, 2000: {1, 2, 6}, 5000: {1, 2, 4}, 10000: {1, 2, 4, 6}, 20000: {2, 4, 6}, 30000: {4, 6}}
	rates := []rate{{2, 50}, {2, 150}, {2, 250}, {2, 350}, {2, 500}, {4, 100}, {4, 200}, {4, 400}}
	// What waits for cores waits the longer the more threads there are, and the largest sizes have many.
	crowded := []Point{{Sessions: 5000, Shards: 4, Workers: 6}, {Sessions: 10_000, Shards: 6, Workers: 12}, {Sessions: 20_000, Shards: 6, Workers: 12}}
	largest := []Point{{Sessions: 50_000, Shards: 4, Repeats: repeats}, {Sessions: 100_000, Shards: 6, Repeats: (repeats + 1) / 2}}
	readers := 100
	if o.Quick {
		bySize, rates = map[int][]int{300: {1, 2}, 1000: {1}, 3000: {2}}, []rate{{2, 50}}
		crowded, largest, heldOut = nil, []Point{{Sessions: 6000, Shards: 2, Repeats: repeats}}, min(heldOut, 2)
	}
	var points []Point
	for sessions, shards := range bySize {
		for _, n := range shards {
			points = append(points, Point{Name: fmt.Sprintf("broadcast-%d-%d", sessions, n), Shards: n, Sessions: sessions, Bytes: payloads, Repeats: repeats})
		}
	}
	for _, r := range rates {
		points = append(points, Point{Name: fmt.Sprintf("chatter-%g-%d", r.perSecond, r.shards), Shards: r.shards, Sessions: 2000, PostsPerSecond: r.perSecond, Readers: readers})
	}
	for _, p := range crowded {
		p.Name, p.Bytes, p.Repeats = fmt.Sprintf("crowded-%d-%d-%d", p.Sessions, p.Shards, p.Workers), payloads, repeats
		points = append(points, p)
	}
	for _, p := range largest {
		for k := range max(heldOut, 0) {
			p.Name, p.Bytes, p.HeldOut, p.Run = fmt.Sprintf("held-out-%d-%d", p.Sessions, k+1), []int{200}, true, k+1
			points = append(points, p)
		}
	}
	if len(o.Sessions) > 0 {
		points = slices.DeleteFunc(points, func(p Point) bool { return !slices.Contains(o.Sessions, p.Sessions) })
	}
	for i := range points {
		points[i].Stores = 3
	}
	slices.SortFunc(points, func(a, b Point) int { return strings.Compare(a.Name, b.Name) })
	// What is held out is among the others: on a machine whose pace drifts with the hour it would else be of another hour than what is fitted.
	order := rand.New(rand.NewPCG(o.Seed, hash("order")))
	order.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points
}

type rate struct {
	shards    int
	perSecond float64
}

func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// Lasts is about how long the run takes, all in all.
func (p Point) Lasts() time.Duration {
	return (setUp + p.connect() + leadTime + p.measure()).Round(time.Second)
}

func (p Point) connect() time.Duration {
	return max(time.Duration(p.Sessions)*time.Second/connectPerSecond, time.Second).Round(100 * time.Millisecond)
}

// spacing is from one broadcast to the next: more than twice what one takes on two cores, so that each meets a fleet at rest.
func (p Point) spacing() time.Duration {
	takes := 150*time.Millisecond + time.Duration(p.Sessions)*25*time.Microsecond
	if p.Sessions > 50_000 {
		takes *= 2 // Pings and idle threads leave little of two cores.
	}
	return max(2*takes, 700*time.Millisecond).Round(100 * time.Millisecond)
}

func (p Point) measure() time.Duration {
	if p.PostsPerSecond > 0 {
		return chatterTime
	}
	return tailTime + p.spacing()*time.Duration(len(p.Bytes)*p.Repeats)
}

// Scenario is what the live engine and the model play, both the same.
func (p Point) Scenario(seed uint64) (*v1alpha1.Scenario, error) {
	var load strings.Builder
	channels := ""
	if p.PostsPerSecond > 0 {
		channels = fmt.Sprintf("\n  channels: %d\n  attachPerSession: 1", max(p.Sessions/max(p.Readers, 1), 1))
		fmt.Fprintf(&load, "chatter: {ratePerSecond: %g, messageBytes: %dB}\n", p.PostsPerSecond, chatterBytes)
	} else {
		load.WriteString("broadcasts:\n")
		for k, bytes := range p.Bytes {
			again := ""
			if p.Repeats > 1 {
				again = fmt.Sprintf(", every: %s, count: %d", p.spacing()*time.Duration(len(p.Bytes)), p.Repeats)
			}
			fmt.Fprintf(&load, "  - {at: %s%s, messageBytes: %dB, deliverWithin: 20s}\n", 500*time.Millisecond+time.Duration(k)*p.spacing(), again, bytes)
		}
	}
	workers := ""
	if p.Workers > 0 {
		workers = fmt.Sprintf("workers: {count: %d}\n", p.Workers)
	}
	text := fmt.Sprintf(`apiVersion: chatfleet.io/v1alpha1
kind: Scenario
name: %s
description: A point of the grid of simulator calibrate.
seed: %d
target:
  local: {stores: %d, shards: %d}
population:
  subscribers: %d%s
phases:
  connect: {duration: %s}
  warmup: %s
  measure: %s
  settle: 20s
%s%sthresholds:
  - {metric: lost, bound: 0}
  - {metric: duplicate, bound: 0}
  - {metric: missingSessions, bound: 0}
`, p.Name, (hash(p.Name)^seed)>>12, p.Stores, p.Shards, p.Sessions, channels, p.connect(), leadTime, p.measure(), load.String(), workers)
	s, err := scenario.Read(p.Name, strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the grid's point %s: %w", p.Name, err)
	}
	return s, nil
}

// Rest is about how long the points take that are not done.
func Rest(points []Point, done map[string]bool) (n int, lasts time.Duration) {
	for _, p := range points {
		if !done[p.Name] {
			n++
			lasts += p.Lasts()
		}
	}
	return n, lasts
}

// decades is over how many powers of ten the sizes of the fitted points go.
func decades(points []Point) float64 {
	least, most := math.Inf(1), 0.0
	for _, p := range points {
		if !p.HeldOut && p.PostsPerSecond == 0 {
			least, most = min(least, float64(p.Sessions)), max(most, float64(p.Sessions))
		}
	}
	return math.Log10(most / least)
}
