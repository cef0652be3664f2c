package owner

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// entry is a log that the term knows: its state, once loaded, and what has happened to it since the checkpoint.
type entry struct {
	log string
	// state holds also what is not yet acknowledged; nil until loaded.
	state *chatlog.State
	// settledPts and settledSeq are of the newest acknowledged event.
	settledPts, settledSeq uint64
	// revision of the log's snapshot in the state stream, 0 if it has none.
	revision uint64
	// dirty: it has events that its snapshot lacks. saving: a snapshot is on its way.
	dirty, saving bool
	// used since the last sweep.
	used bool

	loading bool
	// inBackground: nobody waited when the loading began.
	inBackground bool
	// remembered ids of posts count in term.remembered.
	remembered int
	// looking: the log is being read back, for the requests in late; reachMs is how far back that can reach.
	looking bool
	late    []request
	reachMs int64
	// inherited events are in the tail that the term took over, and not yet in state.
	inherited []stored
	parked    []func(*entry)

	// claim is that under which the tallies of a channel were read; kept are those that are known to be kept for good. counting:
	// they are being read again.
	claim    uint64
	kept     chatlog.Tallies
	counting bool
}

func (e *entry) info() *chatv1.LogInfo {
	info := e.state.Info()
	info.Pts = e.settledPts
	return info
}

func (t *term) entry(log string) *entry {
	e := t.logs[log]
	if e == nil {
		e = &entry{log: log}
		t.logs[log] = e
	}
	return e
}

// touch notes that a log has moved.
func (t *term) touch(e *entry) {
	e.dirty, e.used = true, true
	t.weigh(e)
}

// weigh counts the ids of posts that a log's state remembers.
func (t *term) weigh(e *entry) {
	n := 0
	if e.state != nil {
		n = e.state.Remembered()
	}
	t.remembered += n - e.remembered
	e.remembered = n
}

// inherit takes an event of the tail.
func (t *term) inherit(s stored) {
	t.clock.notBefore(s.event.TimeMs)
	e := t.entry(s.event.Log)
	if len(e.inherited) == 0 {
		t.inherited = append(t.inherited, e)
	}
	e.inherited = append(e.inherited, s)
	e.dirty = true
	t.recent.add(s.seq, s.data)
	t.tailLen++
	t.cp.events++
	t.cp.bytes += len(s.data)
}

// loadInherited loads the logs of the tail without waiting to be asked, since a checkpoint needs them all: some at a time, so that what is
// asked for does not wait behind them.
func (t *term) loadInherited() {
	for len(t.inherited) > 0 && t.background < max(t.cfg.Readers/4, 1) {
		last := len(t.inherited) - 1
		e := t.inherited[last]
		t.inherited = t.inherited[:last]
		if e.state == nil && !e.loading {
			e.inBackground = true
			t.background++
			t.load(e)
		}
	}
}

// withState calls use with the log's entry once its state is loaded: at once, or later on this goroutine.
func (t *term) withState(log string, use func(*entry)) {
	e := t.entry(log)
	if e.state != nil {
		e.used = true
		use(e)
		return
	}
	if len(e.parked) >= maxWaiting {
		t.cfg.Metrics.dropped.Inc()
		return
	}
	e.parked = append(e.parked, use)
	t.load(e)
}

// read runs a reader of the streams on a goroutine of its own, at most Readers at once, and then calls what it returns on the
// term's goroutine.
func (t *term) read(reader func() func()) {
	t.reads++
	go func() {
		select {
		case t.readers <- struct{}{}:
		case <-t.ctx.Done():
			return
		}
		found := reader()
		<-t.readers
		select {
		case t.later <- found:
		case <-t.ctx.Done():
		}
	}()
}

// awaitReaders returns when no reader reads any more.
func (t *term) awaitReaders() {
	for range cap(t.readers) {
		t.readers <- struct{}{}
	}
}

func (t *term) load(e *entry) {
	if e.loading || e.state != nil {
		return
	}
	e.loading = true
	base, revision, claim := t.cp.base, t.cp.revision, t.cp.claimed
	t.read(func() func() {
		snapshot, err := t.readState(e.log, base, revision)
		return func() { t.loaded(e, claim, snapshot, err) }
	})
}

// readState reads a log's snapshot from a replica that has the checkpoint: as far as that speaks of events, and the very one.
func (t *term) readState(log string, base, revision uint64) (Revision, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		snapshot, checkpoint, err := t.cfg.Journal.State(t.ctx, log)
		cp := new(wire.Checkpoint)
		switch {
		case t.ctx.Err() != nil:
			return snapshot, t.ctx.Err()
		case err != nil:
			t.cfg.Logger.Debug("reading a snapshot; trying again", "log", log, "err", err)
		case proto.Unmarshal(checkpoint.Data, cp) != nil:
			return snapshot, errors.New("the checkpoint is damaged")
		case cp.Seq >= base && checkpoint.Number >= revision:
			return snapshot, nil
		}
		sleep(t.ctx, pause)
	}
}

func (t *term) loaded(e *entry, claim uint64, snapshot Revision, err error) {
	t.cfg.Metrics.loads.Inc()
	if e.inBackground {
		e.inBackground = false
		t.background--
		t.loadInherited()
	}
	if err != nil {
		t.err = wrap(err, "loading the state of log %s", e.log)
		return
	}
	state := &chatlog.State{ID: e.log}
	if snapshot.Data != nil {
		w := new(wire.LogState)
		if err := proto.Unmarshal(snapshot.Data, w); err != nil {
			t.err = wrap(err, "the snapshot of log %s is damaged", e.log)
			return
		}
		state = chatlog.Restore(w)
	}
	state.Limits = t.cfg.Limits
	for _, s := range e.inherited {
		if s.event.Pts <= state.Pts {
			continue // the snapshot is newer than the checkpoint
		}
		content, err := chatlog.Content(s.event)
		if err == nil && s.event.Pts != state.Pts+1 {
			err = fmt.Errorf("position %d follows %d", s.event.Pts, state.Pts)
		}
		if err != nil {
			t.err = wrap(err, "folding the event of log %s at sequence %d", e.log, s.seq)
			return
		}
		state.Apply(s.event, content, s.seq)
	}
	e.state, e.loading, e.inherited, e.revision = state, false, nil, snapshot.Number
	e.settledPts, e.settledSeq, e.used = state.Pts, state.LastSeq, true
	t.weigh(e)
	t.keep(e, claim, snapshot.Number, state.Tallies())
	parked := e.parked
	e.parked = nil
	for _, use := range parked {
		if t.err == nil {
			use(e)
		}
	}
}

// evict drops the states of logs that have not been used for a while, if there are too many. What has events that its snapshot
// lacks stays.
func (t *term) evict() {
	over := len(t.logs) - t.cfg.MaxStates
	if over <= 0 {
		return
	}
	for log, e := range t.logs {
		switch {
		case over <= 0:
			return
		case e.dirty || e.saving || e.counting || e.looking || e.loading || e.state == nil || e.settledPts != e.state.Pts:
		case e.used:
			e.used = false
		default:
			t.remembered -= e.remembered
			delete(t.logs, log)
			over--
		}
	}
}

// forget drops the older ids of posts, of one log after the other, once all logs together remember too many. A repeat of a post whose id
// is forgotten is looked for in the stream.
func (t *term) forget() {
	for keep := t.cfg.MaxRemembered; t.remembered > t.cfg.MaxRemembered && keep > 0; {
		keep /= 4
		for _, e := range t.logs {
			if t.remembered <= t.cfg.MaxRemembered*3/4 {
				return
			}
			if e.remembered > keep {
				e.state.Forget(keep, e.settledPts)
				t.weigh(e)
			}
		}
	}
}
