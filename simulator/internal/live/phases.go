package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/fault"
	"github.com/chatfleet/chatfleet/simulator/internal/fleet"
	"github.com/chatfleet/chatfleet/simulator/internal/history"
	"github.com/chatfleet/chatfleet/simulator/internal/mint"
	"github.com/chatfleet/chatfleet/simulator/internal/plain"
	"github.com/chatfleet/chatfleet/simulator/internal/poster"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
	"github.com/chatfleet/chatfleet/simulator/internal/worker"
)

// prepare gets the fleet, its channels and the crowd ready.
func (e *engine) prepare(ctx, running context.Context) error {
	return e.phase("prepare", nil, func() error {
		if err := e.reach(ctx, running); err != nil {
			return err
		}
		s := e.Scenario
		e.posts = schedule.Posts(s)
		e.grouping = group(s, e.posts)
		attach, err := attachments(s.Population)
		if err != nil {
			return err
		}
		if e.channels, err = createChannels(ctx, e.run, 1+s.Population.Channels, e.endpoints, e.minter, e.createWithin); err != nil {
			return unreachable{err}
		}
		if e.usage.before, err = e.shardMemory(); err != nil {
			return err
		}
		// From here on the run counts: the sessions dial next.
		e.startNs, e.started = stamp.Now(), e.Wall()
		whole := e.wholeCrowd(attach)
		if err = e.openNetwork(&whole.Swarm); err != nil {
			return err
		}
		e.crowd, err = e.Crowd(running, whole)
		return err
	})
}

// wholeCrowd is all sessions of the run.
func (e *engine) wholeCrowd(attach []swarm.Attachment) worker.Config {
	s := e.Scenario
	sessions := s.Population.Sessions()
	var slow v1alpha1.SlowReaders
	if s.Population.SlowReaders != nil {
		slow = *s.Population.SlowReaders
	}
	return worker.Config{
		SigningKey: e.minter.Key, Issued: e.minter.Issued, Expires: e.minter.Expires, Workers: int(s.Workers.Count), Guard: e.Guard,
		Swarm: swarm.Config{
			Run: e.run, StartNs: e.startNs, Seed: s.Seed, Sessions: sessions, Users: s.Population.Subscribers,
			Endpoints: addresses(e.endpoints), SourceAddresses: s.Workers.SourceAddresses, JSONShare: s.Population.JSONShare,
			SlowShare: slow.Share, SlowBytesPerSecond: slow.ReadBytesPerSecond,
			Logs: e.channels.ids(), Attach: attach, Groups: e.grouping.groups, Posts: e.grouping.posts,
			ConnectPerSecond: float64(sessions) / max(s.Phases.Connect.ConnectsOver(sessions).Seconds(), 0.001),
		},
	}
}

// reach starts the local fleet, or takes the one that was given.
func (e *engine) reach(ctx, running context.Context) error {
	e.endpoints = e.Endpoints
	// Long enough for a run of any length that a scenario may have, and no longer than needed.
	s := e.Scenario
	lasts := s.Phases.Connect.ConnectsOver(s.Population.Sessions()) + (s.Phases.Warmup + s.Phases.Measure).Std() + s.Phases.Settle.Std() + time.Hour
	if e.Local.Chatd != "" {
		e.Say("%-8s a fleet of %d stores and %d shards on this machine (%d partitions, %d replicas, %s)", "prepare",
			e.Local.Spec.Stores, e.Local.Spec.Shards, e.Local.Spec.Partitions, e.Local.Spec.Replicas, e.Local.Spec.Durability)
		f, err := fleet.Start(ctx, e.Local)
		if err != nil {
			return unreachable{err}
		}
		e.fleet, e.endpoints, e.TokenKeyFile = f, f.Endpoints(), f.SigningKeyFile
		e.background.Go(func() { e.watchFleet(running) })
	}
	if e.Via != nil {
		through, err := e.Via(e.endpoints)
		if err != nil {
			return err
		}
		e.endpoints = through
	}
	var err error
	// No clock that a fault sets makes them seem to be of the future, or over: such a fault is not to be one of the load.
	forward, back := s.Steps()
	e.minter, err = mint.Load(e.TokenKeyFile, time.Now().Add(-back), time.Now().Add(lasts+forward))
	return err
}

// watchFleet says at once when a process of the local fleet ends by itself, and keeps its largest size.
func (e *engine) watchFleet(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case exit := <-e.fleet.Exits():
			e.Say("%v", exit)
			e.usage.exited(exit)
		case <-tick.C:
			e.usage.sample(e.fleet)
		}
	}
}

// connectGrace is how much longer than meant connecting may take.
const connectGrace = 30 * time.Second

// connect lets the sessions connect, and goes on once all are signed in or the time is over.
func (e *engine) connect(ctx context.Context) error {
	s := e.Scenario
	wanted := int64(s.Population.Sessions())
	status := func() string {
		c := e.crowd.Progress().Counters
		return fmt.Sprintf("%s/%s sessions signed in", plain.Count(c.Subscribed), plain.Count(wanted))
	}
	err := e.phase("connect", status, func() error {
		if err := e.crowd.Start(); err != nil {
			return err
		}
		within := s.Phases.Connect.ConnectsOver(int(wanted)) + connectGrace
		until(ctx, within, func() bool { return e.crowd.Progress().Counters.Subscribed >= wanted || len(e.crowd.Lost()) > 0 })
		return nil
	})
	if err != nil {
		return err
	}
	p := e.crowd.Progress()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if p.Counters.SignedIn == 0 {
		return unreachable{fmt.Errorf("no session could sign in (%s)", describeErrors(p.Errors))}
	}
	e.machine.files(e.everybody())
	e.usage.after, err = e.shardMemory()
	e.usage.sessions, e.usage.workers = p.Counters.SignedInNow, workerMemory(e.crowd.Pids())
	e.Say("%-8s %s of %s sessions signed in after %.1f s", "connect", plain.Count(p.Counters.Subscribed), plain.Count(wanted), (e.now() - e.phases[len(e.phases)-1].From).Seconds())
	return err
}

// headStart is the time from laying out the load to its first moment.
const headStart = 200 * time.Millisecond

// load posts the schedule and breaks what is to be broken: the phases warm-up and measure.
func (e *engine) load(ctx, running context.Context) error {
	s := e.Scenario
	startNs := stamp.Now() + int64(headStart)
	measureNs := startNs + int64(s.Phases.Warmup)
	endNs := measureNs + int64(s.Phases.Measure)
	if err := e.layOut(startNs); err != nil {
		return err
	}
	var load sync.WaitGroup
	defer load.Wait()
	along, stopAlong := context.WithCancel(running)
	load.Go(func() { e.reader.Along(along) })
	defer stopAlong()
	var posting, alternating error
	load.Go(func() { e.threads.Prompt(along) })
	load.Go(func() { posting = e.poster.Run(ctx) })
	if len(s.Faults) > 0 {
		load.Go(func() { e.faults = fault.Run(ctx, e.breaks(measureNs)) })
	}
	if e.alternates() {
		load.Go(func() { alternating = e.alternate(ctx, measureNs) })
	}
	if s.Phases.Warmup > 0 {
		_ = e.phase("warm-up", e.loadStatus, func() error { untilNs(ctx, measureNs); return nil })
	}
	_ = e.phase("measure", e.loadStatus, func() error {
		untilNs(ctx, measureNs)
		e.usage.begin(e.fleet, e.crowd.Progress().Counters.Delivered)
		e.machine.begin(e.crowd.Pids())
		measuring, done := context.WithCancel(ctx)
		// What it sees is to be what the workers' threads see, which stand in line.
		load.Go(func() { e.threads.Patiently(func() { e.hiccup = probe(measuring, stamp.Now) }) })
		if e.fleet != nil {
			load.Go(func() { e.usage.trend.follow(measuring, e.fleet, s.Phases.Measure.Std()) })
			load.Go(func() { e.usage.cpu.follow(measuring, e.now, fleetCPU(e.fleet)) })
		}
		untilNs(ctx, endNs)
		done()
		e.usage.end(e.fleet, e.crowd.Progress().Counters.Delivered)
		e.machine.end(e.crowd.Pids())
		return nil
	})
	// The last posts may still be on their way, and the last fault being mended.
	return e.phase("settle", e.loadStatus, func() error {
		stopAlong()
		load.Wait()
		if alternating != nil {
			e.note("not all slow readers could be told when to read, so the comparison is of fewer: %v", alternating)
		}
		return posting
	})
}

// breaks says what is broken, and when.
func (e *engine) breaks(measureNs int64) fault.Config {
	c := fault.Config{
		Sessions: &audience{crowd: e.crowd}, Moments: fault.Moments(e.Scenario.Faults), StartNs: measureNs,
		Say: func(format string, args ...any) { e.Say("fault    "+format, args...) },
	}
	if e.far != nil {
		e.far.crowd = e.crowd
		c.Network = e.far
	}
	if e.fleet != nil {
		c.Fleet, c.Used = fault.Local(e.fleet), func() time.Duration { return totalCPU(e.fleet) }
	}
	return c
}

func (e *engine) layOut(startNs int64) error {
	var err error
	e.reader, err = history.New(history.Config{
		Run: e.run, Logs: e.channels.read, Endpoints: e.endpoints, Token: e.channels.post[0].Token,
	})
	if err != nil {
		return err
	}
	e.poster, err = poster.New(poster.Config{
		Run: e.run, Seed: e.Scenario.Seed, JSONShare: e.Scenario.Population.JSONShare, Posts: e.posts, Logs: e.channels.post,
		Endpoints: e.endpoints, StartNs: startNs, MaxInFlight: e.MaxPostsInFlight,
		Acknowledged: func(p schedule.Post) { e.reader.Note(p.Log) },
	})
	return err
}

func (e *engine) loadStatus() string {
	posts, crowd := e.poster.Counts(), e.crowd.Progress().Counters
	return fmt.Sprintf("%s/%s posts acknowledged, %s deliveries to %s sessions",
		plain.Count(posts.Acknowledged), plain.Count(posts.Intended), plain.Count(crowd.Delivered), plain.Count(crowd.SignedInNow))
}

const (
	// readWithin is how long the logs may take to show what was acknowledged; a shard may be a second behind.
	readWithin = 5 * time.Second
	// lingers is how long sessions stay after they have everything, so that what comes twice is seen.
	lingers       = 300 * time.Millisecond
	settleHurried = time.Second
	finishWithin  = 2 * time.Minute
)

// finish reads the logs to their heads, gives what is under way its time to arrive, and holds everybody's account against the
// logs.
func (e *engine) finish(ctx context.Context, hurried bool) error {
	ctx, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	settle := e.Scenario.Phases.Settle.Std()
	if hurried {
		settle = settleHurried
	}
	var readErr error
	atLeast := e.highest()
	err := e.phase("settle", e.loadStatus, func() error {
		reading, cancel := context.WithTimeout(ctx, min(readWithin, settle))
		defer cancel()
		e.lists, readErr = e.reader.Finish(reading, atLeast)
		settling, cancel := context.WithTimeout(ctx, settle)
		defer cancel()
		if _, err := e.crowd.Settle(settling, heads(e.lists)); err != nil {
			// A worker is gone, then: the verdict knows from Lost.
			e.note("not all sessions could be waited for: %v", err)
		}
		time.Sleep(lingers)
		return nil
	})
	if err != nil {
		return err
	}
	return e.phase("finish", nil, func() error {
		if readErr == nil {
			// Once more, and without waiting for more than there is: what was given up on may have been stored since.
			now, cancel := context.WithCancel(ctx)
			cancel()
			e.lists, readErr = e.reader.Finish(now, atLeast)
		}
		e.verify(ctx, readErr)
		return nil
	})
}

// verify holds what was acknowledged and what the sessions got against what the logs hold. What cannot be verified has no
// samples in the measurements, and a threshold on it is inconclusive; so it is no error here.
func (e *engine) verify(ctx context.Context, readErr error) {
	if readErr != nil {
		e.note("what the logs hold is not known, so nothing can be said of deliveries: %v", readErr)
		return
	}
	e.findings = history.Compare(e.lists, e.acknowledged())
	for _, example := range e.findings.Examples {
		e.note("%s", example)
	}
	var err error
	if e.result, err = e.crowd.Finish(ctx, swarmLists(e.lists)); err != nil {
		e.note("the sessions' account is not complete: %v", err)
		return
	}
	e.verified = true
}

// highest is, for each log, the highest position that was acknowledged.
func (e *engine) highest() []uint64 {
	highest := make([]uint64, len(e.channels.read))
	for i, out := range e.poster.Outcomes() {
		log := e.posts[i].Log
		highest[log] = max(highest[log], out.Pts)
	}
	return highest
}

func (e *engine) acknowledged() []history.Acknowledged {
	var acknowledged []history.Acknowledged
	for i, out := range e.poster.Outcomes() {
		if out.AcknowledgedNs != 0 {
			acknowledged = append(acknowledged, history.Acknowledged{Post: uint32(i), Log: e.posts[i].Log, Epoch: out.Epoch, Pts: out.Pts})
		}
	}
	return acknowledged
}

func heads(lists []history.List) map[string]uint64 {
	heads := make(map[string]uint64, len(lists))
	for _, list := range lists {
		heads[list.Log] = list.Head()
	}
	return heads
}

func swarmLists(lists []history.List) []swarm.LogList {
	out := make([]swarm.LogList, len(lists))
	for i, list := range lists {
		out[i] = swarm.LogList{Log: list.Log, Epoch: list.Epoch, First: list.First, Posts: list.Posts}
	}
	return out
}

// until waits until it is so, at most for the given time, and ends early with ctx.
func until(ctx context.Context, within time.Duration, so func() bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// untilNs waits until a moment by stamp.Now, and ends early with ctx.
func untilNs(ctx context.Context, ns int64) {
	timer := time.NewTimer(time.Duration(ns - stamp.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// addresses are the HOST:PORT of URLs.
func addresses(urls []string) []string {
	out := make([]string, len(urls))
	for i, text := range urls {
		out[i] = text
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			out[i] = u.Host
		}
	}
	return out
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func describeErrors(counts map[string]int64) string {
	if len(counts) == 0 {
		return "and none said why"
	}
	var errs []error
	for what, n := range counts {
		errs = append(errs, fmt.Errorf("%s × %d", what, n))
	}
	return errors.Join(errs...).Error()
}
