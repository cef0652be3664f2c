package swarm

import (
	"google.golang.org/protobuf/encoding/protowire"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// event is what the accounting needs of a chatv1.Event. Its slices point into the buffer that it was read from.
type event struct {
	log   []byte
	epoch uint32
	pts   uint64
	data  []byte // Message.data; nil for other content
}

// Fields of chat.proto that the fast path knows.
const (
	frameRef, frameEvent                           = 1, 16
	eventLog, eventEpoch, eventPts                 = 1, 2, 3
	eventTimeMs, eventSender, eventMessage         = 4, 5, 8
	messageText, messageData                       = 1, 2
	seenLog, seenEpoch, seenPts, seenMessage uint8 = 1, 2, 4, 8
)

// parseEvent reads a ServerFrame that holds an event with a message and nothing unusual, which is what nearly every frame
// is, without allocating. It returns false for all else, also for what is malformed: the generated code reads that.
// Where it returns true, the generated code would read the same; a fuzz test holds it to that.
func parseEvent(b []byte) (ev event, ok bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n > 0 && num == frameRef && typ == protowire.VarintType {
		// A pushed event has no ref, or a zero that was written out.
		ref, m := protowire.ConsumeVarint(b[n:])
		if m < 0 || uint32(ref) != 0 {
			return event{}, false
		}
		b = b[n+m:]
		num, typ, n = protowire.ConsumeTag(b)
	}
	if n < 0 || num != frameEvent || typ != protowire.BytesType {
		return event{}, false
	}
	body, m := protowire.ConsumeBytes(b[n:])
	if m < 0 || n+m != len(b) {
		return event{}, false
	}
	return parseEventBody(body)
}

func parseEventBody(b []byte) (ev event, ok bool) {
	var seen uint8
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return event{}, false
		}
		b = b[n:]
		var v uint64
		var s []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			s, n = protowire.ConsumeBytes(b)
		default:
			return event{}, false
		}
		if n < 0 {
			return event{}, false
		}
		b = b[n:]
		var field uint8
		switch {
		case num == eventPts && typ == protowire.VarintType:
			field, ev.pts = seenPts, v
		case num == eventEpoch && typ == protowire.VarintType:
			field, ev.epoch = seenEpoch, uint32(v)
		case num == eventLog && typ == protowire.BytesType:
			field, ev.log = seenLog, s
		case num == eventMessage && typ == protowire.BytesType:
			field = seenMessage
			if ev.data, ok = parseMessage(s); !ok {
				return event{}, false
			}
		case num == eventTimeMs && typ == protowire.VarintType, num == eventSender && typ == protowire.BytesType && ascii(s):
		default:
			return event{}, false
		}
		if seen&field != 0 { // twice: protobuf has rules for that, which are the generated code's business
			return event{}, false
		}
		seen |= field
	}
	return ev, seen == seenLog|seenEpoch|seenPts|seenMessage && ascii(ev.log)
}

func parseMessage(b []byte) (data []byte, ok bool) {
	data = b[:0]
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ != protowire.BytesType {
			return nil, false
		}
		s, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return nil, false
		}
		b = b[n+m:]
		switch {
		case num == messageData:
			data = s
		case num == messageText && ascii(s):
		default:
			return nil, false
		}
	}
	return data, true
}

// ascii holds for the ids and most texts of a run; other strings must be checked to be UTF-8, which the generated code does.
func ascii(s []byte) bool {
	for _, c := range s {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// eventOf is the same from the generated message. log is a scratch buffer for the id.
func eventOf(e *chatv1.Event, log []byte) event {
	ev := event{log: append(log[:0], e.GetLog()...), epoch: e.GetEpoch(), pts: e.GetPts()}
	if m := e.GetMessage(); m != nil {
		ev.data = m.GetData()
	}
	return ev
}
