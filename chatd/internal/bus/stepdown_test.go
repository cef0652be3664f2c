package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func current(stores []*bus.Store) error {
	for i, s := range stores {
		if _, _, behind := s.Groups(); len(behind) > 0 {
			return fmt.Errorf("store %d: %v", i, behind)
		}
	}
	return nil
}

// A store that steps down leads nothing until it is called off; the metadata group goes only when asked for, and after all else.
func TestStepDown(t *testing.T) {
	const partitions = 4
	r := startRegion(t, 3, partitions, nil)
	log := r.create(t, "ann", 1)
	eventually(t, func() error { return current(r.stores) })
	leader := 0
	for i, s := range r.stores {
		if s.LeadsMetadata() {
			leader = i
		}
	}
	s := r.stores[leader]
	if total, _, _ := s.Groups(); total != groupsOf(partitions) {
		t.Errorf("%d groups, want the streams of %d partitions, the list of revocations and the metadata group", total, partitions)
	}
	if _, err := s.BeginStepDown(false); err != nil {
		t.Fatal(err)
	}
	began := s.SteppingDown().Began
	eventually(t, func() error {
		if d := s.SteppingDown(); d.Left > 0 || len(s.Leads()) > 0 {
			return fmt.Errorf("%+v, leads %v", d, s.Leads())
		}
		return nil
	})
	if !s.LeadsMetadata() {
		t.Error("it gave the metadata group away, unasked")
	}
	if _, led, _ := s.Groups(); led != 1 {
		t.Errorf("it leads %d groups, want the metadata group alone", led)
	}
	// What others have done with it comes not back: a store that abstains is given nothing.
	for _, other := range r.stores {
		if other != s {
			for p := range partitions {
				other.StepDown(p)
			}
		}
	}
	time.Sleep(200 * time.Millisecond)
	eventually(t, func() error { return current(r.stores) })
	if d, err := s.BeginStepDown(true); err != nil || !d.Began.Equal(began) {
		t.Errorf("asked again: %+v, %v; began %v", d, err, began)
	}
	eventually(t, func() error {
		if _, led, _ := s.Groups(); led > 0 || s.LeadsMetadata() {
			return fmt.Errorf("it leads %d groups", led)
		}
		return nil
	})
	r.post(t, "ann", log, 2)
	if was := s.ReverseStepDown(); !was.Began.Equal(began) {
		t.Errorf("called off what was %+v", was)
	}
	if was := s.ReverseStepDown(); !was.Began.IsZero() {
		t.Errorf("called off twice: %+v", was)
	}
	// The others step down one after the other: all comes to the one that may lead again.
	for _, other := range r.stores {
		if other != s {
			if _, err := other.BeginStepDown(true); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, func() error {
		if led := len(s.Leads()); led < partitions || !s.LeadsMetadata() {
			return fmt.Errorf("it leads %d partitions", led)
		}
		return nil
	})
	r.post(t, "ann", log, 3)
	// All have stepped down: somebody leads all the same.
	if _, err := s.BeginStepDown(true); err != nil {
		t.Fatal(err)
	}
	r.post(t, "ann", log, 4)
	for _, one := range r.stores {
		one.ReverseStepDown()
	}
	eventually(t, func() error { return current(r.stores) })
}

// A lone store has nobody to lead in its place.
func TestStepDownAlone(t *testing.T) {
	r := startRegion(t, 1, 1, nil)
	if _, err := r.stores[0].BeginStepDown(true); !errors.Is(err, bus.ErrAlone) {
		t.Errorf("got %v", err)
	}
	if err := current(r.stores); err != nil {
		t.Error(err)
	}
}

// A store that is gone is named by those that lead, until it is back and has what it missed.
func TestGroupsBehind(t *testing.T) {
	const partitions = 2
	r := startRegion(t, 3, partitions, nil)
	logs := logPerPartition(partitions)
	for _, log := range logs {
		r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
			Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}})
	}
	eventually(t, func() error { return current(r.stores) })
	r.stores[2].Stop()
	c := startChild(t, r.configs[2])
	defer func() { c.end() }()
	c.ready(t)
	here := r.stores[:2]
	r.stores = here
	eventually(t, func() error { return current(here) })
	c.signal(t, syscall.SIGSTOP)
	eventually(t, func() error {
		named := map[string]bool{}
		for _, s := range here {
			_, _, behind := s.Groups()
			for _, b := range behind {
				named[b.Group] = true
			}
		}
		if want := groupsOf(partitions); len(named) != want {
			return fmt.Errorf("named are %v, want all %d", named, want)
		}
		return nil
	})
	c.signal(t, syscall.SIGCONT)
	eventually(t, func() error { return current(here) })
}

// Stores are started anew one after the other under posts, by SIGTERM's way and by a kill: nothing is lost, doubled or out of order. How long
// the longest post waited is logged.
func TestStoreRestarts(t *testing.T) {
	const partitions = 8
	for _, how := range []struct {
		name string
		end  func(c *child)
	}{
		{"leaders moved first", func(c *child) { c.end() }},
		{"killed", func(c *child) { _ = c.cmd.Process.Signal(syscall.SIGKILL); _ = c.cmd.Wait() }},
	} {
		t.Run(how.name, func(t *testing.T) {
			r := startRegion(t, 3, partitions, nil)
			children := make([]*child, 2)
			for i := range children {
				r.stores[i].Stop()
				children[i] = startChild(t, r.configs[i])
				defer func() { children[i].end() }()
				children[i].ready(t)
			}
			here := r.stores[2]
			r.stores = r.stores[2:]
			logs := logPerPartition(partitions)
			for _, log := range logs {
				r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
					Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}})
			}
			ctx, stop := context.WithCancel(t.Context())
			p := &posted{acked: map[string]map[uint64]uint64{}}
			var posters sync.WaitGroup
			for i := range 2 * partitions {
				posters.Go(func() { r.keepPosting(ctx, t, p, logs[i%partitions], uint64(i)<<32) })
			}
			var waits []time.Duration
			for round := range 4 {
				// What it leads comes to the one that goes next.
				if _, err := here.BeginStepDown(true); err != nil {
					t.Fatal(err)
				}
				eventually(t, func() error {
					if d := here.SteppingDown(); d.Left > 0 {
						return fmt.Errorf("%d groups are left", d.Left)
					}
					return nil
				})
				here.ReverseStepDown()
				time.Sleep(time.Second) // what waited for that is no part of what is looked at
				p.mu.Lock()
				p.worst = 0
				p.mu.Unlock()
				i := round % len(children)
				how.end(children[i])
				time.Sleep(500 * time.Millisecond)
				p.mu.Lock()
				waits = append(waits, p.worst.Round(time.Millisecond))
				p.mu.Unlock()
				children[i] = startChild(t, r.configs[i])
				children[i].ready(t)
				eventually(t, func() error { return current([]*bus.Store{here}) })
			}
			stop()
			posters.Wait()
			total := p.check(t, here, logs)
			t.Logf("%s: %d posts acknowledged; the longest waited, by restart, %v", how.name, total, waits)
		})
	}
}
