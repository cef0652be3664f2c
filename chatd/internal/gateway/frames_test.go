package gateway_test

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

func frames() section {
	// header is a frame's first two bytes, a length of eight bytes, and a mask.
	huge := func(first byte, length uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length), 1, 2, 3, 4)
	}
	unmasked := []byte{fin | text, 2, '{', '}'}
	protocol, size := engine.CloseProtocol, engine.CloseTooBig
	return section{"WebSocket frames", "Breaches of RFC 6455, and of the sub-protocol. They end the session.", []refusal{
		{name: "A frame without a mask", at: inJSON, send: bytesOf(unmasked), want: want{close: protocol, says: "mask"}},
		{name: "A reserved bit (as compression sets it)", at: inJSON, send: bytesOf(frame(fin|0x40|text, []byte("{}"))), want: want{close: protocol, says: "rsv"}},
		{name: "Another reserved bit", at: inBinary, send: bytesOf(frame(fin|0x10|bin, nil)), want: want{close: protocol, says: "rsv"}},
		{name: "A compression bomb (deflated, though it was not agreed on)", at: inBinary,
			send: bytesOf(frame(fin|0x40|bin, bytes.Repeat([]byte{0xff, 0x00}, 30<<10))), want: want{close: protocol, says: "rsv"}},
		{name: "A reserved kind of data frame", at: inJSON, send: bytesOf(frame(fin|0x3, []byte("{}"))), want: want{close: protocol, says: "reserved op code"}},
		{name: "A reserved kind of control frame", at: inJSON, send: bytesOf(frame(fin|0xb, nil)), want: want{close: protocol, says: "reserved op code"}},
		{name: "A ping in two fragments", at: inJSON, send: bytesOf(frame(pinged, []byte("a")), frame(fin, []byte("b"))), want: want{close: protocol, says: "control frame"}},
		{name: "A ping of 126 bytes", at: inJSON, send: bytesOf(frame(fin|pinged, make([]byte, 126))), want: want{close: protocol, says: "control frame"}},
		{name: "A close frame of 64 KiB", at: inJSON, send: bytesOf(frame(fin|closed, make([]byte, 64<<10))), want: want{close: protocol, says: "control frame"}},
		{name: "A close frame of one byte", at: inJSON, send: bytesOf(frame(fin|closed, []byte{3})), want: want{close: protocol, says: "one byte"}},
		{name: "A close code that is not for use", at: inJSON, send: bytesOf(frame(fin|closed, []byte{3, 0xed})), want: want{close: protocol, says: "1005"}},
		{name: "A close reason that is not UTF-8", at: inJSON, send: bytesOf(frame(fin|closed, []byte("\x03\xe8\xff\xfe"))), want: want{close: protocol, says: "UTF-8"}},
		{name: "The end of a message that has not begun", at: inJSON, send: bytesOf(frame(fin, []byte("{}"))), want: want{close: protocol, says: "continuation"}},
		{name: "A new message in the middle of another", at: inJSON, send: bytesOf(frame(text, []byte("{")), textFrame("{}")), want: want{close: protocol, says: "continuation"}},
		{name: "Pings between the fragments of a message", at: inJSON, want: want{fine: true},
			send: bytesOf(frame(text, []byte(`{"ref":2,`)), frame(fin|pinged, []byte("x")), frame(0, []byte(`"ping":`)), frame(fin|pinged, nil), frame(fin, []byte(`{}}`)))},
		{name: "Ten thousand pings", at: inBinary, send: bytesOf(bytes.Repeat(frame(fin|pinged, []byte("flood")), 10_000)), want: want{fine: true}},
		{name: "Ten thousand empty fragments in one message", at: inJSON, want: want{fine: true},
			send: bytesOf(frame(text, []byte(`{"ref":2,"ping":{}}`)), bytes.Repeat(frame(0, nil), 10_000), frame(fin, nil))},
		{name: "Text on the binary sub-protocol", at: inBinary, send: textOf(`{"ref":2,"ping":{}}`), want: want{close: engine.CloseWrongType, says: "binary messages only"}},
		{name: "Binary on the JSON sub-protocol", at: inJSON, send: bytesOf(binaryFrame("\x08\x02")), want: want{close: engine.CloseWrongType, says: "text messages only"}},
		{name: "Text that is not UTF-8", at: inJSON, send: textOf("{\"ref\":2,\"ping\":{\"nonce\":\"\xc3\x28\"}}"), want: want{close: engine.CloseNotUTF8, says: "UTF-8"}},
		{name: "A letter cut in two by the end of a message", at: inJSON, send: bytesOf(frame(text, []byte("{\"\xe2\x82")), frame(fin, nil)), want: want{close: engine.CloseNotUTF8, says: "UTF-8"}},
		{name: "A message of a byte more than may be", at: inJSON, send: textOf(strings.Repeat(" ", 128<<10+1)), want: want{close: size, says: "131072"}},
		{name: "The promise of a gigabyte", at: inBinary, send: bytesOf(huge(fin|bin, 1<<30)), want: want{close: size, says: "131072"}},
		{name: "The promise of 2⁶³ bytes", at: inBinary, send: bytesOf(huge(fin|bin, 1<<63)), want: want{close: protocol}},
		{name: "Fragments that together are too large", at: inBinary, want: want{close: size, says: "131072"},
			send: bytesOf(frame(bin, make([]byte, 60<<10)), frame(0, make([]byte, 60<<10)), frame(fin, make([]byte, 60<<10)))},
		{name: "The end of the connection in mid-frame", at: inJSON, send: bytesOf(textFrame(`{"ref":2,"ping":{}}`)[:9]), hangUp: true, want: want{cut: true}},
	}}
}
