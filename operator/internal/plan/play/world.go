package play

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/operator/internal/plan"
)

// world is a fleet in simulated time: pods that start, drain and end, a set that restarts stores as a StatefulSet does, and the Actor that plans
// are done by. It holds the planner to its promises while it acts, and keeps what was broken.
type world struct {
	now    time.Time
	want   plan.Spec
	rand   *rand.Rand
	bad    map[string]bool // revisions that never get ready
	shards []*simShard
	revs   []plan.Revision
	set    *plan.StoreSet
	// current is the template that stores below the partition are made from.
	current string
	stores  []*simStore
	volumes []plan.Volume
	// homeless sessions look for a shard.
	homeless int
	told     int
	// pace is the one that the newest whole plan was made with: nobody else can bring a change to the shards.
	pace   int
	broken []string
	// check, if there is one, is called for each store's pod that is made.
	check func(*simStore)
	// journal is what was done since begun; moved is when something was done or waited for the last time.
	journal      []Done
	begun, moved time.Time
}

type simShard struct {
	plan.Shard
	made, ends time.Time
	keep       int
}

type simStore struct {
	plan.Store
	made, ends, currentAt time.Time
}

const (
	startsIn     = 4 * time.Second
	troubleIn    = 6 * time.Second
	catchesUpIn  = 7 * time.Second
	storeEndsIn  = 3 * time.Second
	leavesWithin = 2 * time.Second
)

func newWorld(want plan.Spec, seed uint64) *world {
	start := time.Unix(1e9, 0)
	return &world{
		now: start, begun: start, moved: start, want: want, bad: map[string]bool{}, rand: rand.New(rand.NewPCG(seed, 1)),
		volumes: []plan.Volume{{Name: "data-0", Bytes: want.VolumeBytes, Growable: true}},
	}
}

func (w *world) breach(format string, args ...any) {
	w.broken = append(w.broken, w.now.UTC().Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// snapshot is the world as it is observed, in any order.
func (w *world) snapshot() plan.Snapshot {
	s := plan.Snapshot{Revisions: slices.Clone(w.revs), Volumes: slices.Clone(w.volumes)}
	for _, sh := range w.shards {
		c := sh.Shard
		if c.Mark != nil {
			m := *c.Mark
			c.Mark = &m
		}
		s.Shards = append(s.Shards, c)
	}
	for _, st := range w.stores {
		s.Stores = append(s.Stores, st.Store)
	}
	if w.set != nil {
		c := *w.set
		c.Below = w.current
		s.StoreSet = &c
	}
	w.rand.Shuffle(len(s.Shards), func(i, j int) { s.Shards[i], s.Shards[j] = s.Shards[j], s.Shards[i] })
	w.rand.Shuffle(len(s.Stores), func(i, j int) { s.Stores[i], s.Stores[j] = s.Stores[j], s.Stores[i] })
	w.rand.Shuffle(len(s.Revisions), func(i, j int) { s.Revisions[i], s.Revisions[j] = s.Revisions[j], s.Revisions[i] })
	return s
}

// wantRevision is what the operator does before it plans: what is wanted is kept, with the highest number.
func (w *world) wantRevision() {
	top := int64(0)
	for _, r := range w.revs {
		top = max(top, r.Number)
	}
	for i, r := range w.revs {
		if r.Name == w.want.ShardRevision {
			if r.Number < top {
				w.revs[i].Number = top + 1
			}
			return
		}
	}
	w.revs = append(w.revs, plan.Revision{Name: w.want.ShardRevision, Number: top + 1})
}

// reconcile plans and acts; it dies after so many actions, if that is not negative.
func (w *world) reconcile(dieAfter int) plan.Plan {
	w.wantRevision()
	p := plan.Next(w.snapshot(), w.want, w.now)
	for i, a := range p.Actions {
		if i == dieAfter {
			return p
		}
		if err := a.Do(context.Background(), w); err != nil {
			break
		}
		w.journal = append(w.journal, Done{w.now.Sub(w.begun), a})
	}
	w.pace = w.want.Drain.SessionsPerSecond
	return p
}

// step is one second.
func (w *world) step() {
	w.now = w.now.Add(time.Second)
	w.told = 0
	for _, sh := range w.shards {
		w.runShard(sh)
	}
	if pace := max(w.pace, w.want.Drain.SessionsPerSecond); w.told > max(pace, len(w.shards)) {
		w.breach("%d sessions told to leave in a second, the pace is %d", w.told, pace)
	}
	w.shards = slices.DeleteFunc(w.shards, func(sh *simShard) bool { return sh.Deleting && !sh.NodeLost && !sh.ends.After(w.now) })
	w.runSet()
	w.seat()
}

func (w *world) runShard(sh *simShard) {
	age := w.now.Sub(sh.made)
	switch {
	case sh.NodeLost:
	case sh.Deleting:
		told := w.told
		w.send(sh, w.want.Drain.SessionsPerSecond) // its own shutdown; who deleted it answers for the pace
		w.told = told
		sh.Ready = false
	case w.bad[sh.Revision]:
		if age >= troubleIn {
			sh.Trouble = "ImagePullBackOff"
		}
	case age >= startsIn:
		sh.Reached = true
		ready := sh.Leaving.State == plan.Staying || sh.Leaving.State == plan.Shedding
		if ready && !sh.Ready {
			sh.ReadySince = w.now
		}
		sh.Ready = ready
	}
	switch {
	case sh.Deleting || sh.NodeLost:
	case sh.Leaving.State == plan.Draining:
		w.send(sh, sh.Leaving.PerSecond)
		if sh.Sessions == 0 {
			sh.Leaving.State = plan.Drained
		}
	case sh.Leaving.State == plan.Shedding:
		w.send(sh, min(sh.Leaving.PerSecond, sh.Sessions-sh.keep))
		if sh.Sessions <= sh.keep {
			sh.Leaving = plan.Leaving{}
		}
	}
}

func (w *world) send(sh *simShard, n int) {
	n = max(0, min(n, sh.Sessions))
	sh.Sessions -= n
	w.homeless += n
	w.told += n
}

// seat gives homeless sessions to shards that take some, at random.
func (w *world) seat() {
	var open []*simShard
	for _, sh := range w.shards {
		if sh.Ready && sh.Leaving.State == plan.Staying && !sh.Deleting && !sh.NodeLost {
			open = append(open, sh)
		}
	}
	if len(open) == 0 {
		return
	}
	for ; w.homeless > 0; w.homeless-- {
		open[w.rand.IntN(len(open))].Sessions++
	}
}

// runSet is what a StatefulSet does in a second, with Parallel pod management and a partitioned update.
func (w *world) runSet() {
	if w.set == nil {
		return
	}
	for _, st := range w.stores {
		w.runStore(st)
	}
	for n := range w.set.Replicas {
		if i := slices.IndexFunc(w.stores, func(st *simStore) bool { return st.Ordinal == n }); i < 0 {
			w.stores = append(w.stores, &simStore{Store: plan.Store{Ordinal: n, Name: fmt.Sprintf("store-%d", n)}})
		}
	}
	w.stores = slices.DeleteFunc(w.stores, func(st *simStore) bool { return st.Ordinal >= w.set.Replicas && st.Revision == "" })
	for _, st := range w.stores {
		switch {
		case st.Ordinal >= w.set.Replicas && !st.Deleting:
			w.endStore(st)
		case st.Revision == "" && st.Ordinal < w.set.Partition:
			st.Revision, st.made = w.current, w.now
		case st.Revision == "":
			st.Revision, st.made = w.set.Template, w.now
		}
		if w.check != nil && st.made == w.now {
			w.check(st)
		}
	}
	reached := true
	for n := w.set.Replicas - 1; n >= 0; n-- {
		st := w.store(n)
		reached = reached && st.Revision == w.set.Template && st.Ready
		if n < w.set.Partition {
			continue
		}
		if st.Revision != w.set.Template && !st.Deleting {
			w.endStore(st)
			break
		}
		if !st.Ready {
			break
		}
	}
	if reached {
		w.current = w.set.Template
	}
}

func (w *world) store(ordinal int) *simStore {
	for _, st := range w.stores {
		if st.Ordinal == ordinal {
			return st
		}
	}
	panic(fmt.Sprintf("no store %d", ordinal))
}

func (w *world) runStore(st *simStore) {
	switch {
	case st.Deleting && !st.ends.After(w.now):
		st.Store = plan.Store{Ordinal: st.Ordinal, Name: st.Name}
	case st.Deleting || st.Revision == "" || st.NodeLost:
	case w.bad[st.Revision]:
		if w.now.Sub(st.made) >= troubleIn {
			st.Trouble = "CrashLoopBackOff"
		}
	case !st.Ready && w.now.Sub(st.made) >= startsIn:
		st.Ready, st.Reached, st.ReadySince = true, true, w.now
		st.Behind, st.currentAt = "2 groups are behind", w.now.Add(catchesUpIn)
	case st.Ready && st.Behind != "" && !w.now.Before(st.currentAt):
		st.Behind = ""
	case st.Ready && st.SteppingDown.IsZero() && st.Leads == 0:
		st.Leads = 5
	case !st.SteppingDown.IsZero():
		st.Leads = max(0, st.Leads-2)
		st.LeadsMetadata = st.LeadsMetadata && st.Leads > 0
	}
}

func (w *world) endStore(st *simStore) {
	st.Deleting, st.Ready, st.ends = true, false, w.now.Add(storeEndsIn)
}

// wellBut says whether all stores but one are ready and current.
func (w *world) wellBut(ordinal int) bool {
	return !slices.ContainsFunc(w.stores, func(st *simStore) bool {
		return st.Ordinal != ordinal && (!st.Ready || st.Behind != "" || st.Deleting || st.NodeLost)
	})
}

// serving is how many shards take sessions and are there to stay.
func (w *world) serving() int {
	n := 0
	for _, sh := range w.shards {
		if sh.Ready && sh.Live() {
			n++
		}
	}
	return n
}
