package play

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/operator/internal/plan"
)

func spec() plan.Spec {
	return plan.Spec{
		Shards: 3, ShardRevision: "a", StoreRevision: "a", Surge: 1, AtOnce: 1, Stores: 3,
		Drain: plan.Drain{SessionsPerSecond: 50, Timeout: time.Minute}, StoreSoak: 10 * time.Second, VolumeBytes: 1 << 30,
	}
}

// knowsFive ends the names of revisions that name five stores.
const knowsFive = "5"

// revise wants a revision, which is another one where the stores are others.
func (w *world) revise(name string) {
	if w.want.Stores == 5 {
		w.bad[name+knowsFive] = w.bad[name]
		name += knowsFive
	}
	w.want.ShardRevision, w.want.StoreRevision = name, name
}

// disturb does one thing that people, nodes or the API server do.
func (w *world) disturb(t *rapid.T) {
	someShard := func() *simShard {
		if len(w.shards) == 0 {
			return nil
		}
		return w.shards[rapid.IntRange(0, len(w.shards)-1).Draw(t, "shard")]
	}
	switch what := rapid.SampledFrom([]string{
		"scale", "scale", "revise", "revise", "spoil", "grow", "pause", "hibernate", "evict", "evict", "lose", "restart store", "connect", "pace", "surge",
	}).Draw(t, "what"); what {
	case "scale":
		w.want.Shards = rapid.IntRange(0, 8).Draw(t, "shards")
	case "revise", "spoil":
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "revision")
		if what == "spoil" {
			name = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "bad revision")
			w.bad[name] = true
		}
		w.revise(name)
	case "grow":
		w.want.Stores = 5
		w.revise(strings.TrimSuffix(w.want.StoreRevision, knowsFive))
	case "pause":
		w.want.UpdatePaused = !w.want.UpdatePaused
	case "hibernate":
		w.want.Hibernate = !w.want.Hibernate
	case "evict":
		if sh := someShard(); sh != nil {
			w.end(sh)
		}
	case "lose":
		if sh := someShard(); sh != nil {
			sh.NodeLost, sh.Ready, sh.Reached = true, false, false
		}
	case "restart store":
		if len(w.stores) > 0 && w.wellBut(-1) {
			w.endStore(w.stores[rapid.IntRange(0, len(w.stores)-1).Draw(t, "store")])
		}
	case "connect":
		w.homeless += rapid.IntRange(0, 2000).Draw(t, "sessions")
	case "pace":
		w.want.Drain.SessionsPerSecond = rapid.IntRange(10, 500).Draw(t, "pace")
	case "surge":
		w.want.Surge = rapid.IntRange(0, 2).Draw(t, "surge")
		w.want.AtOnce = rapid.IntRange(1, 2).Draw(t, "at once")
	}
}

// TestFleetAlwaysSettles plays any life of a fleet: whatever happens, and whenever the operator dies, no promise is broken on the way, and in the
// end the fleet is as it is wanted and the planner is silent.
func TestFleetAlwaysSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(spec(), rapid.Uint64().Draw(t, "seed"))
		w.homeless = rapid.IntRange(0, 3000).Draw(t, "sessions")
		w.check = func(st *simStore) {
			if st.Ordinal >= 3 && !strings.HasSuffix(st.Revision, knowsFive) {
				w.breach("%s is made with revision %s, which does not name it", st.Name, st.Revision)
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "disturbances") {
			for range rapid.IntRange(0, 90).Draw(t, "seconds") {
				w.reconcile(rapid.SampledFrom([]int{-1, -1, -1, 0, 1, 2}).Draw(t, "operator dies after"))
				w.step()
			}
			w.disturb(t)
		}
		if w.bad[w.want.ShardRevision] {
			w.revise("good")
		}
		w.want.UpdatePaused = false
		err := w.settle()
		if len(w.broken) > 0 {
			t.Fatalf("%q", w.broken)
		}
		if err != nil {
			t.Fatalf("%+v: %v", w.want, err)
		}
		if p := plan.Next(w.snapshot(), w.want, w.now.Add(time.Hour)); len(p.Actions) > 0 || p.Again != 0 {
			t.Fatalf("a settled fleet is not left alone: %v, again in %v", p.Actions, p.Again)
		}
	})
}

// TestPlanDoesNotDependOnOrder gives the planner the same fleet in two orders.
func TestPlanDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(spec(), rapid.Uint64().Draw(t, "seed"))
		w.homeless = 1000
		for range rapid.IntRange(0, 8).Draw(t, "disturbances") {
			for range rapid.IntRange(0, 40).Draw(t, "seconds") {
				w.reconcile(-1)
				w.step()
			}
			w.disturb(t)
		}
		s := w.snapshot()
		before := w.snapshot()
		one := plan.Next(s, w.want, w.now)
		for range 5 {
			if two := plan.Next(w.snapshot(), w.want, w.now); !reflect.DeepEqual(one, two) {
				t.Fatalf("%v\n%v", one, two)
			}
		}
		slices.SortFunc(before.Shards, func(a, b plan.Shard) int { return a.Index - b.Index })
		slices.SortFunc(s.Shards, func(a, b plan.Shard) int { return a.Index - b.Index })
		if !reflect.DeepEqual(s.Shards, before.Shards) {
			t.Fatal("planning changed the snapshot")
		}
	})
}

// TestDoneTwiceIsDoneOnce has each plan done by two operators that saw the same: what comes out is what one would have made.
func TestDoneTwiceIsDoneOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		w := newWorld(spec(), seed)
		w.homeless = rand.New(rand.NewPCG(seed, 2)).IntN(2000)
		for _, revision := range []string{"a", "b"} {
			w.want.ShardRevision, w.want.StoreRevision = revision, revision
			for range rapid.IntRange(1, 120).Draw(t, "seconds") {
				w.wantRevision()
				p := plan.Next(w.snapshot(), w.want, w.now)
				for range 2 {
					for _, a := range p.Actions {
						_ = a.Do(t.Context(), w)
					}
				}
				w.step()
			}
		}
		if err := w.settle(); err != nil || len(w.broken) > 0 {
			t.Fatalf("%v %q", err, w.broken)
		}
	})
}
