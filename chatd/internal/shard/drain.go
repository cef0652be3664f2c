package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// drainTick is how often a few more sessions are sent away.
	drainTick = 50 * time.Millisecond
	// settleWithin is how long a session that is sent away may wait for the answers to its requests.
	settleWithin = 3 * time.Second
	// lastWordsWithin is how long sessions may take to end that were told when the time was up: a little more than the engine waits for
	// the other side's close.
	lastWordsWithin = 4 * time.Second
	// defaultHint is what a client is told to wait before it connects anew (and a random part of as much again): long enough
	// for the balancer to have noticed, short enough for nobody to miss much. maxSpread bounds what is told when the time is up.
	defaultHint = 500 * time.Millisecond
	maxSpread   = 30 * time.Second
	// longHint is more than a fleet needs in which others take the sessions: who asks for more wants them away.
	longHint = 2 * time.Second

	// homeWithin is what a shed waits at its end besides twice the hint, at most twice longHint, before sessions are taken again: those who were
	// told last find their place on other shards first. Else some come right back, and whoever sheds ends with more than all others.
	homeWithin = time.Second

	defaultReason     = "this shard is leaving"
	defaultShedReason = "this shard gives sessions to others"
)

// Bounds of a DrainOrder.
const (
	MaxDrainPerSecond = 100_000
	MaxDrainHint      = 10 * time.Minute
	MaxDrainTimeout   = 24 * time.Hour
	MaxDrainReason    = 200 // bytes
)

// DrainOrder says how sessions are to be sent away.
type DrainOrder struct {
	// Shed: only until Keep sessions are left, and then new ones are taken. Else all leave and none are taken.
	Shed bool
	Keep int
	// PerSecond sessions are told to leave.
	PerSecond int
	// Hint is what they are told to wait before they connect anew. Default 0.5 s.
	Hint time.Duration
	// Timeout counts from the first begin; 0 is none. When it is over, a drain tells all that are left at once; a shed ends.
	Timeout time.Duration
	// Reason that they are told. Default "this shard is leaving", of a shed "this shard gives sessions to others".
	Reason string
}

// Validate says what is wrong with an order.
func (o DrainOrder) Validate() error {
	switch {
	case o.PerSecond < 1 || o.PerSecond > MaxDrainPerSecond:
		return fmt.Errorf("a pace of %d sessions a second: want 1 to %d", o.PerSecond, MaxDrainPerSecond)
	case o.Hint < 0 || o.Hint > MaxDrainHint:
		return fmt.Errorf("a hint to come back after %v: want at most %v", o.Hint, MaxDrainHint)
	case o.Timeout < 0 || o.Timeout > MaxDrainTimeout:
		return fmt.Errorf("a timeout of %v: want at most %v, or 0 for none", o.Timeout, MaxDrainTimeout)
	case len(o.Reason) > MaxDrainReason:
		return fmt.Errorf("a reason of %d bytes: want at most %d", len(o.Reason), MaxDrainReason)
	case !utf8.ValidString(o.Reason):
		return errors.New("the reason is not UTF-8")
	case o.Keep < 0:
		return fmt.Errorf("%d sessions to be left: want 0 or more", o.Keep)
	}
	return nil
}

// DrainState is how far a drain has come.
type DrainState uint8

const (
	// DrainNone: there was none.
	DrainNone DrainState = iota
	// DrainUnderWay: sessions are leaving, and none are taken.
	DrainUnderWay
	// DrainDone: of a drain, no session is left and none are taken; of a shed, enough have left.
	DrainDone
	// DrainReversed: called off.
	DrainReversed
	// DrainTimedOut: a shed whose time was over first.
	DrainTimedOut
)

// Drain is the newest drain or shed, as it is now.
type Drain struct {
	Order DrainOrder
	State DrainState
	// Stopping: there is no way back.
	Stopping bool
	// Told to leave since it began; Sessions are held now, those who were told and have not yet left among them.
	Told, Sessions int
	// Deadline is zero if there is none, Ended while it is under way.
	Began, Deadline, Ended time.Time
}

// Errors of the methods below, for errors.Is.
var (
	// ErrDraining: a shed was asked for while a drain is in force.
	ErrDraining = errors.New("all sessions are leaving already; reverse that drain first if some are to stay")
	// ErrStopping: the process has been told to stop.
	ErrStopping = errors.New("the process has been told to stop, and there is no way back")
)

// BeginDrain begins to send sessions away, or changes how the drain that is under way does it. A shed becomes a drain if that is asked
// for, not the other way round.
func (sh *Shard) BeginDrain(o DrainOrder) (Drain, error) {
	if err := o.Validate(); err != nil {
		return Drain{}, err
	}
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	d := &sh.drain
	if o.Shed {
		switch {
		case d.stopping:
			return Drain{}, ErrStopping
		case d.closed() && !d.order.Shed:
			return Drain{}, ErrDraining
		}
	}
	sh.beginDrainLocked(o)
	return sh.drainLocked(), nil
}

// ReverseDrain calls a drain off: nobody else is told to leave, and sessions are taken. Without one nothing changes.
func (sh *Shard) ReverseDrain() (Drain, error) {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	switch d := &sh.drain; {
	case d.stopping:
		return Drain{}, ErrStopping
	case d.closed():
		d.end(DrainReversed, sh.cfg.Now())
	}
	return sh.drainLocked(), nil
}

// Draining is the newest drain or shed.
func (sh *Shard) Draining() Drain {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	return sh.drainLocked()
}

// Leaving reports whether all sessions are to leave. A shed is no such thing: while one is under way, the shard still serves those that
// it keeps, and is to stay among those that a balancer knows.
func (sh *Shard) Leaving() bool {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	return sh.drain.closed() && !sh.drain.order.Shed
}

// Depart drains for good: it goes on with a drain that is under way, at its pace, else begins o. It returns when no session is left, or a
// little after o.Timeout, or when ctx ends; whoever was left then has been told.
func (sh *Shard) Depart(ctx context.Context, o DrainOrder) Drain {
	sh.sessionsMu.Lock()
	d := &sh.drain
	if !d.closed() || d.order.Shed {
		sh.beginDrainLocked(o)
	}
	d.stopping = true
	if by := sh.cfg.Now().Add(o.Timeout); o.Timeout > 0 && (d.deadline.IsZero() || by.Before(d.deadline)) {
		d.deadline = by
	}
	deadline := d.deadline
	sh.sessionsMu.Unlock()

	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for sh.Sessions() > 0 && (deadline.IsZero() || sh.cfg.Now().Before(deadline.Add(lastWordsWithin))) {
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		sh.tellAll()
		break
	}
	return sh.Draining()
}

// drain is a Drain and what is needed to go on with it. It belongs to Shard.sessionsMu.
type drain struct {
	order                  DrainOrder
	state                  DrainState
	stopping               bool
	count                  int // of drains: so that the goroutine of an earlier one knows that it is over
	told, sentAway         int // in this one; in all
	began, deadline, ended time.Time
	// waiting are sessions to be told, in random order; leaving have been told and may not have left.
	waiting []*session
	leaving map[*session]struct{}
	// due is how many may be told now, and the pace has been reckoned up to at.
	due float64
	at  time.Time
	// enough is since when enough have left, of a shed.
	enough time.Time
	// hurried: the time was up, and all have been told at once.
	hurried bool
}

// closed reports whether sessions are refused.
func (d *drain) closed() bool {
	return d.state == DrainUnderWay || d.state == DrainDone && !d.order.Shed
}

func (d *drain) end(state DrainState, now time.Time) {
	d.state, d.ended, d.waiting = state, now, nil
}

func (sh *Shard) beginDrainLocked(o DrainOrder) {
	d, now := &sh.drain, sh.cfg.Now()
	def(&o.Hint, defaultHint)
	if o.Shed {
		def(&o.Reason, defaultShedReason)
	}
	def(&o.Reason, defaultReason)
	if !d.closed() || d.order.Shed && !o.Shed {
		*d = drain{stopping: d.stopping, count: d.count + 1, began: now, at: now, leaving: d.leaving, sentAway: d.sentAway}
		if d.leaving == nil {
			d.leaving = make(map[*session]struct{})
		}
		d.state = DrainUnderWay
		n := d.count
		sh.tasks.spawn(func() { sh.drainOn(n) })
	}
	d.order = o
	if deadline := d.began.Add(o.Timeout); !d.stopping {
		d.deadline = time.Time{}
		if o.Timeout > 0 {
			d.deadline = deadline
		}
	}
}

func (sh *Shard) drainLocked() Drain {
	d := &sh.drain
	return Drain{Order: d.order, State: d.state, Stopping: d.stopping, Told: d.told, Sessions: len(sh.sessions),
		Began: d.began, Deadline: d.deadline, Ended: d.ended}
}

// drainOn is the goroutine of one drain.
func (sh *Shard) drainOn(n int) {
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-sh.ctx.Done():
			sh.drainStep(n) // the last session may have left since, which ends it
			return
		}
		if !sh.drainStep(n) {
			return
		}
	}
}

// drainStep tells as many sessions as the pace allows; false when the drain has come to its end.
func (sh *Shard) drainStep(n int) bool {
	sh.sessionsMu.Lock()
	d, now := &sh.drain, sh.cfg.Now()
	if d.count != n || d.state != DrainUnderWay {
		sh.sessionsMu.Unlock()
		return false
	}
	d.forgetGone(sh.sessions)
	over := !d.deadline.IsZero() && !now.Before(d.deadline)
	excess := len(sh.sessions) - len(d.leaving) - d.order.Keep
	switch {
	case d.order.Shed && excess <= 0 && len(d.leaving) == 0:
		if d.areHome(now) || over {
			d.end(DrainDone, now)
		}
	case !d.order.Shed && len(sh.sessions) == 0:
		d.end(DrainDone, now)
	case d.order.Shed && over:
		d.end(DrainTimedOut, now)
	default:
		d.enough = time.Time{}
	}
	if d.state != DrainUnderWay {
		ended := sh.drainLocked()
		sh.sessionsMu.Unlock()
		sh.cfg.Logger.Info("drain ended", "shed", ended.Order.Shed, "timedOut", ended.State == DrainTimedOut, "told", ended.Told, "sessions", ended.Sessions, "took", now.Sub(ended.Began))
		return false
	}
	tell := d.takeDue(now, excess, sh.sessions)
	sh.sessionsMu.Unlock()
	if over {
		sh.tellAll()
		return true
	}
	for _, s := range tell {
		s.sendAway()
	}
	return true
}

// areHome says whether those who have left may have found another place since.
func (d *drain) areHome(now time.Time) bool {
	if d.enough.IsZero() {
		d.enough = now
	}
	return d.told == 0 || now.Sub(d.enough) >= 2*min(d.order.Hint, longHint)+homeWithin
}

// forgetGone forgets those who were told and have left.
func (d *drain) forgetGone(held map[*session]struct{}) {
	for s := range d.leaving {
		if _, ok := held[s]; !ok {
			delete(d.leaving, s)
		}
	}
}

// takeDue takes the sessions whose turn it is, at most so many. A tick that comes late is made up for, but not more than a few: the pace
// holds for every second, not on average.
func (d *drain) takeDue(now time.Time, most int, held map[*session]struct{}) (tell []*session) {
	d.due += float64(d.order.PerSecond) * min(now.Sub(d.at), 4*drainTick).Seconds()
	d.at = now
	refilled := false
	for d.due >= 1 && len(tell) < most {
		if len(d.waiting) == 0 {
			if refilled {
				break
			}
			d.refill(held)
			refilled = true
			continue
		}
		s := d.waiting[len(d.waiting)-1]
		d.waiting = d.waiting[:len(d.waiting)-1]
		if _, ok := held[s]; !ok || !s.startLeaving() {
			continue
		}
		d.leaving[s] = struct{}{}
		tell = append(tell, s)
		d.told++
		d.sentAway++
		d.due--
	}
	// What is not used is not saved up.
	d.due = min(d.due, max(1, float64(d.order.PerSecond)*drainTick.Seconds()))
	return tell
}

// refill puts all who have not been told in random order; those too who came when the drain had begun.
func (d *drain) refill(held map[*session]struct{}) {
	d.waiting = d.waiting[:0]
	for s := range held {
		if _, told := d.leaving[s]; !told {
			d.waiting = append(d.waiting, s)
		}
	}
	rand.Shuffle(len(d.waiting), func(i, j int) { d.waiting[i], d.waiting[j] = d.waiting[j], d.waiting[i] })
}

// tellAll tells everybody who has not been told, at once and without waiting for answers. The hint spreads them as the pace would have.
func (sh *Shard) tellAll() {
	sh.sessionsMu.Lock()
	d := &sh.drain
	var tell []*session
	for s := range sh.sessions {
		if s.startLeaving() {
			d.told++
			d.sentAway++
			d.leaving[s] = struct{}{}
			tell = append(tell, s)
		} else if _, told := d.leaving[s]; told && !d.hurried {
			tell = append(tell, s) // it may still wait for an answer; who has heard it already hears nothing twice
		}
	}
	d.hurried = true
	spread := time.Duration(float64(len(tell)) / float64(d.order.PerSecond) * float64(time.Second))
	frame := comeBack(d.order.Reason, max(d.order.Hint, min(spread, maxSpread)))
	sh.sessionsMu.Unlock()
	for _, s := range tell {
		s.conn.Close(frame, engine.CloseComeBack, "come back")
	}
}

// startLeaving marks a session as one that has been told; false if it is already, has ended, or cannot be told yet.
func (s *session) startLeaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ended || s.phase == leaving || s.conn == nil {
		return false
	}
	s.phase = leaving
	return true
}

// sendAway lets a session's requests come to their answers, and says come_back.
func (s *session) sendAway() {
	s.mu.Lock()
	settled := s.inFlight == 0
	var idle chan struct{}
	if !settled {
		idle = make(chan struct{})
		s.moreLocked().idle = idle
	}
	s.mu.Unlock()
	if settled || !s.sh.tasks.spawn(func() {
		s.settle(idle)
		s.sayComeBack()
	}) {
		s.sayComeBack()
	}
}

func (s *session) settle(idle <-chan struct{}) {
	patience := time.NewTimer(settleWithin)
	defer patience.Stop()
	select {
	case <-idle:
	case <-patience.C:
	case <-s.sh.ctx.Done():
	}
}

// sayComeBack ends a session with the hint of the newest drain.
func (s *session) sayComeBack() {
	s.sh.sessionsMu.Lock()
	o := s.sh.drain.order
	s.sh.sessionsMu.Unlock()
	s.conn.Close(comeBack(o.Reason, o.Hint), engine.CloseComeBack, "come back")
}

func comeBack(reason string, after time.Duration) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Body: &chatv1.ServerFrame_ComeBack{ComeBack: &chatv1.ComeBack{AfterMs: uint32(after.Milliseconds()), Reason: reason}}}
}
