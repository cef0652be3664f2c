package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/operator/internal/plan"
)

func (w *world) shard(name string) (*simShard, error) {
	for _, sh := range w.shards {
		if sh.Name == name {
			return sh, nil
		}
	}
	return nil, errors.New(name + " is gone")
}

func (w *world) CreateShard(_ context.Context, a plan.CreateShard) error {
	name := fmt.Sprintf("shard-%d", a.Index)
	if _, err := w.shard(name); err == nil {
		return nil // it is there: an operator before has made it
	}
	w.shards = append(w.shards, &simShard{Shard: plan.Shard{
		Name: name, Index: a.Index, Revision: a.Revision, Zone: string('a' + rune(w.rand.IntN(3))), Node: "n",
	}, made: w.now})
	live, unproven := 0, 0
	for _, sh := range w.shards {
		if sh.Live() {
			live++
		}
		if sh.Live() && sh.Revision == w.want.ShardRevision {
			unproven++
		}
	}
	if live > w.want.Shards+w.want.Surge {
		w.breach("%d live shards, %d + %d are the most: %s", live, w.want.Shards, w.want.Surge, a.Because())
	}
	if unproven > 1 && w.tried() {
		w.breach("%d shards of a revision that is not proven", unproven)
	}
	return nil
}

// tried says that the wanted revision is not proven, and that there is one to go back to.
func (w *world) tried() bool {
	return !w.proven() && slices.ContainsFunc(w.revs, func(r plan.Revision) bool { return r.Proven })
}

// proven says that a shard has shown the wanted revision to work.
func (w *world) proven() bool {
	return slices.ContainsFunc(w.revs, func(r plan.Revision) bool { return r.Proven && r.Name == w.want.ShardRevision })
}

func (w *world) MarkShard(_ context.Context, a plan.MarkShard) error {
	sh, err := w.shard(a.Shard)
	if err != nil || sh.Mark != nil {
		return err
	}
	if least := w.want.Shards - max(0, w.want.AtOnce-w.want.Surge); sh.Ready && a.Cause != plan.Hibernation && w.serving() <= least {
		w.breach("%s is marked (%s) while %d shards serve and %d must", a.Shard, a.Cause, w.serving(), least)
	}
	sh.Mark = &plan.Mark{Since: w.now, Cause: a.Cause}
	return nil
}

func (w *world) UnmarkShard(_ context.Context, a plan.UnmarkShard) error {
	sh, err := w.shard(a.Shard)
	if err == nil {
		sh.Mark = nil
	}
	return err
}

func (w *world) ProveRevision(_ context.Context, a plan.ProveRevision) error {
	if w.bad[a.Revision] {
		w.breach("bad revision %s is proven", a.Revision)
	}
	for i := range w.revs {
		if w.revs[i].Name == a.Revision {
			w.revs[i].Proven = true
		}
	}
	return nil
}

func (w *world) BeginDrain(_ context.Context, a plan.BeginDrain) error {
	sh, err := w.shard(a.Shard)
	if err != nil {
		return err
	}
	if !sh.Reached {
		return errors.New("connection refused")
	}
	sh.Leaving = plan.Leaving{State: plan.Draining, PerSecond: a.PerSecond}
	return nil
}

func (w *world) ReverseDrain(_ context.Context, a plan.ReverseDrain) error {
	sh, err := w.shard(a.Shard)
	if err == nil {
		sh.Leaving = plan.Leaving{}
	}
	return err
}

func (w *world) ShedSessions(_ context.Context, a plan.ShedSessions) error {
	sh, err := w.shard(a.Shard)
	if err == nil {
		sh.Leaving, sh.keep = plan.Leaving{State: plan.Shedding, PerSecond: a.PerSecond}, a.Keep
	}
	return err
}

func (w *world) EvictShard(_ context.Context, a plan.EvictShard) error {
	sh, err := w.shard(a.Shard)
	if err != nil {
		return err
	}
	if sh.Mark == nil {
		w.breach("%s is evicted without a mark", a.Shard)
	} else if sh.Sessions > 0 && w.now.Sub(sh.Mark.Since) < w.want.Drain.Timeout {
		w.breach("%s is evicted with %d sessions before its time", a.Shard, sh.Sessions)
	}
	w.end(sh)
	return nil
}

func (w *world) end(sh *simShard) {
	if !sh.Deleting {
		sh.Deleting, sh.ends = true, w.now.Add(leavesWithin)
	}
}

func (w *world) DeleteShard(_ context.Context, a plan.DeleteShard) error {
	sh, err := w.shard(a.Shard)
	switch {
	case err != nil:
		return err
	case a.Force:
		w.homeless += sh.Sessions // they have noticed themselves
		w.shards = slices.DeleteFunc(w.shards, func(s *simShard) bool { return s == sh })
		return nil
	case sh.Sessions > 0:
		w.breach("%s is deleted with %d sessions", a.Shard, sh.Sessions)
	}
	w.end(sh)
	return nil
}

func (w *world) ScaleStores(_ context.Context, a plan.ScaleStores) error {
	if a.Replicas == 0 && w.serving() > 0 {
		w.breach("the stores end before the shards")
	}
	if w.set.Replicas == 0 {
		w.current = w.set.Template
	}
	w.set.Replicas = a.Replicas
	return nil
}

func (w *world) SetStoreTemplate(_ context.Context, a plan.SetStoreTemplate) error {
	if w.set == nil {
		w.set, w.current = &plan.StoreSet{}, a.Revision
	}
	w.set.Template, w.set.Partition = a.Revision, w.set.Replicas
	return nil
}

func (w *world) StepDown(_ context.Context, a plan.StepDown) error {
	for _, st := range w.stores {
		if st.Name == a.Store {
			st.SteppingDown = w.now
			if !w.wellBut(st.Ordinal) {
				w.breach("%s is to step down while another store is not well", a.Store)
			}
		}
	}
	return nil
}

func (w *world) ReverseStepDown(_ context.Context, a plan.ReverseStepDown) error {
	for _, st := range w.stores {
		if st.Name == a.Store {
			st.SteppingDown = time.Time{}
		}
	}
	return nil
}

func (w *world) UpdateStore(_ context.Context, a plan.UpdateStore) error {
	if w.store(a.Ordinal).Trouble == "" && !w.wellBut(a.Ordinal) {
		w.breach("%s is restarted while another store is not well", a.Store)
	}
	if w.store(a.Ordinal).Ready && w.want.Shards > 0 && !w.proven() {
		w.breach("%s works, and is restarted before a shard has shown that revision %s does", a.Store, w.want.ShardRevision)
	}
	w.set.Partition = a.Ordinal
	return nil
}

func (w *world) DropStoreTemplate(_ context.Context, a plan.DropStoreTemplate) error {
	w.current, w.set.Template, w.set.Partition = a.Revision, a.Revision, w.set.Replicas
	return nil
}

func (w *world) DeleteStore(_ context.Context, a plan.DeleteStore) error {
	for _, st := range w.stores {
		if st.Name == a.Store && !st.Deleting {
			if st.Ready {
				w.breach("%s is deleted, and it works", a.Store)
			}
			w.endStore(st)
		}
	}
	return nil
}

func (w *world) GrowVolume(_ context.Context, a plan.GrowVolume) error {
	for i := range w.volumes {
		if w.volumes[i].Name == a.Volume {
			w.volumes[i].Bytes = a.Bytes
		}
	}
	return nil
}
