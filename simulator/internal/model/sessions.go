package model

import (
	"slices"
	"time"
)

// group is some sessions that do the same at the same moment: one, or few enough that curves are smooth.
type group struct {
	n, readers int64
	shard      int32
	attempt    int32
	// When the first connect of this time was begun, or the connection lost.
	since time.Duration
	// It was signed in before.
	back bool
	// The fault that disconnected them, or noFault.
	fault int32
}

const (
	// mostGroups is how many groups come of all sessions that connect, or that a fault disconnects.
	mostGroups = 1 << 15
	// briefGroups is the same where no answer is about signing in.
	briefGroups = 1 << 10
	// patience is how much processor time for sign-ins may wait before a shard sends sessions away (chatd/internal/gateway, rush).
	patience = 500 * time.Millisecond
	// A session that is alone for the first time waits up to pauseBase, and twice that each further time (simulator/internal/swarm).
	pauseBase = 100 * time.Millisecond
	pauseMost = 2 * time.Second
	noFault   = -1
)

// connect lets all sessions connect at the scenario's pace, and plays until they are in. Every shard gets its n-th part of them, or one more, in as
// many groups as the others, which come by turns: a shard that had more than others would have a longer ramp, for no other reason than where groups
// begin, and with another number of sessions it would be another shard.
func (e *engine) connect() {
	n, shards := int64(e.s.Population.Sessions()), int64(len(e.shards))
	slow := e.slow(n)
	over := e.s.Phases.Connect.ConnectsOver(int(n))
	most := (e.groupCount(n) + shards - 1) / shards
	count := min(most*shards, n)
	for turn := range most {
		for s := range shards {
			first := n * s / shards
			all := n*(s+1)/shards - first
			groups := min(most, all)
			if turn >= groups {
				continue
			}
			from, to := first+all*turn/groups, first+all*(turn+1)/groups
			k := int64(len(e.groups))
			g := group{n: to - from, shard: int32(s), since: time.Duration(int64(over) / count * k), fault: noFault}
			g.readers = g.n - (slow*to/n - slow*from/n)
			e.groups = append(e.groups, g)
			e.q.Push(g.since, event{kind: groupComes, a: int32(k)})
		}
	}
	e.readers, e.joining = n-slow, len(e.groups)
	e.run(over+connectGrace, func() bool { return e.joining == 0 })
}

// fill has all sessions signed in from the start.
func (e *engine) fill(n int64) {
	e.signedIn = n
	n -= e.slow(n)
	e.readers, e.joined = n, n
	shards := int64(len(e.shards))
	for s := range e.shards {
		e.shards[s].present = n*int64(s+1)/shards - n*int64(s)/shards
	}
}

// slow is how many of n sessions take nothing.
func (e *engine) slow(n int64) int64 {
	if s := e.s.Population.SlowReaders; s != nil {
		slow := int64(s.Share * float64(n))
		if float64(slow) < s.Share*float64(n) {
			slow++
		}
		return slow
	}
	return 0
}

func (e *engine) groupCount(n int64) int64 {
	if e.in.PerSession {
		return n
	}
	if e.in.Brief && len(e.s.Faults) == 0 {
		return min(n, briefGroups) // Who connects is out of the way before anything is posted.
	}
	return min(n, mostGroups)
}

// comes begins a connect: a round trip for the connection, one for the handshake. Half of one later the first message is at the shard.
func (e *engine) comes(k int32) {
	g := &e.groups[k]
	e.book.dialled(e, g)
	trip := 2 * e.oneWay()
	e.q.Push(e.q.Now()+2*trip+trip/2, event{kind: groupAsks, a: k})
}

func (e *engine) oneWay() time.Duration {
	if len(e.place.ways) == 0 {
		return 0
	}
	return e.place.draw(e.network.Uint64())
}

// asksIn is a sign-in at a shard, which may be gone, or have too many of them.
func (e *engine) asksIn(k int32) {
	g := &e.groups[k]
	sh := &e.shards[g.shard]
	now := e.q.Now()
	waits := time.Duration(float64(sh.queued) / e.pace())
	switch {
	case !sh.up || sh.frozen > now:
		e.comesLater(k, e.pause(g))
	case waits > patience:
		e.comesLater(k, waits+time.Duration(e.pauses.Float64()*float64(waits)))
	default:
		e.give(g.shard, job{kind: groupIsIn, index: k, n: int32(g.n), cost: e.cost.signIn})
	}
}

// comesLater sends sessions to the next shard after a pause.
func (e *engine) comesLater(k int32, pause time.Duration) {
	g := &e.groups[k]
	g.shard = (g.shard + 1) % int32(len(e.shards))
	g.attempt = min(g.attempt+1, 10)
	e.q.Push(e.q.Now()+pause, event{kind: groupComes, a: k})
}

// pause is full jitter.
func (e *engine) pause(g *group) time.Duration {
	return time.Duration(e.pauses.Float64() * float64(min(pauseMost, pauseBase<<g.attempt)))
}

// isIn is a sign-in that is done. The answer takes half a round trip.
func (e *engine) isIn(k int32) {
	g := &e.groups[k]
	sh := &e.shards[g.shard]
	if !sh.up {
		e.comesLater(k, e.pause(g))
		return
	}
	g.attempt = 0
	sh.present += g.readers
	e.book.signedIn(e, g, e.q.Now()+e.oneWay())
	if g.back {
		e.account(e.q.Now())
		e.away -= g.readers
		e.catchUp(g)
		return
	}
	e.joined += g.readers
	e.signedIn += g.n
	e.joining--
}

// catchUp gives sessions that are back what they missed. Each open post knows how many were away; who comes back takes his part of what is owed, and
// the last takes all that is left, so that nothing is owed twice and nothing is left over.
func (e *engine) catchUp(g *group) {
	now := e.q.Now()
	for _, i := range e.open {
		l := &e.lives[i]
		if l.owed == 0 || int64(g.since) > l.owedAt || l.awayThen <= 0 {
			continue
		}
		n := min((l.owed*g.readers+l.awayThen/2)/l.awayThen, l.owed)
		l.owed -= n
		l.awayThen -= g.readers
		latency := now + 2*e.cost.hop + e.oneWay() - e.dueAt(i)
		e.book.healed(e, i, g.shard, latency, n)
		l.delivered += n
		l.longest = max(l.longest, latency)
	}
	e.open = slices.DeleteFunc(e.open, func(i int32) bool { return e.lives[i].owed == 0 })
}

// lose disconnects sessions of a shard; they come back to the next one, or, if the shard goes on, to the next by turn.
func (e *engine) lose(s int32, n int64, fault int32, over time.Duration) {
	sh := &e.shards[s]
	n = min(n, sh.present)
	if n == 0 {
		return
	}
	e.account(e.q.Now())
	sh.present -= n
	e.away += n
	e.book.lost(e, fault, n)
	now := e.q.Now()
	count := e.groupCount(n)
	for k := range count {
		size := n*(k+1)/count - n*k/count
		g := group{n: size, readers: size, shard: (s + 1 + int32(k)) % int32(len(e.shards)), since: now, back: true, fault: fault}
		e.groups = append(e.groups, g)
		at := now + time.Duration(int64(over)/count*k)
		e.q.Push(at+e.pause(&g), event{kind: groupComes, a: int32(len(e.groups) - 1)})
	}
}
