package shard

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// decode makes the event that readers see of a stored one. The epoch is not stored with it and is set by whoever knows it.
func decode(stored []byte) (*chatv1.Event, error) {
	var s wire.StoredEvent
	if err := proto.Unmarshal(stored, &s); err != nil {
		return nil, fmt.Errorf("read a stored event: %w", err)
	}
	if s.GetContent().GetKeyEpoch() != 0 {
		return nil, fmt.Errorf("event %d of log %s is sealed under key epoch %d, which this shard cannot open", s.GetPts(), s.GetLog(), s.GetContent().GetKeyEpoch())
	}
	event := new(chatv1.Event)
	if err := proto.Unmarshal(s.GetContent().GetBody(), event); err != nil {
		return nil, fmt.Errorf("read the content of event %d of log %s: %w", s.GetPts(), s.GetLog(), err)
	}
	event.Log, event.Pts, event.TimeMs, event.Sender = s.GetLog(), s.GetPts(), s.GetTimeMs(), s.GetSender()
	return event, nil
}

// decodeAll makes the events of a fetch's reply: of one log, one after the other without a hole.
func decodeAll(log string, reply *wire.OwnerReply) ([]*chatv1.Event, error) {
	events := make([]*chatv1.Event, len(reply.GetEvents()))
	for i, stored := range reply.GetEvents() {
		event, err := decode(stored)
		if err != nil {
			return nil, err
		}
		if event.GetLog() != log || (i > 0 && event.GetPts() != events[i-1].GetPts()+1) || event.GetPts() > reply.GetPts() {
			return nil, fmt.Errorf("the owner's answer about log %s (newest %d) has event %d of log %s at place %d", log, reply.GetPts(), event.GetPts(), event.GetLog(), i)
		}
		event.Epoch = reply.GetEpoch()
		events[i] = event
	}
	return events, nil
}
