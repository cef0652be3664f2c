package logsync

import (
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// HoldTime is how long an event may wait for the ones before it until the difference is asked for (docs/protocol.md).
const HoldTime = 500 * time.Millisecond

// Cursor says which events a device has: all up to PTS, in the incarnation Epoch of the log. Epoch 0 is no cursor.
type Cursor struct {
	Epoch uint32
	PTS   uint64
}

// Update is one step of the log that the application sees. Either Event or Reset is set.
type Update struct {
	Event *chatv1.Event
	Reset *Reset
	// Cursor is the one to keep once the update is handled.
	Cursor Cursor
}

// Weight is how much of the capacity the update takes until it is handled.
func (u Update) Weight() int {
	if u.Reset != nil {
		return 1 + len(u.Reset.Events)
	}
	return 1
}

// Reset replaces all that the device has of the log: its state, and its newest events, the last of which is at the cursor.
type Reset struct {
	Info   *chatv1.LogInfo
	Events []*chatv1.Event
}

// Ask is a request for the difference.
type Ask struct {
	Cursor Cursor
	// Limit is the most events that there is room for.
	Limit int
}

// Effects is what an input leads to, to be carried out in the order of the fields.
type Effects struct {
	// Started is the cursor of a device that had none until now, worth keeping even before the first event; else zero.
	Started Cursor
	Updates []Update
	// Ask, if not nil, wants an Answer or a Failed, unless the connection is Lost first.
	Ask *Ask
}

// Config is what a Log is made with.
type Config struct {
	// Cursor is what the device has; the zero Cursor if it has nothing.
	Cursor Cursor
	// FromBeginning makes a device without a cursor read the log from its first event, not from its head.
	FromBeginning bool
	// Capacity is the most events given out and not yet handled (a difference may exceed it by half). At least 1.
	Capacity int
	// Jitter spreads the pauses between failed questions; nil keeps them as they are.
	Jitter func(time.Duration) time.Duration
}

// Log is the sync of one log. It is not safe for concurrent use.
type Log struct {
	fromBeginning bool
	capacity      int
	jitter        func(time.Duration) time.Duration

	cursor   Cursor
	attached bool
	// queued is the weight of what was given out and is not handled yet.
	queued int

	// held are events that cannot be given out yet: the ones before them are missing, they are of an epoch that the cursor
	// is not in (yet), or there is no room. Never more than capacity and one.
	held map[Cursor]heldEvent
	// want is the newest position known to exist in the cursor's epoch.
	want uint64
	// must: the difference is to be asked for, whatever want says.
	must bool
	// urgent: what is missing will not come by itself, so that holding would be in vain.
	urgent bool

	asking bool
	// again: while the question was under way something came that its answer may not know of.
	again bool
	// notBefore is the end of the pause after failures.
	notBefore time.Time
	failures  int
}

type heldEvent struct {
	event *chatv1.Event
	since time.Time
}

// New returns the sync of a log that is not attached yet.
func New(c Config) *Log {
	l := &Log{
		fromBeginning: c.FromBeginning,
		capacity:      max(1, c.Capacity),
		jitter:        c.Jitter,
		cursor:        c.Cursor,
		held:          make(map[Cursor]heldEvent),
	}
	if l.jitter == nil {
		l.jitter = func(d time.Duration) time.Duration { return d }
	}
	return l
}

// Cursor is the position up to which updates were given out; the one to attach with.
func (l *Log) Cursor() Cursor { return l.cursor }

// Attached takes the server's answer to a cursor: LIVE or BEHIND. A refusal is for the caller to judge.
func (l *Log) Attached(now time.Time, state *chatv1.LogState) Effects {
	var out Effects
	l.attached = true
	at := Cursor{state.GetEpoch(), state.GetPts()}
	switch {
	case l.cursor.Epoch == 0:
		l.cursor = at
		if l.fromBeginning {
			l.cursor.PTS = 0
			l.must = at.PTS > 0
		}
		out.Started = l.cursor
		l.want = at.PTS
		l.wantHeld()
	case at.Epoch != l.cursor.Epoch:
		l.must = true
	case state.GetStatus() == chatv1.LogState_STATUS_BEHIND:
		l.must = true
		l.want = max(l.want, at.PTS)
	}
	l.settle(now, &out)
	return out
}

// Push takes an event that the server sent unasked.
func (l *Log) Push(now time.Time, e *chatv1.Event) Effects {
	at := Cursor{e.GetEpoch(), e.GetPts()}
	switch {
	case l.cursor.Epoch == 0: // overtook the answer to the attach request
		if !l.keep(at, e, now) {
			l.must = true
		}
	case at.Epoch != l.cursor.Epoch:
		l.keep(at, e, now)
		l.askOrAskAgain()
	case at.PTS > l.cursor.PTS:
		l.want = max(l.want, at.PTS)
		if !l.keep(at, e, now) {
			l.urgent = true
		}
	}
	var out Effects
	l.settle(now, &out)
	return out
}

// TooLong takes the server's word that it has not pushed all events up to a position.
func (l *Log) TooLong(now time.Time, t *chatv1.TooLong) Effects {
	if t.GetEpoch() == l.cursor.Epoch {
		l.want = max(l.want, t.GetPts())
		l.urgent = true
	} else {
		l.askOrAskAgain()
	}
	var out Effects
	l.settle(now, &out)
	return out
}

// Answer takes the answer to an Ask.
func (l *Log) Answer(now time.Time, d *chatv1.DifferenceResponse) Effects {
	var out Effects
	if !l.asking {
		return out
	}
	l.asking = false
	l.must, l.again = l.again, false
	before := l.cursor
	if d.GetKind() == chatv1.DifferenceResponse_KIND_TOO_LONG {
		l.replace(d, &out)
	} else {
		l.extend(d, &out)
	}
	if l.cursor != before {
		l.failures, l.notBefore = 0, time.Time{}
	} else if l.must || l.gap() {
		// The server has not got, or not given, what is missing: asking at once would only ask again.
		l.urgent = true
		l.pause(now, 0)
	}
	l.settle(now, &out)
	return out
}

// Failed takes the news that an Ask was not answered, or was answered by an error that passes. The next question comes
// after a growing pause, and not before retryAfter.
func (l *Log) Failed(now time.Time, retryAfter time.Duration) Effects {
	var out Effects
	if !l.asking {
		return out
	}
	l.asking, l.again, l.must = false, false, true
	l.pause(now, retryAfter)
	l.settle(now, &out)
	return out
}

// Lost takes the end of the connection, or of the attachment. Only the cursor and what is not handled yet outlive it: the
// next answer to an attach request tells the rest anew.
func (l *Log) Lost() {
	l.attached, l.asking, l.again, l.must, l.urgent = false, false, false, false, false
	l.want, l.failures, l.notBefore = 0, 0, time.Time{}
	clear(l.held)
}

// Handled takes the news that updates of the given weight were handled, which makes room.
func (l *Log) Handled(now time.Time, weight int) Effects {
	l.queued = max(0, l.queued-weight)
	var out Effects
	l.settle(now, &out)
	return out
}

// Tick takes the passing of time; see Due.
func (l *Log) Tick(now time.Time) Effects {
	var out Effects
	l.settle(now, &out)
	return out
}

// Due is when Tick wants to be called next; false if only another input can change anything.
func (l *Log) Due() (time.Time, bool) {
	if !l.mayAsk() {
		return time.Time{}, false
	}
	return l.askTime(), true
}

// replace carries out a "too long" answer.
func (l *Log) replace(d *chatv1.DifferenceResponse, out *Effects) {
	to := Cursor{d.GetCursor().GetEpoch(), d.GetCursor().GetPts()}
	if to.Epoch == 0 || to.Epoch == l.cursor.Epoch && to.PTS <= l.cursor.PTS {
		return // pushes were faster, or it is no answer at all: a cursor never moves back
	}
	changed := to.Epoch != l.cursor.Epoch
	l.cursor = to
	l.give(out, Update{Reset: &Reset{Info: d.GetInfo(), Events: d.GetEvents()}, Cursor: to})
	if changed {
		l.want, l.urgent = to.PTS, false
		l.wantHeld()
	}
}

// extend applies the events of a difference. A hole in the answer is not stepped over: what follows it is not applied, and
// the rest is asked for once more.
func (l *Log) extend(d *chatv1.DifferenceResponse, out *Effects) {
	to := Cursor{d.GetCursor().GetEpoch(), d.GetCursor().GetPts()}
	if to.Epoch != l.cursor.Epoch || d.GetKind() == chatv1.DifferenceResponse_KIND_UNSPECIFIED {
		l.must = true // no answer to what was asked
		return
	}
	for _, e := range d.GetEvents() {
		if e.GetEpoch() == l.cursor.Epoch && e.GetPts() == l.cursor.PTS+1 {
			l.give(out, Update{Event: e, Cursor: Cursor{e.GetEpoch(), e.GetPts()}})
		}
	}
	if to.PTS > l.cursor.PTS {
		l.want, l.urgent = max(l.want, to.PTS), true
	}
	if d.GetKind() == chatv1.DifferenceResponse_KIND_SLICE {
		l.must = true
	}
}

// settle gives out what has become possible and decides whether to ask.
func (l *Log) settle(now time.Time, out *Effects) {
	l.giveHeld(out)
	l.urgent = l.urgent && l.gap()
	if !l.mayAsk() || now.Before(l.askTime()) {
		return
	}
	l.asking, l.must, l.urgent, l.again = true, false, false, false
	out.Ask = &Ask{Cursor: l.cursor, Limit: l.capacity - l.queued}
}

// giveHeld gives out the held events that follow the cursor, as far as there is room, and forgets those behind it.
func (l *Log) giveHeld(out *Effects) {
	for l.cursor.Epoch != 0 && l.queued < l.capacity {
		next := Cursor{l.cursor.Epoch, l.cursor.PTS + 1}
		h, ok := l.held[next]
		if !ok {
			break
		}
		delete(l.held, next)
		l.give(out, Update{Event: h.event, Cursor: next})
	}
	for at := range l.held {
		switch {
		case at.Epoch == l.cursor.Epoch && at.PTS <= l.cursor.PTS:
			delete(l.held, at)
		case at.Epoch != l.cursor.Epoch && !l.asking && !l.must && l.cursor.Epoch != 0:
			delete(l.held, at) // an answer that came after it has not moved the cursor to its epoch
		}
	}
}

func (l *Log) give(out *Effects, u Update) {
	l.cursor = u.Cursor
	l.queued += u.Weight()
	out.Updates = append(out.Updates, u)
}

// keep holds an event, and says whether there was a place for it.
func (l *Log) keep(at Cursor, e *chatv1.Event, now time.Time) bool {
	if _, ok := l.held[at]; ok {
		return true
	}
	next := at.Epoch == l.cursor.Epoch && at.PTS == l.cursor.PTS+1
	if len(l.held) >= l.capacity && !next {
		return false
	}
	l.held[at] = heldEvent{e, now}
	return true
}

// wantHeld raises want to the newest held event of the cursor's epoch.
func (l *Log) wantHeld() {
	for at := range l.held {
		if at.Epoch == l.cursor.Epoch {
			l.want = max(l.want, at.PTS)
		}
	}
}

// askOrAskAgain asks for the difference; and if a question is under way, whose answer may be older, once more after it.
func (l *Log) askOrAskAgain() {
	if l.asking {
		l.again = true
	} else {
		l.must = true
	}
}

// gap: events are known to exist that the device lacks.
func (l *Log) gap() bool { return l.want > l.cursor.PTS }

// mayAsk: there is something to ask for, somebody to ask, and room for half a queue of answers (less would make many small
// questions of one).
func (l *Log) mayAsk() bool {
	return l.attached && !l.asking && l.queued <= l.capacity/2 && (l.must || l.gap())
}

// askTime is when to ask, given mayAsk.
func (l *Log) askTime() time.Time {
	if l.must || l.urgent {
		return l.notBefore
	}
	var oldest time.Time
	for at, h := range l.held {
		if at.Epoch == l.cursor.Epoch && (oldest.IsZero() || h.since.Before(oldest)) {
			oldest = h.since
		}
	}
	if oldest.IsZero() {
		return l.notBefore
	}
	if hold := oldest.Add(HoldTime); hold.After(l.notBefore) {
		return hold
	}
	return l.notBefore
}

// pause puts off the next question: 0.5, 1, 2, … 16 s after so many failures in a row, and at least atLeast.
func (l *Log) pause(now time.Time, atLeast time.Duration) {
	d := l.jitter(HoldTime << min(l.failures, 5))
	l.failures++
	l.notBefore = now.Add(max(d, atLeast))
}
