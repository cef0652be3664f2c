package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

// faultState is one fault that is played.
type faultState struct {
	v1alpha1.Fault
	due, struck, backAt time.Duration
	processes           []string
	role                string
	// What was taken.
	shard  int32
	stores []int32
	// Sessions that it disconnected, those of them that are back, and the longest time until one was.
	sessions, back int64
	longestReturn  time.Duration
	err            string
}

// delayState is a time in which the way to a share of the sessions is longer.
type delayState struct {
	fault                            int
	from, to                         time.Duration
	by, jitter                       time.Duration
	share                            float64
	far, others, farElse, othersElse *measure.Histogram
}

const (
	// drainOver is over what time a restarted shard sends its sessions away, and doubt how near the ends of a delay a post is of neither part, as in a run.
	drainOver = 2 * time.Second
	doubt     = time.Second
)

func (e *engine) layFaults() {
	for _, f := range e.s.Faults {
		for _, at := range f.Moments() {
			e.faults = append(e.faults, faultState{Fault: f, due: e.measureAt + at, shard: -1})
		}
	}
	slices.SortStableFunc(e.faults, func(a, b faultState) int { return cmp.Compare(a.due, b.due) })
	for k := range e.faults {
		e.q.Push(e.faults[k].due, event{kind: faultComes, a: int32(k)})
	}
	for k, f := range e.faults {
		if f.Action == v1alpha1.Delay {
			d := delayState{fault: k, from: f.due, to: f.due + f.For.Std(), by: f.Delay.Std(), jitter: f.Jitter.Std(), share: f.Share,
				far: measure.NewHistogram(), others: measure.NewHistogram(), farElse: measure.NewHistogram(), othersElse: measure.NewHistogram()}
			e.delays = append(e.delays, d)
		}
	}
}

// strike does what a fault does.
func (e *engine) strike(k int32) {
	f := &e.faults[k]
	f.struck = e.q.Now()
	switch {
	case f.Action == v1alpha1.Cut:
		for s := range e.shards {
			e.lose(int32(s), int64(float64(f.Share*float64(e.shards[s].present))+0.5), k, 0)
		}
		f.role = fmt.Sprintf("%d sessions", f.sessions)
	case f.Action == v1alpha1.Delay:
		f.backAt = f.struck + f.For.Std()
		f.role = fmt.Sprintf("%d sessions", int64(f.Share*float64(e.readers)))
	case f.Action == v1alpha1.Clock:
		// Nothing that is played goes by the time of day.
		f.err = "clock faults are not modelled"
	case f.Target.OnZone():
		e.strikeZone(k)
	case f.Target.OnStore():
		e.strikeStores(k)
	default:
		e.strikeShard(k)
	}
}

func (e *engine) strikeShard(k int32) {
	f := &e.faults[k]
	s := e.pick(string(f.Target), "shard-", len(e.shards), func(i int) bool { return e.shards[i].up }, func(int) int { return 0 })
	if s < 0 {
		f.err = "no process is what it is to be done to"
		return
	}
	f.shard, f.processes, f.role = s, []string{fmt.Sprintf("shard-%d", s)}, "shard"
	now := e.q.Now()
	sh := &e.shards[s]
	switch f.Action {
	case v1alpha1.Stop:
		sh.frozen = now + f.For.Std()
		e.q.Push(sh.frozen, event{kind: faultEnds, a: k})
		return
	case v1alpha1.Restart:
		e.lose(s, sh.present, k, drainOver)
		e.down(s)
		f.backAt = now + drainOver + e.cost.starts
	case v1alpha1.Kill:
		e.lose(s, sh.present, k, 0)
		e.down(s)
		f.backAt = e.returns(f, now)
	}
	if f.backAt > 0 {
		e.q.Push(f.backAt, event{kind: shardBack, b: s})
	}
}

// strikeZone kills all pods of a failure domain. What an operator replaces is back in the other zones, or in this one, after the same time.
func (e *engine) strikeZone(k int32) {
	f := &e.faults[k]
	now := e.q.Now()
	f.backAt = e.returns(f, now)
	in := func(pod int) bool { return fmt.Sprintf("zone-%d", pod%max(e.in.Fleet.Zones, 1)) == string(f.Target) }
	shards := 0
	for s := range e.shards {
		if !in(s) || !e.shards[s].up {
			continue
		}
		shards++
		e.lose(int32(s), e.shards[s].present, k, 0)
		e.down(int32(s))
		if f.backAt > 0 {
			e.q.Push(f.backAt, event{kind: shardBack, b: int32(s)})
		}
	}
	for i := range e.stores {
		if in(i) && e.stores[i].up {
			f.stores = append(f.stores, int32(i))
		}
	}
	f.role = fmt.Sprintf("%d shards, %d stores", shards, len(f.stores))
	e.loseStores(f, now)
}

// returns is when a process that was killed runs again; 0 if it does not.
func (e *engine) returns(f *faultState, now time.Duration) time.Duration {
	switch {
	case f.RestartAfter > 0:
		return now + f.RestartAfter.Std() + e.cost.starts
	case e.cost.replacement > 0: // An operator looks after it.
		return now + e.cost.replacement
	}
	return 0
}

// down drops a shard's work. Who had not been reached is owed what was under way.
func (e *engine) down(s int32) {
	e.account(e.q.Now())
	sh := &e.shards[s]
	if sh.working {
		sh.working = false
		e.working--
	}
	e.running--
	sh.generation++
	sh.up, sh.left = false, 0
	for _, w := range sh.sweeps {
		for _, u := range w.under {
			e.owe(u.post, u.left)
		}
	}
	for _, j := range sh.jobs {
		if j.kind == groupIsIn {
			e.comesLater(j.index, e.pause(&e.groups[j.index]))
		} else {
			e.again(j.index, postDue, e.q.Now()+askEvery)
		}
	}
	sh.sweeps, sh.jobs, sh.queued = nil, nil, 0
}

func (e *engine) shardIsBack(s int32) {
	e.account(e.q.Now())
	e.shards[s].up = true
	e.running++
}

func (e *engine) strikeStores(k int32) {
	f := &e.faults[k]
	now := e.q.Now()
	leads := func(i int) int { return e.leads(int32(i)) }
	up := func(i int) bool { return e.stores[i].up }
	if f.Target == v1alpha1.AllStores {
		for i := range e.stores {
			f.stores = append(f.stores, int32(i))
		}
		f.role = fmt.Sprintf("%d stores", len(e.stores))
	} else {
		needs := up
		if f.Target == v1alpha1.StoreLeading {
			needs = func(i int) bool { return up(i) && leads(i) > 0 }
		}
		i := e.pick(string(f.Target), "store-", len(e.stores), needs, leads)
		if i < 0 {
			f.err = "no process is what it is to be done to"
			return
		}
		f.stores, f.role = []int32{i}, fmt.Sprintf("store, leads %d of %d partitions", leads(int(i)), len(e.owner))
	}
	switch f.Action {
	case v1alpha1.Stop:
		f.backAt = now + f.For.Std()
	case v1alpha1.Restart:
		f.backAt = now + e.cost.starts
	case v1alpha1.Kill:
		f.backAt = e.returns(f, now)
	}
	e.loseStores(f, now)
}

// loseStores takes a fault's stores away until it is mended.
func (e *engine) loseStores(f *faultState, now time.Duration) {
	if len(f.stores) == 0 {
		return
	}
	for _, i := range f.stores {
		f.processes = append(f.processes, fmt.Sprintf("store-%d", i))
		e.stores[i].up = false
	}
	e.elect(f, now)
	if f.backAt > 0 {
		for _, i := range f.stores {
			e.q.Push(f.backAt, event{kind: storeBack, b: i})
		}
	}
}

// elect gives the partitions of stores that are gone to others, and has shards look for another link.
func (e *engine) elect(f *faultState, now time.Duration) {
	after, link := e.cost.takeOver, e.cost.link
	if f.Action == v1alpha1.Stop {
		after, link = e.cost.silence, e.cost.silence
	}
	left := 0
	for _, st := range e.stores {
		if st.up {
			left++
		}
	}
	from := now
	if 2*left <= len(e.stores) { // No majority until they are back.
		from = f.backAt
	}
	const spread = 1.6 // of elections, p99 over median, about what docs/decisions/003 shows
	for p := range e.owner {
		if e.stores[e.owner[p]].up && left*2 > len(e.stores) {
			continue
		}
		took := newLogNormal(after, spread).at(e.elections.Normal())
		e.available[p] = max(e.available[p], from+took)
		if f.backAt == 0 && 2*left <= len(e.stores) {
			e.available[p] = measure.Never / 2
		}
		for range e.stores {
			if e.owner[p] = (e.owner[p] + 1) % int32(len(e.stores)); e.stores[e.owner[p]].up {
				break
			}
		}
	}
	for s := range e.shards {
		sh := &e.shards[s]
		if !e.stores[sh.store].up {
			sh.liveFrom = max(sh.liveFrom, from+link)
			sh.store = (sh.store + 1) % int32(len(e.stores))
		}
	}
}

func (e *engine) storeIsBack(i int32) { e.stores[i].up = true }

// leads is how many partitions a store owns.
func (e *engine) leads(i int32) (n int) {
	for _, o := range e.owner {
		if o == i {
			n++
		}
	}
	return n
}

// pick finds the process of a target as a run does: the one that is named, or of those that may be taken the one that was hit least, and of these
// the one that leads most. -1 if there is none.
func (e *engine) pick(target, role string, n int, may func(i int) bool, leads func(i int) int) int32 {
	named := strings.HasPrefix(target, role) && target != string(v1alpha1.StoreLeading)
	best := -1
	for i := range n {
		name := fmt.Sprintf("%s%d", role, i)
		if !may(i) || named && target != name {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(e.hits[name], e.hits[fmt.Sprintf("%s%d", role, best)]), cmp.Compare(leads(best), leads(i))) < 0 {
			best = i
		}
	}
	if best >= 0 {
		e.hits[fmt.Sprintf("%s%d", role, best)]++
	}
	return int32(best)
}

// mend lets a shard that stood still go on.
func (e *engine) mend(k int32) {
	f := &e.faults[k]
	f.backAt = e.q.Now()
	e.work(f.shard)
}

// delayed is how much longer a delivery takes that leaves its shard at a moment, and counts it for the delays.
func (e *engine) delayed(i int32, leaves, latency time.Duration) (more time.Duration) {
	due := e.dueAt(i)
	far := e.network.Float64() < e.delays[0].share // All delays are of the same share.
	if far {
		for _, d := range e.delays {
			if leaves >= d.from && leaves < d.to {
				more = d.by + time.Duration(e.network.Float64()*float64(d.jitter))
			}
		}
	}
	if !e.measured(e.posts[i]) {
		return more
	}
	elsewhere := true
	for _, d := range e.delays {
		edge := min((d.to-d.from)/10, doubt)
		if due >= d.from && due < d.to-edge {
			recordOne(d.far, d.others, far, latency+more)
		}
		elsewhere = elsewhere && (due < d.from-doubt || due > d.to+d.by+d.jitter+doubt)
	}
	if elsewhere {
		recordOne(e.delays[0].farElse, e.delays[0].othersElse, far, latency+more)
	}
	return more
}

func recordOne(far, others *measure.Histogram, isFar bool, latency time.Duration) {
	if isFar {
		far.Record(latency)
		return
	}
	others.Record(latency)
}

// faultsFound are the faults with the waits from when each struck until the next one did.
func (e *engine) faultsFound() []verdict.Fault {
	out := make([]verdict.Fault, len(e.faults))
	next := measure.Never
	for k := len(e.faults) - 1; k >= 0; k-- {
		f := e.faults[k]
		v := verdict.Fault{
			Name: f.Title(), Action: string(f.Action), Target: string(f.Target), Processes: f.processes, Role: f.role, At: f.struck, BackAt: f.backAt,
			Sessions: f.sessions, LongestReturn: f.longestReturn, Error: f.err,
		}
		if f.back < f.sessions {
			v.LongestReturn = measure.Never
		} else if f.Action == v1alpha1.Cut && f.sessions > 0 {
			v.BackAt = f.struck + f.longestReturn
			v.SignInsPerSecond = float64(f.sessions) / max(f.longestReturn, time.Millisecond).Seconds()
		}
		if f.struck > 0 {
			e.waits(&v, f.struck, next)
			next = f.struck
		}
		out[k] = v
	}
	for _, d := range e.delays {
		out[d.fault].Delay = &verdict.Delay{By: d.by, Jitter: d.jitter, Sessions: int64(d.share * float64(e.readers)),
			Far: d.far, Others: d.others, FarElse: e.delays[0].farElse, OthersElse: e.delays[0].othersElse}
	}
	return out
}

// waits are the longest of posts that were under way when a fault struck, or came until the next.
func (e *engine) waits(v *verdict.Fault, from, to time.Duration) {
	for i, p := range e.posts {
		due, l := e.origin+p.Due, e.lives[i]
		underWay := due < from && (l.acked == 0 || l.acked > from || due+l.longest > from)
		if due >= to || due < from && !underWay {
			continue
		}
		v.Posts++
		v.Deliveries += l.delivered
		wait := l.acked - due
		if l.acked == 0 {
			wait = measure.Never
		}
		v.LongestAckWait = max(v.LongestAckWait, wait)
		v.LongestDeliveryWait = max(v.LongestDeliveryWait, l.longest)
		if l.delivered < l.expected {
			v.LongestDeliveryWait = measure.Never
		}
	}
}
