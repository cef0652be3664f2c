package model

import (
	"cmp"
	"slices"
	"time"
)

// crowd is threads that are alike on shared cores: how many, and what of a core each of them wants.
type crowd struct{ n, wants float64 }

// fair is what of a core a thread gets that wants all of one: cores are divided evenly among all, but nobody gets more than he wants, and what is left
// over is divided again.
func fair(cores float64, crowds ...crowd) float64 {
	slices.SortFunc(crowds, func(a, b crowd) int { return cmp.Compare(a.wants, b.wants) })
	n := 0.0
	for _, c := range crowds {
		n += c.n
	}
	for _, c := range crowds {
		if c.n <= 0 {
			continue
		}
		if each := cores / n; c.wants >= each {
			return min(each, 1)
		}
		cores -= float64(c.n * c.wants)
		n -= c.n
	}
	return 1
}

// pings is what one of n processes takes for its part of the pings of all sessions that are connected, in cores.
func (e *engine) pings(a session, n int) float64 {
	return float64(float64(a)*float64(e.signedIn-e.away)) / float64(max(n, 1))
}

// session is what each session takes, in cores.
type session float64

// wants are the threads on shared cores, and what they want: those with work a whole core, the others what they take for being there and for
// being woken for pings.
func (e *engine) wants() (shards, readers, stores, poster crowd) {
	f, c := e.in.Fleet, e.cost
	loops := f.loops()
	shards = crowd{float64(e.running-e.working) * loops, (c.idleShard + e.pings(c.ping+c.rouse, e.running)) / loops}
	readers = crowd{float64(f.Readers), 1}
	if !e.reader.working {
		readers.wants = c.idleReader + e.pings(c.pingRead+c.rouseRead, f.Readers)
	}
	return shards, readers, crowd{float64(f.Stores), c.idleStore}, crowd{1, c.idlePoster}
}

// thread is how much of a shared core each thread gets that has work.
func (e *engine) thread() float64 {
	shards, readers, stores, poster := e.wants()
	return fair(e.in.Fleet.SharedCores, shards, readers, stores, poster, crowd{e.busy(), 1})
}

// busy is how many threads of shards and stores have work.
func (e *engine) busy() float64 {
	return float64(float64(e.working)*e.in.Fleet.loops()) + min(float64(e.storing), float64(2*len(e.stores)))
}

// line is how many threads with work are more than there are shared cores.
func (e *engine) line() float64 {
	n := e.busy()
	if e.reader.working {
		n += float64(e.in.Fleet.Readers)
	}
	return max(n-e.in.Fleet.SharedCores, 0)
}

// dearer is how many times as much everything takes because threads stand in line for shared cores: they find less of what they need in the caches.
func (e *engine) dearer() float64 {
	if e.in.Fleet.SharedCores == 0 {
		return 1
	}
	return 1 + float64(e.cost.switches*e.line())
}

// wake is how long a thread that wakes up stands in line on shared cores.
func (e *engine) wake() time.Duration {
	if e.in.Fleet.SharedCores == 0 {
		return 0
	}
	return time.Duration(float64(e.cost.wake) * e.line() / e.in.Fleet.SharedCores)
}

// afterPings is what is left of what a loop gets. Loops take turns between what can be read and what is to be written (chatd/internal/engine/epoll, the
// loop's stretch; simulator/internal/swarm), so pings that a loop does not keep up with take half of it and no more.
func afterPings(gets, pings float64) float64 { return max(gets-pings, gets/2) }

// shardPace is how much of a shard's work is done in a second of shared cores, after its pings.
func (e *engine) shardPace() float64 {
	gets := float64(e.in.Fleet.loops() * e.thread())
	return afterPings(gets, e.pings(e.cost.ping, e.running)) / e.dearer()
}

// readerPace is the same of the whole generator's readers.
func (e *engine) readerPace() float64 {
	gets := float64(float64(e.in.Fleet.Readers) * e.thread())
	return afterPings(gets, e.pings(e.cost.pingRead, 1)) / e.dearer()
}

// account counts what processes took of shared cores for being there, and for pings, since it was called last. It is called before anybody begins or
// ends to have work.
func (e *engine) account(now time.Duration) {
	if e.in.Fleet.SharedCores == 0 || now == e.accounted {
		return
	}
	from, to := max(e.accounted, e.measureAt), min(now, e.settleAt)
	e.accounted = now
	if e.settleAt == 0 || from >= to {
		return
	}
	share := e.thread()
	shards, readers, stores, poster := e.wants()
	over := float64(to - from)
	took := func(c crowd) time.Duration { return time.Duration(over * c.n * min(c.wants, share)) }
	// Who has work does his pings beside it.
	beside := func(n, threads, pings float64) time.Duration {
		return time.Duration(over * n * min(pings, threads*share/2))
	}
	u := &e.book.use
	u.Stores += took(stores)
	u.Shards += took(shards) + beside(float64(e.working), e.in.Fleet.loops(), e.pings(e.cost.ping, e.running))
	u.Generator += took(poster)
	if e.reader.working {
		u.Generator += beside(1, float64(e.in.Fleet.Readers), e.pings(e.cost.pingRead, 1))
	} else {
		u.Generator += took(readers)
	}
}
