package model

import "time"

// shard is one shard: its sessions, and the work that it has.
type shard struct {
	up bool
	// The sessions that read and are signed in.
	present int64
	// The store that its link goes to, and when live events pass it.
	store    int32
	liveFrom time.Duration
	// It stands still until then.
	frozen time.Duration

	sweeps []sweep
	jobs   []job
	// The processor time of the jobs that wait.
	queued time.Duration

	working bool
	// The turn that is going on: of the jobs, or of a sweep, and what is left of it.
	onJobs bool
	turn   int
	left   time.Duration
	// Counts the times that all work was dropped, so that ends of turns from before are known.
	generation uint32
	// Processor time in the measure phase.
	busy time.Duration
}

// sweep is a way through the readers of a log. It goes round: each event under way is for the readers from where the sweep was when it came, and
// is done once it has been all round.
type sweep struct {
	log   int32
	under []under
}

type under struct {
	post int32
	left int64
}

// job is processor time that somebody waits for: n equal ones.
type job struct {
	kind  kind
	index int32
	n     int32
	cost  time.Duration
	// What the generator spends beside it, on shared cores.
	generator time.Duration
}

// give adds a job to a shard's work.
func (e *engine) give(s int32, j job) {
	sh := &e.shards[s]
	sh.jobs = append(sh.jobs, j)
	sh.queued += time.Duration(j.n) * j.cost
	e.work(s)
}

// work begins the next turn of a shard that is idle, if it has something to do.
func (e *engine) work(s int32) {
	sh := &e.shards[s]
	if sh.working || !sh.up || len(sh.jobs)+len(sh.sweeps) == 0 {
		return
	}
	if now := e.q.Now(); sh.frozen > now {
		return // Its fault's end has it go on.
	}
	e.account(e.q.Now())
	sh.working = true
	e.working++
	if sh.left <= 0 {
		e.nextTurn(sh)
	}
	var takes time.Duration
	if sh.onJobs {
		takes = e.doJobs(sh)
	} else {
		takes = e.doSweep(s, sh)
	}
	e.q.Push(e.q.Now()+takes, event{kind: turnEnds, b: s, n: sh.generation})
}

// nextTurn alternates between jobs and sweeps, and goes round among the sweeps.
func (e *engine) nextTurn(sh *shard) {
	sh.left = turnLength
	sh.onJobs = len(sh.jobs) > 0 && (!sh.onJobs || len(sh.sweeps) == 0)
	if !sh.onJobs {
		sh.turn = (sh.turn + 1) % len(sh.sweeps)
	}
}

// pace is how much processor time a shard gets in a second, after its sessions' pings.
func (e *engine) pace() float64 {
	f := e.in.Fleet
	if f.SharedCores > 0 {
		return e.shardPace()
	}
	return afterPings(f.CoresPerShard, e.pings(e.cost.ping, e.running))
}

// doJobs works on jobs for a turn, and returns how long it takes.
func (e *engine) doJobs(sh *shard) time.Duration {
	pace := e.pace()
	var takes time.Duration
	for len(sh.jobs) > 0 && takes < sh.left {
		j := &sh.jobs[0]
		each := max(time.Duration(float64(j.cost+j.generator)/pace), 1)
		n := min(int64(j.n), max(int64((sh.left-takes)/each), 1))
		takes += time.Duration(n) * each
		spent := time.Duration(n) * j.cost
		sh.queued -= spent
		e.book.used(e, sh, spent, 0)
		e.book.read(e, time.Duration(n)*j.generator)
		if j.n -= int32(n); j.n > 0 {
			break
		}
		at := e.q.Now() + takes
		if j.kind == postAsked {
			at += e.cost.hop
		}
		e.q.Push(at, event{kind: j.kind, a: j.index})
		sh.jobs = sh.jobs[1:]
	}
	if len(sh.jobs) == 0 {
		sh.jobs = sh.jobs[:0:0]
	}
	sh.left = 0
	return takes
}

// doSweep writes to a chunk of sessions, and returns how long it takes.
func (e *engine) doSweep(s int32, sh *shard) time.Duration {
	w := &sh.sweeps[sh.turn]
	cost := e.cost.write + time.Duration(len(w.under)-1)*e.cost.along
	var wire time.Duration
	var bytes int64
	n := w.under[0].left
	for _, u := range w.under {
		size := int64(e.posts[u.post].Bytes)
		cost += time.Duration(float64(size-measuredBytes) * e.cost.perByte)
		wire += e.wire(size)
		bytes += size + e.cost.frame
		n = min(n, u.left)
	}
	cost = max(cost, e.cost.write/2)
	each := max(time.Duration(float64(cost)/e.pace()), wire, 1)
	shared := e.in.Fleet.SharedCores > 0
	turn := sh.left
	if shared {
		turn = min(turn, sharedTurn)
	}
	n = min(n, max(int64(turn/each), 1))
	if e.in.PerSession {
		n = 1
	}
	if shared {
		e.write(s, w.under, n, bytes, time.Duration(n)*each)
	}
	for k := range w.under {
		if !shared {
			e.deliver(w.under[k].post, s, e.q.Now(), each, n)
		}
		w.under[k].left -= n
	}
	e.book.used(e, sh, time.Duration(n)*cost, n*bytes)
	kept := w.under[:0]
	for _, u := range w.under {
		if u.left > 0 {
			kept = append(kept, u)
		}
	}
	w.under = kept
	takes := time.Duration(n) * each
	if sh.left -= takes; sh.left < each {
		sh.left = 0
	}
	if len(w.under) == 0 {
		sh.sweeps = append(sh.sweeps[:sh.turn], sh.sweeps[sh.turn+1:]...)
		sh.turn, sh.left = sh.turn-1, 0
	}
	return takes
}

// deliver counts the deliveries of a post to n sessions, one after the other.
func (e *engine) deliver(i, s int32, begins, each time.Duration, n int64) {
	since := begins - e.dueAt(i)
	l := &e.lives[i]
	l.delivered += n
	r := e.book.recorder(e, i, s)
	if len(e.place.ways) == 0 && len(e.delays) == 0 {
		for k := int64(1); k <= n; k++ {
			r.record(since + time.Duration(k)*each)
		}
		l.longest = max(l.longest, since+time.Duration(n)*each)
		return
	}
	for k := int64(1); k <= n; k++ {
		latency := since + time.Duration(k)*each + e.place.draw(e.network.Uint64())
		if len(e.delays) > 0 {
			latency += e.delayed(i, begins+time.Duration(k)*each, latency)
		}
		r.record(latency)
		l.longest = max(l.longest, latency)
	}
}

// turnOver ends a turn, and begins the next.
func (e *engine) turnOver(s int32, generation uint32) {
	sh := &e.shards[s]
	if generation != sh.generation {
		return
	}
	e.account(e.q.Now())
	sh.working = false
	e.working--
	e.work(s)
}
