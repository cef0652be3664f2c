package history

import (
	"fmt"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// List is what a log holds.
type List struct {
	Log   string
	Epoch uint32
	// The position of Posts[0].
	First uint64
	// The post at each position, up to the head; stamp.NoPost for what is no post of the run.
	Posts []uint32
	// The log was read to its head.
	Complete bool
}

// Head is the position of the newest event.
func (l List) Head() uint64 { return l.First + uint64(len(l.Posts)) - 1 }

// At returns the post at a position; false if the list does not reach there.
func (l List) At(pts uint64) (uint32, bool) {
	if pts < l.First || pts > l.Head() {
		return 0, false
	}
	return l.Posts[pts-l.First], true
}

// reading is a list that is being read.
type reading struct {
	List
	run  uint64
	turn int
	// Why it cannot be read on.
	broken error
}

// take takes an answer to "what comes after the head?" and says whether there is more. It believes nothing: positions must be
// without holes, of this log and epoch, and the answer's cursor must be that of its last event.
func (l *reading) take(answer *chatv1.DifferenceResponse) (more bool, err error) {
	kind, events, cursor := answer.GetKind(), answer.GetEvents(), answer.GetCursor()
	switch kind {
	case chatv1.DifferenceResponse_KIND_TOO_LONG:
		return false, fmt.Errorf("the fleet says that it is too long to be read from here, or keeps events for too short a time (it is in epoch %d, at position %d; we in epoch %d)",
			cursor.GetEpoch(), cursor.GetPts(), l.Epoch)
	case chatv1.DifferenceResponse_KIND_EMPTY:
		if len(events) > 0 {
			return false, fmt.Errorf("an empty answer with %d events", len(events))
		}
	case chatv1.DifferenceResponse_KIND_SLICE, chatv1.DifferenceResponse_KIND_FINAL:
		if len(events) == 0 {
			return false, fmt.Errorf("a %s answer without events", kind)
		}
	default:
		return false, fmt.Errorf("an answer of the unknown kind %s", kind)
	}
	for _, e := range events {
		if want := l.Head() + 1; e.GetPts() != want || e.GetLog() != l.Log || e.GetEpoch() != l.Epoch {
			return false, fmt.Errorf("the answer has position %d of log %s in epoch %d where position %d of log %s in epoch %d belongs",
				e.GetPts(), e.GetLog(), e.GetEpoch(), want, l.Log, l.Epoch)
		}
		l.Posts = append(l.Posts, postOf(e, l.run))
	}
	if cursor.GetPts() != l.Head() || cursor.GetEpoch() != l.Epoch {
		return false, fmt.Errorf("the answer's cursor is (%d, %d), its events end at (%d, %d)", cursor.GetEpoch(), cursor.GetPts(), l.Epoch, l.Head())
	}
	return kind == chatv1.DifferenceResponse_KIND_SLICE, nil
}

func postOf(e *chatv1.Event, run uint64) uint32 {
	if e.GetMessage() == nil {
		return stamp.NoPost
	}
	return stamp.PostOf(e.GetMessage().GetData(), run)
}
