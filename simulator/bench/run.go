package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// protocol is how a run goes: each pass starts all targets, one after the other and in another order each time, and has them bring posts.
type protocol struct {
	options
	few, size, passes, rounds, burst int
	settle                           time.Duration
}

// Round is one measurement: a post, or a burst of them, to all subscribers.
type Round struct {
	Pass  int `json:"pass"`
	Posts int `json:"posts"`
	// From when the first post was handed over, milliseconds.
	P50  float64 `json:"p50Ms"`
	P99  float64 `json:"p99Ms"`
	Last float64 `json:"lastMs"`
	// CPU microseconds a delivery, of the process with the subscribers, and of all of the target's.
	CPU    float64 `json:"cpuUs"`
	CPUAll float64 `json:"cpuAllUs"`
	// Lost, Doubled and Disordered deliveries.
	Lost       int `json:"lost"`
	Doubled    int `json:"doubled"`
	Disordered int `json:"disordered"`
}

// Result is all rounds of one target.
type Result struct {
	Target string  `json:"target"`
	Rounds []Round `json:"rounds"`
	// Bytes that one subscriber more costs the process that has it, of each pass.
	BytesEach []float64 `json:"bytesEach"`
	// SystemShare is how much of that process's CPU time was the kernel's.
	SystemShare float64 `json:"systemShare"`

	ticks ticks
}

// Results is a run.
type Results struct {
	Began    time.Time `json:"began"`
	Machine  string    `json:"machine"`
	Sessions int       `json:"sessions"`
	Size     int       `json:"postBytes"`
	Burst    int       `json:"burst"`
	Results  []*Result `json:"results"`
}

func (p protocol) run(ctx context.Context, chosen []kind) (*Results, error) {
	all := &Results{Began: time.Now().UTC().Truncate(time.Second), Machine: machine(), Sessions: p.sessions, Size: p.size, Burst: p.burst}
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(k kind) bool {
		_, err := k.make(p.options)
		if errors.Is(err, errNotHere) {
			fmt.Printf("%s is left out: %v\n", k.name, err)
		}
		return errors.Is(err, errNotHere)
	})
	for _, k := range chosen {
		all.Results = append(all.Results, &Result{Target: k.name})
	}
	began := time.Now()
	for pass := range p.passes {
		for n, i := range rand.Perm(len(chosen)) {
			if err := p.pass(ctx, chosen[i], pass, all.Results[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", chosen[i].name, err)
			}
			done := pass*len(chosen) + n + 1
			left := time.Since(began) / time.Duration(done) * time.Duration(p.passes*len(chosen)-done)
			r := all.Results[i]
			one, burst := r.medians(pass)
			fmt.Printf("pass %d/%d  %-17s last %6.1f ms  %5.1f µs a delivery  burst %9.0f/s  %7.0f bytes each · %s left\n", pass+1, p.passes, r.Target, one.Last,
				one.CPU, burst.perSecond(p.sessions), r.BytesEach[len(r.BytesEach)-1], left.Round(time.Second))
		}
	}
	for _, r := range all.Results {
		r.SystemShare = float64(r.ticks.system) / float64(max(1, r.ticks.system+r.ticks.user))
	}
	return all, nil
}

// pass measures one target once.
func (p protocol) pass(ctx context.Context, k kind, pass int, into *Result) (err error) {
	t, err := k.make(p.options)
	if err != nil {
		return err
	}
	defer t.stop()
	d, err := t.start(ctx)
	if err != nil {
		return err
	}
	swarm, err := startChild("the swarm", self(), "swarm")
	if err != nil {
		return err
	}
	defer swarm.stop()

	var bytes [2]int64
	subscribers := t.processes()[0].pid
	for i, count := range []int{p.few, p.sessions - p.few} {
		var a answer
		if err := swarm.ask(order{Door: &d, Connect: count}, &a); err != nil {
			return err
		}
		if a.Error != "" {
			return errors.New(a.Error)
		}
		if err := p.broadcast(ctx, t, swarm, 1, nil); err != nil { // the first is not like the others
			return err
		}
		if err := sleep(ctx, p.settle); err != nil {
			return err
		}
		if bytes[i], err = pssOf(subscribers); err != nil {
			return err
		}
	}
	into.BytesEach = append(into.BytesEach, float64(bytes[1]-bytes[0])/float64(max(1, p.sessions-p.few)))
	before, err := ticksOf(subscribers)
	if err != nil {
		return err
	}
	for range p.rounds {
		for _, posts := range []int{1, p.burst} {
			round := Round{Pass: pass, Posts: posts}
			if err := p.broadcast(ctx, t, swarm, posts, &round); err != nil {
				return err
			}
			into.Rounds = append(into.Rounds, round)
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	after, err := ticksOf(subscribers)
	into.ticks.user += after.user - before.user
	into.ticks.system += after.system - before.system
	return err
}

// number of the next post, of all targets.
var number uint64

// broadcast has a target bring posts to all, and measures into r if that is not nil.
func (p protocol) broadcast(ctx context.Context, t target, swarm *child, posts int, r *Round) error {
	first := number
	number += uint64(posts)
	var texts []string
	for i := range posts {
		texts = append(texts, text(first+uint64(i), p.size))
	}
	const within = 30 * time.Second
	var a answer
	if err := swarm.ask(order{First: first, Posts: posts, Within: within}, &a); err != nil {
		return err
	}
	before, err := cpu(t)
	if err != nil {
		return err
	}
	began := time.Now().UnixNano()
	if err := t.post(ctx, texts); err != nil {
		return err
	}
	if err := swarm.hear(&a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	if err := sleep(ctx, 10*time.Millisecond); err != nil { // what it has to do after the last delivery
		return err
	}
	after, err := cpu(t)
	if err != nil || r == nil {
		return err
	}
	expected := p.sessions * posts
	since := func(at int64) float64 { return float64(at-began) / 1e6 }
	r.P50, r.P99, r.Last = since(a.P50), since(a.P99), since(a.Last)
	r.Lost, r.Doubled, r.Disordered = expected-a.Deliveries, a.Doubled, a.Disordered
	for i := range after {
		used := float64((after[i] - before[i]).Nanoseconds()) / 1e3 / float64(expected)
		r.CPUAll += used
		if i == 0 {
			r.CPU = used
		}
	}
	return nil
}

func cpu(t target) (all []time.Duration, err error) {
	for _, p := range t.processes() {
		used, err := cpuOf(p.pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		all = append(all, used)
	}
	return all, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
