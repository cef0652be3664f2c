package plan

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// world is a fleet as the planner's tests play it: pods that start, drain and end in time, a set that restarts stores as a StatefulSet
// does, and the Actor that plans are done by. It holds the planner to its promises while it acts, and keeps what was broken.
type world struct {
	now    time.Time
	want   Spec
	rand   *rand.Rand
	bad    map[string]bool // revisions that never get ready
	shards []*simShard
	revs   []Revision
	set    *StoreSet
	// current is the template that stores below the partition are made from.
	current string
	stores  []*simStore
	volumes []Volume
	// homeless sessions look for a shard.
	homeless int
	told     int
	// pace is the one that the newest whole plan was made with: nobody else can bring a change to the shards.
	pace   int
	broken []string
	acts   int
}

type simShard struct {
	Shard
	made, ends time.Time
	keep       int
}

type simStore struct {
	Store
	made, ends, currentAt time.Time
}

const (
	startsIn     = 4 * time.Second
	troubleIn    = 6 * time.Second
	catchesUpIn  = 7 * time.Second
	storeEndsIn  = 3 * time.Second
	leavesWithin = 2 * time.Second
)

func newWorld(want Spec, seed uint64) *world {
	return &world{
		now: time.Unix(1e9, 0), want: want, bad: map[string]bool{}, rand: rand.New(rand.NewPCG(seed, 1)),
		volumes: []Volume{{"data-0", want.VolumeBytes, true}},
	}
}

func (w *world) breach(format string, args ...any) {
	w.broken = append(w.broken, w.now.UTC().Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

// snapshot is the world as it is observed, in any order.
func (w *world) snapshot() Snapshot {
	s := Snapshot{Revisions: slices.Clone(w.revs), Volumes: slices.Clone(w.volumes)}
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
	w.revs = append(w.revs, Revision{Name: w.want.ShardRevision, Number: top + 1})
}

// reconcile plans and acts; it dies after so many actions, if that is not negative.
func (w *world) reconcile(dieAfter int) Plan {
	w.wantRevision()
	p := Next(w.snapshot(), w.want, w.now)
	for i, a := range p.Actions {
		if i == dieAfter {
			return p
		}
		if err := a.Do(context.Background(), w); err != nil {
			break
		}
		w.acts++
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
		ready := sh.Leaving.State == Staying || sh.Leaving.State == Shedding
		if ready && !sh.Ready {
			sh.ReadySince = w.now
		}
		sh.Ready = ready
	}
	switch {
	case sh.Deleting || sh.NodeLost:
	case sh.Leaving.State == Draining:
		w.send(sh, sh.Leaving.PerSecond)
		if sh.Sessions == 0 {
			sh.Leaving.State = Drained
		}
	case sh.Leaving.State == Shedding:
		w.send(sh, min(sh.Leaving.PerSecond, sh.Sessions-sh.keep))
		if sh.Sessions <= sh.keep {
			sh.Leaving = Leaving{}
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
		if sh.Ready && sh.Leaving.State == Staying && !sh.Deleting && !sh.NodeLost {
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
			w.stores = append(w.stores, &simStore{Store: Store{Ordinal: n, Name: fmt.Sprintf("store-%d", n)}})
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
		st.Store = Store{Ordinal: st.Ordinal, Name: st.Name}
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
		if sh.Ready && sh.live() {
			n++
		}
	}
	return n
}

func (w *world) shard(name string) (*simShard, error) {
	for _, sh := range w.shards {
		if sh.Name == name {
			return sh, nil
		}
	}
	return nil, errors.New(name + " is gone")
}

func (w *world) CreateShard(_ context.Context, a CreateShard) error {
	name := fmt.Sprintf("shard-%d", a.Index)
	if _, err := w.shard(name); err == nil {
		return nil // it is there: an operator before has made it
	}
	w.shards = append(w.shards, &simShard{Shard: Shard{
		Name: name, Index: a.Index, Revision: a.Revision, Zone: string('a' + rune(w.rand.IntN(3))), Node: "n",
	}, made: w.now})
	live, unproven := 0, 0
	for _, sh := range w.shards {
		if sh.live() {
			live++
		}
		if sh.live() && sh.Revision == w.want.ShardRevision {
			unproven++
		}
	}
	if live > w.want.Shards+w.want.Surge {
		w.breach("%d live shards, %d + %d are the most: %s", live, w.want.Shards, w.want.Surge, a.Because())
	}
	if r := revisions(w.snapshot().sorted(), w.want); r.tries() && unproven > 1 {
		w.breach("%d shards of a revision that is not proven", unproven)
	}
	return nil
}

func (w *world) MarkShard(_ context.Context, a MarkShard) error {
	sh, err := w.shard(a.Shard)
	if err != nil || sh.Mark != nil {
		return err
	}
	if least := w.want.Shards - max(0, w.want.AtOnce-w.want.Surge); sh.Ready && a.Cause != Hibernation && w.serving() <= least {
		w.breach("%s is marked (%s) while %d shards serve and %d must", a.Shard, a.Cause, w.serving(), least)
	}
	sh.Mark = &Mark{w.now, a.Cause}
	return nil
}

func (w *world) UnmarkShard(_ context.Context, a UnmarkShard) error {
	sh, err := w.shard(a.Shard)
	if err == nil {
		sh.Mark = nil
	}
	return err
}

func (w *world) ProveRevision(_ context.Context, a ProveRevision) error {
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

func (w *world) BeginDrain(_ context.Context, a BeginDrain) error {
	sh, err := w.shard(a.Shard)
	if err != nil {
		return err
	}
	if !sh.Reached {
		return errors.New("connection refused")
	}
	sh.Leaving = Leaving{Draining, a.PerSecond}
	return nil
}

func (w *world) ReverseDrain(_ context.Context, a ReverseDrain) error {
	sh, err := w.shard(a.Shard)
	if err == nil {
		sh.Leaving = Leaving{}
	}
	return err
}

func (w *world) ShedSessions(_ context.Context, a ShedSessions) error {
	sh, err := w.shard(a.Shard)
	if err == nil {
		sh.Leaving, sh.keep = Leaving{Shedding, a.PerSecond}, a.Keep
	}
	return err
}

func (w *world) EvictShard(_ context.Context, a EvictShard) error {
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

func (w *world) DeleteShard(_ context.Context, a DeleteShard) error {
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

func (w *world) ScaleStores(_ context.Context, a ScaleStores) error {
	if a.Replicas == 0 && w.serving() > 0 {
		w.breach("the stores end before the shards")
	}
	if w.set.Replicas == 0 {
		w.current = w.set.Template
	}
	w.set.Replicas = a.Replicas
	return nil
}

func (w *world) SetStoreTemplate(_ context.Context, a SetStoreTemplate) error {
	if w.set == nil {
		w.set, w.current = &StoreSet{}, a.Revision
	}
	w.set.Template, w.set.Partition = a.Revision, max(w.set.Replicas, w.want.Stores)
	return nil
}

func (w *world) StepDown(_ context.Context, a StepDown) error {
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

func (w *world) ReverseStepDown(_ context.Context, a ReverseStepDown) error {
	for _, st := range w.stores {
		if st.Name == a.Store {
			st.SteppingDown = time.Time{}
		}
	}
	return nil
}

func (w *world) UpdateStore(_ context.Context, a UpdateStore) error {
	if w.store(a.Ordinal).Trouble == "" && !w.wellBut(a.Ordinal) {
		w.breach("%s is restarted while another store is not well", a.Store)
	}
	w.set.Partition = a.Ordinal
	return nil
}

func (w *world) RemakeStoreSet(_ context.Context, a RemakeStoreSet) error {
	w.current, w.set.Template, w.set.Partition = a.Revision, a.Revision, w.set.Replicas
	return nil
}

func (w *world) DeleteStore(_ context.Context, a DeleteStore) error {
	for _, st := range w.stores {
		if st.Name == a.Store && !st.Deleting {
			if st.Ready || !w.wellBut(st.Ordinal) {
				w.breach("%s is deleted, ready: %v", a.Store, st.Ready)
			}
			w.endStore(st)
		}
	}
	return nil
}

func (w *world) GrowVolume(_ context.Context, a GrowVolume) error {
	for i := range w.volumes {
		if w.volumes[i].Name == a.Volume {
			w.volumes[i].Bytes = a.Bytes
		}
	}
	return nil
}
