package owner

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// traceField is the number of StoredEvent.trace.
const traceField = 100

// traced is what is pushed of an event that the stream has acknowledged: what is stored, and if its post is being traced, the mark of the
// span of its append, which ends here. The mark is no part of what is stored: protobuf reads two messages in a row as one.
func (t *term) traced(p pending) []byte {
	if !t.cfg.Trace.On() || len(p.waiting) == 0 {
		return p.data
	}
	span := t.cfg.Trace.Follow(p.waiting[0].GetTrace(), "append", p.event.Log, p.sent)
	if span == nil {
		return p.data
	}
	now := time.Now()
	span.Set("partition", t.cfg.Partition)
	span.Set("pts", int(p.event.Pts))
	span.End(now)
	mark := span.Mark(now)
	data := make([]byte, 0, len(p.data)+len(mark)+4)
	data = protowire.AppendTag(append(data, p.data...), traceField, protowire.BytesType)
	return protowire.AppendBytes(data, mark)
}
