package owner

import (
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// maxHeads is how many logs one request may ask for.
	maxHeads = 1000
	// maxLookBack is how many events are read to find out whether a late command is a repeat.
	maxLookBack = 5000
	// lookBackMargin is how much further back than the command's first try they are read.
	lookBackMargin = 30 * time.Second
)

// heads answers with the newest acknowledged positions of logs, once all are loaded.
func (t *term) heads(r request, h *wire.Heads) {
	logs := h.GetLogs()
	if len(logs) > maxHeads {
		t.reply(r, &wire.OwnerReply{Error: &chatv1.Error{Code: chatv1.Error_CODE_TOO_MANY, Message: "more than 1,000 logs in one request for heads"}})
		return
	}
	reply := &wire.OwnerReply{Heads: make([]*wire.Head, len(logs))}
	missing := len(logs)
	if missing == 0 {
		t.reply(r, reply)
	}
	for i, log := range logs {
		t.withState(log, func(e *entry) {
			reply.Heads[i] = &wire.Head{Log: log, Pts: e.settledPts}
			if missing--; missing == 0 {
				t.reply(r, reply)
			}
		})
	}
}

// fetch answers with events of a log: from memory at once, or by a reader.
func (t *term) fetch(r request, e *entry, f *wire.Fetch) {
	reply := &wire.OwnerReply{Pts: e.settledPts, MayRead: e.state.MayRead(r.User)}
	if !e.state.Exists() {
		reply.Error = &chatv1.Error{Code: chatv1.Error_CODE_NOT_FOUND, Message: "there is no log " + e.log}
		t.reply(r, reply)
		return
	}
	reply.Info = e.info()
	if f.GetWithBanned() {
		reply.Banned = e.state.Banned()
	}
	walk := t.plan(e, f)
	if !reply.MayRead || walk.from > walk.to {
		t.reply(r, reply)
		return
	}
	if walk.run(t.recentOr) == nil {
		reply.Events, reply.Gone = walk.events, walk.gone
		t.reply(r, reply)
		return
	}
	t.fetchFromStream(r, f, walk)
}

// fetchKey names what several requests for the same events have in common: shards that wait ask again, and shards that are
// started at once ask for the same. The log's newest position is no part of it, or each event would make another read of what is
// asked again.
type fetchKey struct {
	log    string
	after  uint64
	newest bool
	limit  uint32
	banned bool
	before uint64
}

// fetchFromStream reads what is not in memory, once for all that wait for it.
func (t *term) fetchFromStream(r request, f *wire.Fetch, w *walk) {
	key := fetchKey{f.GetLog(), f.GetAfterPts(), f.GetNewest(), f.GetLimit(), f.GetWithBanned(), f.GetBeforePts()}
	if waiting, ok := t.fetching[key]; ok {
		if len(waiting) >= maxWaiting {
			waiting = waiting[1:]
		}
		t.fetching[key] = append(waiting, r)
		return
	}
	if t.reads >= maxReads {
		t.cfg.Metrics.dropped.Inc()
		return // the shard asks again
	}
	t.fetching[key] = []request{r}
	if key.before > 0 {
		t.withState(key.log, func(e *entry) { t.readHistory(key, e, f, 1) })
		return
	}
	t.read(func() func() {
		w.reset()
		from := t.reader()
		err := w.run(from.get)
		return func() {
			waiting := t.fetching[key]
			delete(t.fetching, key)
			t.withState(key.log, func(e *entry) { t.fetched(waiting, e, f, from, err) })
		}
	})
}

// fetched answers all that wait for a read, with what the log is now: events that came during the read are in memory. A shard that
// asked meanwhile may not have heard them.
func (t *term) fetched(waiting []request, e *entry, f *wire.Fetch, from *reader, err error) {
	reply := &wire.OwnerReply{Pts: e.settledPts, MayRead: true, Info: e.info()}
	if f.GetWithBanned() {
		reply.Banned = e.state.Banned()
	}
	w := t.plan(e, f)
	switch {
	case err != nil:
		t.cfg.Logger.Warn("fetch failed", "log", e.log, "after", f.GetAfterPts(), "newest", f.GetNewest(), "err", err)
		reply.Error = &chatv1.Error{Code: chatv1.Error_CODE_UNAVAILABLE, Message: "the log cannot be read just now", RetryAfterMs: 250}
	case w.run(from.remember) != nil:
		// So much has come that some of it has left the memory. The shards ask again.
		t.cfg.Metrics.dropped.Add(float64(len(waiting)))
		return
	}
	reply.Events, reply.Gone = w.events, w.gone
	for _, r := range waiting {
		if e.state.MayRead(r.User) {
			t.reply(r, reply)
		} else {
			t.reply(r, &wire.OwnerReply{Pts: e.settledPts, Info: e.info()})
		}
	}
}

// plan says which positions a fetch is answered with.
func (t *term) plan(e *entry, f *wire.Fetch) *walk {
	limit := uint64(t.cfg.MaxFetchEvents)
	if n := uint64(f.GetLimit()); n < limit {
		limit = n
	}
	w := &walk{seq: e.settledSeq, from: f.GetAfterPts() + 1, to: e.settledPts, maxBytes: t.cfg.MaxFetchBytes, forward: !f.GetNewest()}
	if limit == 0 {
		w.to = 0
		return w
	}
	if before := f.GetBeforePts(); before > 0 && before <= w.to {
		w.to = before - 1
		if seq := t.anchors.above(e.log, w.to, e.settledPts); seq != 0 {
			w.seq = seq
		}
	}
	if f.GetNewest() {
		if w.to > limit {
			w.from = max(w.from, w.to-limit+1)
		}
	} else {
		w.to = min(w.to, f.GetAfterPts()+limit)
	}
	return w
}

// blockEvents are read from the stream at once where a log's events stand close together.
const blockEvents = 256

// reader reads the events of one walk, from memory, else from the stream: one by one while they stand far apart, and by blocks where
// they do not. It runs on a goroutine of its own.
type reader struct {
	t *term
	// read are the events that were read, by sequence; block is what was read last, of all logs.
	read, block map[uint64][]byte
	before      uint64 // the sequence before
}

func (t *term) reader() *reader {
	return &reader{t: t, read: map[uint64][]byte{}, block: map[uint64][]byte{}}
}

// remember finds an event that is in memory or was read, else it says ErrNotFound.
func (r *reader) remember(seq uint64) ([]byte, error) {
	if data, ok := r.read[seq]; ok {
		return data, nil
	}
	return r.t.recentOr(seq)
}

// get finds or reads an event. A walk asks for lower and lower sequences.
func (r *reader) get(seq uint64) ([]byte, error) {
	near := r.before > seq && r.before-seq <= blockEvents/8
	r.before = seq
	if data, err := r.remember(seq); err == nil || errors.Is(err, errGone) {
		return data, err
	}
	data, ok := r.block[seq]
	if !ok {
		r.t.cfg.Metrics.reads.Inc()
		if near {
			clear(r.block)
			from := max(seq, blockEvents) - blockEvents + 1
			if err := r.t.cfg.Journal.Range(r.t.ctx, from, int(seq-from)+1, func(seq uint64, data []byte) { r.block[seq] = data }); err == nil {
				data, ok = r.block[seq]
			}
		}
	}
	if !ok {
		var err error
		if data, err = r.t.at(seq); err != nil {
			return nil, err
		}
	}
	r.read[seq] = data
	return data, nil
}

// at reads one event, and again if the replica is behind; errGone if retention has taken it.
func (t *term) at(seq uint64) ([]byte, error) {
	for tries := 0; ; tries++ {
		data, err := t.cfg.Journal.At(t.ctx, seq)
		if errors.Is(err, ErrNotFound) && (tries == 0 || tries == 3) {
			if _, err := t.learnFloor(t.ctx); err == nil && t.gone(seq) {
				return nil, errGone
			}
		}
		if err == nil || tries == 3 || t.ctx.Err() != nil {
			return data, err
		}
		sleep(t.ctx, 10*time.Millisecond<<tries)
	}
}

// walk collects a log's events at positions from..to by following the pointers back from the event at seq.
type walk struct {
	seq      uint64
	from, to uint64
	// maxBytes bounds the answer: of a forward walk the oldest stay, else the newest.
	maxBytes int
	forward  bool
	// sinceMs, if not 0, ends the walk at the first event that is older.
	sinceMs int64

	events [][]byte // ascending
	parsed []*wire.StoredEvent
	// gone: what it has asked for before the first of these was taken by retention.
	gone bool
}

var errBroken = errors.New("the log's chain of events is broken")

func (w *walk) reset() { w.events, w.parsed, w.gone = nil, nil, false }

func (w *walk) run(get func(seq uint64) ([]byte, error)) error {
	size := 0
	for seq, last := w.seq, uint64(0); seq != 0; {
		data, err := get(seq)
		if errors.Is(err, errGone) {
			w.gone = true // and with it all that is before
			break
		}
		if err != nil {
			return err
		}
		e := new(wire.StoredEvent)
		if err := proto.Unmarshal(data, e); err != nil {
			return err
		}
		if last != 0 && e.Pts >= last {
			return errBroken
		}
		last = e.Pts
		if e.Pts < w.from || e.TimeMs < w.sinceMs {
			break
		}
		// The newest multiple below e; while that is at or above the range, the events between are passed over.
		if skipTo := (e.Pts - 1) / chatlog.SkipEvery * chatlog.SkipEvery; e.Pts > w.to && skipTo >= w.to && e.SkipSeq != 0 {
			seq = e.SkipSeq
			continue
		}
		if e.Pts <= w.to {
			if size += len(data); size > w.maxBytes && !w.forward && len(w.events) > 0 {
				break
			}
			w.events, w.parsed = append(w.events, data), append(w.parsed, e)
		}
		seq = e.PrevSeq
	}
	slices.Reverse(w.events)
	slices.Reverse(w.parsed)
	w.gone = w.gone && (len(w.parsed) == 0 || w.parsed[0].Pts > w.from)
	if len(w.parsed) > 0 && w.sinceMs == 0 && w.forward && w.parsed[0].Pts != w.from && !w.gone {
		return errBroken
	}
	w.cut()
	return nil
}

// cut keeps, of a forward walk, the oldest events that fit.
func (w *walk) cut() {
	if !w.forward {
		return
	}
	size := 0
	for i, data := range w.events {
		if size += len(data); size > w.maxBytes && i > 0 {
			w.events, w.parsed = w.events[:i], w.parsed[:i]
			return
		}
	}
}

// lookBack reads a log back to a time, once for all requests that may be repeats of forgotten ones, and decides them again.
func (t *term) lookBack(r request, e *entry, sinceMs int64) {
	switch {
	case sinceMs < e.reachMs:
		t.reply(r, &wire.OwnerReply{Error: &chatv1.Error{Code: chatv1.Error_CODE_TOO_OLD,
			Message: "the log has moved too far since first_sent_ms to tell whether this is a repeat; look for the message before posting it anew"}})
		return
	case len(e.late) >= maxWaiting:
		t.cfg.Metrics.dropped.Inc()
		return
	}
	e.late = append(e.late, r)
	if e.looking {
		return
	}
	e.looking = true
	// Somewhat further than asked: where one is late, others are.
	upTo := e.settledPts
	w := &walk{seq: e.settledSeq, from: 1, to: upTo, sinceMs: sinceMs - lookBackMargin.Milliseconds(), maxBytes: 64 << 20}
	if e.settledPts > maxLookBack {
		w.from = e.settledPts - maxLookBack + 1
	}
	t.read(func() func() {
		err := w.run(t.reader().get)
		return func() { t.lookedBack(e, w, upTo, err) }
	})
}

func (t *term) lookedBack(e *entry, w *walk, upTo uint64, err error) {
	late := e.late
	e.looking, e.late = false, nil
	if err != nil {
		// The shards ask again.
		t.cfg.Logger.Warn("reading a log back failed", "log", e.log, "err", err)
		return
	}
	if w.from > 1 && len(w.parsed) > 0 && w.parsed[0].Pts == w.from {
		e.reachMs = max(e.reachMs, w.parsed[0].TimeMs)
		w.sinceMs = e.reachMs
	}
	if w.gone {
		// What was accepted before the first event that is there cannot be known any more.
		e.reachMs = t.clock.lastMs() + 1
		if len(w.parsed) > 0 {
			e.reachMs = w.parsed[0].TimeMs + 1
		}
		w.sinceMs = max(w.sinceMs, e.reachMs)
	}
	e.state.Recall(w.parsed, w.sinceMs, upTo)
	t.weigh(e)
	for _, r := range late {
		if t.err == nil {
			t.command(r, e)
		}
	}
}
