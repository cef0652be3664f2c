// Package play plays a fleet forward in simulated time, to show what the planner does about a change: `operator plan` prints it before somebody applies
// it, and the planner's properties are tested with it. Its pods start in some seconds and its sessions leave at the pace; a real fleet takes as
// long as its images, volumes and clients take. The order of things is the planner's own.
package play

import (
	"fmt"
	"time"

	"github.com/chatfleet/chatfleet/operator/internal/plan"
)

// Done is an action, and how long after the change it was done.
type Done struct {
	After  time.Duration
	Action plan.Action
}

// Change plays what becomes of a fleet with so many sessions that is wanted otherwise from now on; nil is a fleet that is not there yet. The
// error says what keeps it from settling.
func Change(from *plan.Spec, to plan.Spec, sessions int) ([]Done, time.Duration, error) {
	w := newWorld(to, 1)
	if from != nil {
		w = newWorld(*from, 1)
		w.homeless = sessions
		if err := w.settle(); err != nil {
			return nil, 0, fmt.Errorf("the fleet of before does not settle: %w", err)
		}
		w.want, w.journal = to, nil
	} else {
		w.homeless = sessions
	}
	w.begun, w.moved = w.now, w.now
	err := w.settle()
	return w.journal, w.moved.Sub(w.begun), err
}

// settle plays until nothing is planned and nothing moves for half a minute, for at most an hour.
func (w *world) settle() error {
	quiet := 0
	var p plan.Plan
	for range 3600 {
		p = w.reconcile(-1)
		w.step()
		if len(p.Actions) > 0 || len(p.Waiting) > 0 {
			quiet, w.moved = 0, w.now
			continue
		}
		if quiet++; quiet > 30 {
			return w.reached()
		}
	}
	return fmt.Errorf("still at it after an hour: %v, waiting %v", p.Actions, p.Waiting)
}

// reached says what is not as it is wanted.
func (w *world) reached() error {
	shards, stores := w.want.Shards, w.want.Stores
	if w.want.Hibernate {
		shards, stores = 0, 0
	}
	if len(w.shards) != shards || len(w.stores) != stores {
		return fmt.Errorf("%d shards and %d stores, want %d and %d", len(w.shards), len(w.stores), shards, stores)
	}
	for _, sh := range w.shards {
		if sh.Revision != w.want.ShardRevision || !sh.Ready || sh.Mark != nil || sh.Leaving.State != plan.Staying {
			return fmt.Errorf("shard %+v", sh.Shard)
		}
	}
	for _, st := range w.stores {
		if st.Revision != w.want.StoreRevision || !st.Ready || !st.SteppingDown.IsZero() {
			return fmt.Errorf("store %+v", st.Store)
		}
	}
	return nil
}
