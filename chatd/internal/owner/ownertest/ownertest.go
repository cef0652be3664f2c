// Package ownertest reads a partition's stream as a checker that trusts nobody: it shares no code with the owner and has the
// rule of the chain written out anew. Tests of the owner, over a stream in memory, and of the bus, over real ones, use it.
package ownertest

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// Stream is what a partition's stream of events amounts to.
type Stream struct {
	// Logs are the events that count, in order, by log.
	Logs map[string][]*wire.StoredEvent
	// Voids is the number of messages that are part of no log.
	Voids int
	// Terms is the number of terms that have written.
	Terms int
}

// Read takes all messages of a stream, from its first. It fails if a log's positions have holes or a post stands twice.
func Read(messages [][]byte) (*Stream, error) {
	s := &Stream{Logs: map[string][]*wire.StoredEvent{}}
	ids := map[string]uint64{}
	var before *wire.StoredEvent
	beforeCounts := true
	for i, data := range messages {
		e := new(wire.StoredEvent)
		if err := proto.Unmarshal(data, e); err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		var counts bool
		if e.FirstOfTerm {
			s.Terms++
			counts = e.PrevTerm == before.GetTerm()
		} else {
			counts = before != nil && beforeCounts && e.Term == before.Term
		}
		before, beforeCounts = e, counts
		if !counts {
			s.Voids++
			continue
		}
		if want := uint64(len(s.Logs[e.Log]) + 1); e.Pts != want {
			return nil, fmt.Errorf("log %s: message %d holds position %d, want %d", e.Log, i+1, e.Pts, want)
		}
		s.Logs[e.Log] = append(s.Logs[e.Log], e)
		if e.ContentSum == 0 {
			continue // not a post
		}
		id := fmt.Sprintf("%s/%s/%d", e.Log, e.Sender, e.RandomId)
		if first, ok := ids[id]; ok {
			return nil, fmt.Errorf("post %s stands at position %d and at %d", id, first, e.Pts)
		}
		ids[id] = e.Pts
	}
	return s, nil
}

// At is the post at a position of a log, by its random id; 0 if there is none.
func (s *Stream) At(log string, pts uint64) (randomID uint64) {
	if events := s.Logs[log]; pts >= 1 && pts <= uint64(len(events)) {
		return events[pts-1].RandomId
	}
	return 0
}
