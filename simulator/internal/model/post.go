package model

import (
	"slices"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/des"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// store is one store's processors.
type store struct {
	up      bool
	station *des.Station
	// How many times as long a job takes as on one whole core.
	slower float64
	// Until when its network is busy with what it publishes.
	sends time.Duration
}

func newStore(cores float64) store {
	servers := max(int(cores), 1)
	return store{up: true, station: des.NewStation(servers), slower: max(float64(servers)/cores, 1)}
}

// due lets an author post, at one shard after the other. Without any that is up he tries again.
func (e *engine) due(i int32) {
	first := e.q.Now() == e.dueAt(i)
	if first {
		e.pushNext()
		e.book.offered(e, i)
	}
	n := int32(len(e.shards))
	for turn := range n {
		if s := (i + turn) % n; e.shards[s].up {
			e.give(s, job{kind: postAsked, index: i, n: 1, cost: e.cost.postShard, generator: e.cost.postAuthor})
			return
		}
	}
	e.again(i, postDue, e.q.Now()+askEvery)
}

// again repeats what had no answer, until the author gives up.
func (e *engine) again(i int32, k kind, at time.Duration) {
	if at > e.dueAt(i)+askFor {
		e.lives[i].failed = true
		return
	}
	e.q.Push(at, event{kind: k, a: i})
}

// asked is a post at the owner of its log.
func (e *engine) asked(i int32) {
	now := e.q.Now()
	p := e.partition(e.posts[i].Log)
	if ready := e.available[p]; now < ready {
		times := (ready - now + askEvery - 1) / askEvery
		e.again(i, postAsked, now+times*askEvery)
		return
	}
	var ends time.Duration
	for s := range e.stores { // Followers work as much as the owner, and are not waited for: the draw has that.
		st := &e.stores[s]
		if !st.up {
			continue
		}
		takes := time.Duration(float64(e.cost.postStore) * st.slower)
		e.book.used(e, nil, takes, 0)
		if e.in.Fleet.SharedCores > 0 {
			e.account(e.q.Now())
			e.storing++
			takes = time.Duration(float64(takes) * e.dearer() / e.thread())
		}
		_, done := st.station.Serve(now, takes)
		if e.in.Fleet.SharedCores > 0 {
			e.q.Push(done, event{kind: storeTurnEnds})
		}
		if int32(s) == e.owner[p] {
			ends = done
		}
	}
	e.q.Push(max(ends, now)+e.quorumWrite()+writeWakes*e.wake(), event{kind: postStored, a: i})
}

func (e *engine) quorumWrite() time.Duration { return e.cost.quorum.at(e.quorum.Normal()) }

func (e *engine) partition(log int) int { return log % len(e.owner) }

// stored acknowledges a post, and sends it to the shards that have readers.
func (e *engine) stored(i int32) {
	now := e.q.Now()
	l := &e.lives[i]
	l.stored = now
	post := e.posts[i]
	l.expected = e.readersOf(post, e.joined)
	here, sum := int64(0), int64(0)
	e.copies = e.copies[:0]
	offset := e.offset(post)
	// Readers are spread evenly over the sessions, wherever these are now; who is away is the rest.
	for s := range e.shards {
		sh := &e.shards[s]
		before := e.share(post, sum, offset)
		sum += sh.present
		if n := e.share(post, sum, offset) - before; n > 0 {
			here += n
			e.copies = append(e.copies, copyTo{int32(s), uint32(n)})
		}
	}
	leaves := e.publish(i)
	// On cores that are shared the answer meets the sweeps that the copies begin.
	answered := now
	if e.in.Fleet.SharedCores > 0 {
		answered = leaves + e.cost.begin
	}
	e.q.Push(answered+e.cost.hop, event{kind: postAnswered, a: i})
	if owed := l.expected - here; owed > 0 {
		e.owe(i, owed)
	}
}

// copyTo is a copy of a post to a shard that has readers of it.
type copyTo struct {
	shard int32
	n     uint32
}

// answered is an acknowledgement at the shard that took the post.
func (e *engine) answered(i int32) {
	e.lives[i].acked = e.q.Now() + answerWakes*e.wake()
	e.book.acknowledged(e, i)
}

// publish sends a post to its shards, one copy after the other. The owner has so many processors for that, and one network: what many posts at
// once ask of it has to wait. It says when the last one leaves.
func (e *engine) publish(i int32) (leaves time.Duration) {
	now := e.q.Now()
	post := e.posts[i]
	wire := e.wire(int64(post.Bytes))
	owner := &e.stores[e.owner[e.partition(post.Log)]]
	takes := time.Duration(len(e.copies)) * e.cost.publish
	leaves = now
	begins := now
	if owner.up {
		begins, _ = owner.station.Serve(now, takes)
	}
	for k, c := range e.copies {
		made := begins + time.Duration(k)*e.cost.publish
		owner.sends = max(owner.sends, made) + wire
		leaves = max(made+e.cost.publish, owner.sends)
		e.q.Push(max(leaves, e.shards[c.shard].liveFrom)+e.cost.hop+e.cost.begin, event{kind: postCame, a: i, b: c.shard, n: c.n})
	}
	e.book.used(e, nil, takes, 0)
	return leaves
}

// readersOf is how many of n sessions read a post.
func (e *engine) readersOf(p schedule.Post, n int64) int64 { return e.share(p, n, e.offset(p)) }

// share is how many of the first n sessions read a post. What a log's share leaves over is by its offset, so that it is not always the same sessions.
func (e *engine) share(p schedule.Post, n, offset int64) int64 {
	switch {
	case p.Readers > 0:
		return (n*int64(p.Readers) + offset) / max(e.readers, 1)
	case p.Log == 0:
		return n
	}
	channels := int64(e.s.Population.Channels)
	return (n*int64(e.s.Population.AttachPerSession) + offset) / channels
}

func (e *engine) offset(p schedule.Post) int64 {
	channels := int64(e.s.Population.Channels)
	if p.Readers > 0 {
		channels = max(e.readers, 1)
	}
	if p.Log == 0 {
		return 0
	}
	return int64(p.Log-1) * 7919 % channels // a prime, so that neighbours are not alike
}

// wire is how long a pod's network is busy with an event to one receiver.
func (e *engine) wire(bytes int64) time.Duration {
	if e.in.Fleet.Network == 0 {
		return 0
	}
	return time.Duration((bytes + e.cost.frame) * int64(time.Second) / e.in.Fleet.Network)
}

// owe keeps a post for sessions that are away.
func (e *engine) owe(i int32, n int64) {
	l := &e.lives[i]
	l.owed += n
	l.awayThen, l.owedAt = e.away, int64(e.q.Now())
	if !slices.Contains(e.open, i) {
		e.open = append(e.open, i)
	}
}

// came puts a post before the readers of a shard.
func (e *engine) came(i, s int32, n int64) {
	sh := &e.shards[s]
	if !sh.up {
		e.owe(i, n)
		return
	}
	log := int32(e.posts[i].Log)
	k := slices.IndexFunc(sh.sweeps, func(w sweep) bool { return w.log == log })
	if k < 0 {
		sh.sweeps = append(sh.sweeps, sweep{log: log})
		k = len(sh.sweeps) - 1
	}
	sh.sweeps[k].under = append(sh.sweeps[k].under, under{post: i, left: n})
	e.work(s)
}

// measured says whether a post is of the measure phase.
func (e *engine) measured(p schedule.Post) bool { return p.Due >= e.s.Phases.Warmup.Std() }
