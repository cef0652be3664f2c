package owner

import "fmt"

// unfenced reports whether an append of the owner before this one may still have come, or may come, behind the tail that this term began
// with. The first event that this term has in the stream rules that out: an append names the sequence that it follows.
func (t *term) unfenced() bool { return t.settledSeq <= t.inheritedSeq }

// confirm calls do once the stream's leader has said, after this call, that it holds nothing that this term does not know. What an unfenced
// term refuses goes out only then: a log that was created a moment ago must not be said not to be there. If there is more, the term ends
// and the shard asks its successor.
func (t *term) confirm(do func()) {
	if len(t.unconfirmed) >= maxWaiting {
		t.cfg.Metrics.dropped.Inc()
		return
	}
	t.unconfirmed = append(t.unconfirmed, do)
	t.confirmOn()
}

func (t *term) confirmOn() {
	switch {
	case t.confirming || len(t.unconfirmed) == 0:
		return
	case !t.unfenced():
		t.confirmed(t.unconfirmed)
		t.unconfirmed = nil
		return
	case len(t.pending) > 0:
		return // the stream's answer to those will tell
	}
	waiting, known := t.unconfirmed, t.lastSeq
	t.unconfirmed, t.confirming = nil, true
	t.read(func() func() {
		last, err := t.cfg.Journal.Last(t.ctx)
		return func() {
			t.confirming = false
			switch {
			case err != nil || last < known: // nobody leads the stream, or who led it before; the shards ask again
				t.cfg.Logger.Debug("asking for the last sequence", "partition", t.cfg.Partition, "last", last, "known", known, "err", err)
				t.cfg.Metrics.dropped.Add(float64(len(waiting)))
			case last == known || !t.unfenced():
				t.confirmed(waiting)
			case t.lastSeq != known: // this term has appended meanwhile
				t.unconfirmed = append(waiting, t.unconfirmed...)
			default:
				t.err = fmt.Errorf("the stream has events up to sequence %d, and this term knows those up to %d", last, known)
				return
			}
			t.confirmOn()
		}
	})
}

func (t *term) confirmed(waiting []func()) {
	for _, do := range waiting {
		do()
	}
}
