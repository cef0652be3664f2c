package swarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// Swarm is a crowd of subscribers. Its life: New, Run in a goroutine, Start, Progress as often as wanted, Settle, the end
// of Run's context, Result.
type Swarm struct {
	cfg      Config
	loops    []*loop
	logIndex map[string]int32
	ended    bool
}

// New lays out the sessions, mints their tokens and resolves the endpoints. It opens no socket.
func New(ctx context.Context, cfg Config) (*Swarm, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Swarm{cfg: cfg, logIndex: make(map[string]int32, len(cfg.Logs))}
	for i, log := range cfg.Logs {
		s.logIndex[log] = int32(i)
	}
	endpoints := make([]endpoint, len(cfg.Endpoints))
	for i, e := range cfg.Endpoints {
		if endpoints[i], err = resolve(ctx, e); err != nil {
			return nil, err
		}
	}
	var far []endpoint
	for _, e := range cfg.Far {
		at, err := resolve(ctx, e)
		if err != nil {
			return nil, err
		}
		far = append(far, at)
	}
	from, err := parseSources(cfg.SourceAddresses)
	if err != nil {
		return nil, err
	}
	groups := newGrouping(cfg.Groups, cfg.Posts)
	loops := min(cfg.Loops, cfg.Sessions)
	for k := range loops {
		first, end := cfg.Sessions*k/loops, cfg.Sessions*(k+1)/loops
		l, err := s.newLoop(k, loops, cfg.FirstSession+first, end-first, groups)
		if err != nil {
			return nil, err
		}
		l.endpoints, l.far, l.sources = endpoints, far, from
		s.loops = append(s.loops, l)
	}
	return s, nil
}

func (s *Swarm) newLoop(index, of, first, n int, groups grouping) (*loop, error) {
	c, cursors, err := newCrowd(&s.cfg, first, n)
	if err != nil {
		return nil, err
	}
	l := &loop{
		crowd:     c,
		behaviour: s.cfg.Behaviour,
		clock:     s.cfg.Clock,
		index:     index,
		of:        of,
		seed:      s.cfg.Seed,
		rate:      s.cfg.ConnectPerSecond,
		maxUnder:  (s.cfg.MaxConnecting + of - 1) / of,
		logs:      s.cfg.Logs,
		slowRate:  s.cfg.SlowBytesPerSecond,
		logIndex:  s.logIndex,
		wheel:     newWheel(n),
		random:    rand.New(rand.NewPCG(s.cfg.Seed, uint64(first))),
		in:        make([]byte, readBytes),
		pingEvery: s.cfg.Behaviour.PingEvery,
		errors:    errorCounts{},
		hiccups:   measure.NewHistogram(),
		signIn:    measure.NewHistogram(),
		runNs:     s.cfg.StartNs,
	}
	l.counters.Wanted = int64(n)
	l.counters.Slow = int64(len(c.slow))
	l.returns, l.waits = measure.NewHistogram(), NewPeaks(measure.DefaultWidth)
	for _, level := range []**measure.Series{&l.levels.wanted, &l.levels.established, &l.levels.signedIn, &l.signIns, &l.resumed, &l.losses, &l.lostForGood} {
		*level = measure.NewSeries(measure.DefaultWidth)
	}
	l.ping.Body = &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{}}
	l.renew.Body = &chatv1.ClientFrame_Renew{Renew: &chatv1.RenewRequest{}}
	l.resumes = newResumes(n)
	l.book = &book{
		run:        s.cfg.Run,
		cursors:    cursors,
		tallies:    make([]tally, len(s.cfg.Logs)),
		deviations: map[deviation]int64{},
		count:      &l.counters,
		meter:      newMeter(groups, s.cfg.StartNs, len(s.cfg.Endpoints)),
		slow:       func(ci int32) bool { return l.sessions[l.sessionOf(ci)].is(flagSlow) },
	}
	if s.cfg.FarShare > 0 {
		l.book.meter.delays = []DelayResult{newDelayResult()}
	}
	l.publish()
	return l, nil
}

// Run drives the sessions until ctx ends, then closes them. It returns an error only if the swarm itself could not go on.
func (s *Swarm) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range s.loops {
		g.Go(func() error { return l.run(ctx) })
	}
	err := g.Wait()
	s.ended = true
	return err
}

// Start begins the first connects, at the rate of the configuration.
func (s *Swarm) Start() {
	for _, l := range s.loops {
		l.control.start.Store(true)
	}
}

// Progress is where a swarm stands, at most some 50 ms ago.
type Progress struct {
	Counters Counters         `json:"counters"`
	Errors   map[string]int64 `json:"errors"`
}

// Merge adds another swarm's progress.
func (p *Progress) Merge(o Progress) {
	p.Counters.Add(o.Counters)
	if p.Errors == nil {
		p.Errors = map[string]int64{}
	}
	errorCounts(p.Errors).merge(o.Errors)
}

// Progress may be called at any time, from any goroutine.
func (s *Swarm) Progress() Progress {
	var p Progress
	for _, l := range s.loops {
		l.shared.Lock()
		p.Merge(Progress{l.shared.counters, l.shared.errors})
		l.shared.Unlock()
	}
	return p
}

// Settle waits until every session that ever attached a log has come to the given head of it, at most until ctx ends. It
// returns how many (session, log) pairs are still behind. It asks nobody for anything: who is behind has to catch up by
// the same rule as all the time.
func (s *Swarm) Settle(ctx context.Context, heads map[string]uint64) (behind int64, err error) {
	byLog := make([]uint64, len(s.cfg.Logs))
	for log, pts := range heads {
		i, ok := s.logIndex[log]
		if !ok {
			return 0, fmt.Errorf("swarm: settle: no session follows log %s", log)
		}
		byLog[i] = pts
	}
	for _, l := range s.loops {
		l.control.heads.Store(&byLog)
	}
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		behind, known := s.behind(&byLog)
		if known && behind == 0 {
			return 0, nil
		}
		select {
		case <-ctx.Done():
			return behind, nil
		case <-tick.C:
		}
	}
}

// behind adds up what the loops have published for these heads; known is false while one of them has not.
func (s *Swarm) behind(heads *[]uint64) (behind int64, known bool) {
	known = true
	for _, l := range s.loops {
		l.shared.Lock()
		behind += l.shared.behind
		known = known && l.shared.heads == heads
		l.shared.Unlock()
	}
	return behind, known
}

// Result is everything that a swarm has to say when it is over. Results of several swarms merge.
type Result struct {
	Counters Counters         `json:"counters"`
	Errors   map[string]int64 `json:"errors"`
	// Groups has one entry for each of Config.Groups. Latency is that of all groups that are Measured, together.
	Groups  []GroupResult      `json:"groups"`
	Latency *measure.Histogram `json:"latency"`
	// Shards has one entry for each of Config.Endpoints, and none if there are more than 64.
	Shards []ShardResult `json:"shards,omitempty"`
	// Heat counts the latencies of all groups by the intended moment; Peaks has the longest of them.
	Heat  *measure.HeatMap `json:"heat"`
	Peaks *Peaks           `json:"peaks"`
	// Deliveries counts by the moment of delivery.
	Deliveries *measure.Series `json:"deliveries"`
	// Delays are the times of Delay in their order, after one for the rest of the time; none if nobody can be delayed.
	Delays []DelayResult `json:"delays,omitempty"`
	// Changes in how many sessions there should be by the rate of connects, have a WebSocket, and are signed in.
	Wanted      *measure.Series `json:"wanted"`
	Established *measure.Series `json:"established"`
	Sessions    *measure.Series `json:"sessions"`
	// SignIns counts sign-ins, the first of a session and all others, Resumed those of them that were by a resume token; Losses the connections that were lost, and LostForGood those
	// of them that were never made again. Returns are the times from losing a connection to being signed in again, and Waits the
	// longest of them by when it was lost. Slow readers are in the first alone.
	SignIns     *measure.Series    `json:"signIns"`
	Resumed     *measure.Series    `json:"resumed"`
	Losses      *measure.Series    `json:"losses"`
	LostForGood *measure.Series    `json:"lostForGood"`
	Returns     *measure.Histogram `json:"returns"`
	Waits       *Peaks             `json:"waits"`
	// SignIn is the time from a session's first dial to its first sign-in, whatever attempts that took.
	SignIn *measure.Histogram `json:"signIn"`
	// Hiccups is how late the loops' ticks ran.
	Hiccups *measure.Histogram `json:"hiccups"`
	// CPU is what the process used, in all, and BytesPerSubscriber what its sessions hold on average (BytesPerSubscriber).
	CPU                time.Duration `json:"cpu"`
	BytesPerSubscriber int           `json:"bytesPerSubscriber"`
	// ResumeBytesPerSubscriber is the part of BytesPerSubscriber that the resume tokens take.
	ResumeBytesPerSubscriber int          `json:"resumeBytesPerSubscriber"`
	Verification             Verification `json:"verification"`
}

// GroupResult is what was measured of one group's posts.
type GroupResult struct {
	Name    string             `json:"name"`
	Latency *measure.Histogram `json:"latency"`
	// Max is exact. Arrived counts the deliveries, Late those among them that took longer than DeliverWithin.
	Max     time.Duration `json:"max"`
	Arrived int64         `json:"arrived"`
	Late    int64         `json:"late"`
}

// ShardResult is what was measured of the sessions that begin at one endpoint, also when they were elsewhere.
type ShardResult struct {
	Endpoint string `json:"endpoint"`
	// Sessions that signed in at least once, there or elsewhere.
	Sessions int64 `json:"sessions"`
	// Lost are those of Verification.Lost that never came or were left out.
	Lost int64 `json:"lost"`
	// Latency is of the groups that are Measured, Deliveries counts all by their moment.
	Latency    *measure.Histogram `json:"latency"`
	Deliveries *measure.Series    `json:"deliveries"`
}

// Result judges the sessions by what the logs really hold. Run must have returned.
func (s *Swarm) Result(lists []LogList) (Result, error) {
	if !s.ended {
		return Result{}, errors.New("swarm: Result before Run has returned")
	}
	truths := make([]*truth, len(s.cfg.Logs))
	for _, list := range lists {
		i, ok := s.logIndex[list.Log]
		if !ok || list.First < 1 {
			return Result{}, fmt.Errorf("swarm: the list of log %q from %d on: no session follows it, or positions begin at 1", list.Log, list.First)
		}
		truths[i] = newTruth(list)
	}
	var sum Result
	for _, l := range s.loops {
		r, err := l.result(truths)
		if err != nil {
			return Result{}, err
		}
		if err := sum.Merge(r); err != nil {
			return Result{}, err
		}
	}
	sum.CPU = processCPU()
	sum.BytesPerSubscriber, sum.ResumeBytesPerSubscriber = s.bytesPerSubscriber()
	return sum, nil
}

func (l *loop) result(truths []*truth) (Result, error) {
	m := l.book.meter
	lost := make([]int64, len(l.endpoints))
	v, err := l.book.verify(truths, l.logs, func(ci int32) int { return l.number(l.sessionOf(ci)) }, func(ci int32, n int64) {
		lost[l.home(l.sessionOf(ci))] += n
	})
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Counters: l.counters, Errors: l.errors.clone(), Latency: measure.NewHistogram(), Heat: m.heat, Peaks: m.peaks,
		Deliveries: m.deliveries, Wanted: l.levels.wanted, Established: l.levels.established, Sessions: l.levels.signedIn,
		SignIns: l.signIns, Resumed: l.resumed, Losses: l.losses, LostForGood: l.lostForGood, Returns: l.returns, Waits: l.waits,
		SignIn: l.signIn, Hiccups: l.hiccups, Verification: v,
	}
	for i, g := range m.groups {
		h := &m.latency[i]
		if g.Measured {
			r.Latency.Merge(h)
		}
		r.Groups = append(r.Groups, GroupResult{g.Name, h, time.Duration(m.exact[i].maxNs), h.Count(), m.exact[i].late})
	}
	r.Delays = m.delayResults()
	for i := range m.shards {
		r.Shards = append(r.Shards, ShardResult{l.endpoints[i].host, 0, lost[i], &m.shards[i].latency, m.shards[i].deliveries})
	}
	for i := range l.sessions {
		if m.shards != nil && l.sessions[i].is(flagSignedIn) {
			r.Shards[l.home(int32(i))].Sessions++
		}
	}
	return r, nil
}

func (s *Swarm) bytesPerSubscriber() (all, resume int) {
	cursors, tokens := 0, 0
	for _, l := range s.loops {
		cursors += len(l.book.cursors)
		tokens += len(l.tokens)
		resume += l.resumes.bytes()
	}
	n := s.cfg.Sessions
	return BytesPerSubscriber(0, 0) + (BytesPerSubscriber(1, 0)-BytesPerSubscriber(0, 0))*cursors/n + (tokens+resume)/n, resume / n
}

// Merge adds the result of another swarm with the same groups. The zero Result takes on o's.
func (r *Result) Merge(o Result) error {
	if r.Groups == nil {
		r.Groups = make([]GroupResult, len(o.Groups))
		for i, g := range o.Groups {
			r.Groups[i] = GroupResult{Name: g.Name, Latency: measure.NewHistogram()}
		}
		r.Shards = make([]ShardResult, len(o.Shards))
		for i, s := range o.Shards {
			r.Shards[i] = ShardResult{Endpoint: s.Endpoint, Latency: measure.NewHistogram(), Deliveries: measure.NewSeries(measure.DefaultWidth)}
		}
		r.Errors = map[string]int64{}
		r.Latency, r.SignIn, r.Hiccups, r.Returns = measure.NewHistogram(), measure.NewHistogram(), measure.NewHistogram(), measure.NewHistogram()
		r.Heat, r.Peaks, r.Waits = measure.NewHeatMap(measure.DefaultWidth), NewPeaks(measure.DefaultWidth), NewPeaks(measure.DefaultWidth)
		for _, series := range []**measure.Series{&r.Deliveries, &r.Wanted, &r.Established, &r.Sessions, &r.SignIns, &r.Resumed, &r.Losses, &r.LostForGood} {
			*series = measure.NewSeries(measure.DefaultWidth)
		}
	}
	if len(r.Groups) != len(o.Groups) || len(r.Shards) != len(o.Shards) {
		return fmt.Errorf("merge results: %d groups and %d shards with %d and %d", len(r.Groups), len(r.Shards), len(o.Groups), len(o.Shards))
	}
	for i, s := range o.Shards {
		to := &r.Shards[i]
		to.Sessions += s.Sessions
		to.Lost += s.Lost
		to.Latency.Merge(s.Latency)
		if err := to.Deliveries.Merge(s.Deliveries); err != nil {
			return err
		}
	}
	if wanted := r.Counters.Wanted + o.Counters.Wanted; wanted > 0 {
		mean := func(a, b int) int { return int((int64(a)*r.Counters.Wanted + int64(b)*o.Counters.Wanted) / wanted) }
		r.BytesPerSubscriber = mean(r.BytesPerSubscriber, o.BytesPerSubscriber)
		r.ResumeBytesPerSubscriber = mean(r.ResumeBytesPerSubscriber, o.ResumeBytesPerSubscriber)
	}
	r.Counters.Add(o.Counters)
	errorCounts(r.Errors).merge(o.Errors)
	for i, g := range o.Groups {
		to := &r.Groups[i]
		to.Latency.Merge(g.Latency)
		to.Max = max(to.Max, g.Max)
		to.Arrived += g.Arrived
		to.Late += g.Late
	}
	r.mergeDelays(o.Delays)
	r.Latency.Merge(o.Latency)
	r.SignIn.Merge(o.SignIn)
	r.Hiccups.Merge(o.Hiccups)
	r.Returns.Merge(o.Returns)
	r.CPU += o.CPU
	return errors.Join(r.Heat.Merge(o.Heat), r.Peaks.Merge(o.Peaks), r.Deliveries.Merge(o.Deliveries),
		r.Wanted.Merge(o.Wanted), r.Established.Merge(o.Established), r.Sessions.Merge(o.Sessions),
		r.SignIns.Merge(o.SignIns), r.Resumed.Merge(o.Resumed), r.Losses.Merge(o.Losses), r.LostForGood.Merge(o.LostForGood), r.Waits.Merge(o.Waits),
		r.Verification.Merge(o.Verification))
}

// processCPU is the user and system time of this process so far.
func processCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
