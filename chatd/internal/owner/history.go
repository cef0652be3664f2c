package owner

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Pages of a log's history, from a position backwards. A log's chain of events begins at its newest one, and a skip passes over 64 of
// them; so a page a million events deep is some thousand reads away. Who pages backwards asks for page after page, and from ever
// deeper: so the owner remembers places on the way, and the next page begins where the one before ended.

const (
	// anchorEvery is how far apart the remembered places of a log are. A multiple of chatlog.SkipEvery, or no skip leads there.
	anchorEvery = 1024
	// maxAnchors of all logs together: two or three megabytes.
	maxAnchors = 1 << 14
	// anchorsTried of a log, when a place above a position is looked for.
	anchorsTried = 4096
	// maxHops is how many events one turn of a walk down to a page reads, and holds a reader for; then others have their turn.
	maxHops = 4096
	// maxTurns of a walk that nobody need be waiting for any more. Who still waits asks again, and it goes on from the last anchor.
	maxTurns = 16
)

// errTooFar says that a walk has read as much as it may in one turn.
var errTooFar = errors.New("the page is further back than one turn reads")

// place is a position in a log.
type place struct {
	log string
	pts uint64
}

// anchors are the sequences of events at some places, the newest maxAnchors of them. They are true for good: an event does not move.
type anchors struct {
	seqs  map[place]uint64
	order []place // oldest first
}

func (a *anchors) put(log string, pts, seq uint64) {
	at := place{log, pts}
	if _, known := a.seqs[at]; known || pts == 0 || seq == 0 {
		return
	}
	if a.seqs == nil {
		a.seqs = make(map[place]uint64)
	}
	if len(a.order) >= maxAnchors {
		delete(a.seqs, a.order[0])
		a.order = a.order[1:]
	}
	a.seqs[at] = seq
	a.order = append(a.order, at)
}

// above is the sequence of the event at pts, or of the nearest one above it that is remembered; 0 if there is none below head.
func (a *anchors) above(log string, pts, head uint64) uint64 {
	if seq, ok := a.seqs[place{log, pts}]; ok {
		return seq
	}
	at := (pts + anchorEvery - 1) / anchorEvery * anchorEvery
	for range anchorsTried {
		if at >= head {
			break
		}
		if seq, ok := a.seqs[place{log, at}]; ok {
			return seq
		}
		at += anchorEvery
	}
	return 0
}

// readHistory walks down to a page, a turn at a time, and answers all that wait for it.
func (t *term) readHistory(key fetchKey, e *entry, f *wire.Fetch, turn int) {
	w := t.plan(e, f)
	t.read(func() func() {
		p := &pager{reader: t.reader(), hops: maxHops, passed: map[uint64]uint64{}}
		err := w.run(p.get)
		return func() {
			for pts, seq := range p.passed {
				t.anchors.put(key.log, pts, seq)
			}
			if errors.Is(err, errTooFar) && turn < maxTurns {
				t.withState(key.log, func(e *entry) { t.readHistory(key, e, f, turn+1) })
				return
			}
			if len(w.parsed) > 0 {
				first := w.parsed[0]
				t.anchors.put(key.log, first.GetPts()-1, first.GetPrevSeq())
			}
			waiting := t.fetching[key]
			delete(t.fetching, key)
			t.withState(key.log, func(e *entry) { t.answerHistory(waiting, e, f, w, err) })
		}
	})
}

// answerHistory answers with a page. What is old does not change; whether one may read it does.
func (t *term) answerHistory(waiting []request, e *entry, f *wire.Fetch, w *walk, err error) {
	switch {
	case errors.Is(err, errTooFar):
		t.cfg.Metrics.dropped.Add(float64(len(waiting)))
		return
	case err != nil:
		t.cfg.Logger.Warn("reading history failed", "log", e.log, "before", f.GetBeforePts(), "err", err)
	}
	for _, r := range waiting {
		reply := &wire.OwnerReply{Pts: e.settledPts, MayRead: e.state.MayRead(r.User), Info: e.info()}
		if f.GetWithBanned() {
			reply.Banned = e.state.Banned()
		}
		switch {
		case err != nil:
			reply.Error = &chatv1.Error{Code: chatv1.Error_CODE_UNAVAILABLE, Message: "the log cannot be read just now", RetryAfterMs: 250}
		case reply.MayRead:
			reply.Events, reply.Gone = w.events, w.gone
		}
		t.reply(r, reply)
	}
}

// pager reads the events of a walk down to a page, and notes where it has come by. It keeps none of what it passes over, which may be
// large.
type pager struct {
	reader *reader
	hops   int
	passed map[uint64]uint64 // sequences by position
}

func (p *pager) get(seq uint64) ([]byte, error) {
	if p.hops == 0 {
		return nil, errTooFar
	}
	p.hops--
	data, err := p.reader.get(seq)
	clear(p.reader.read)
	if err != nil {
		return nil, err
	}
	e := new(wire.StoredEvent)
	if err := proto.Unmarshal(data, e); err != nil {
		return nil, err
	}
	if e.GetPts()%anchorEvery == 0 {
		p.passed[e.GetPts()] = seq
	}
	return data, nil
}
