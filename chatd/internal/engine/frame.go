package engine

import (
	"fmt"
	"sync"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Encoding is how a session's messages are written.
type Encoding uint8

const (
	// Protobuf is protobuf in binary messages.
	Protobuf Encoding = iota
	// JSON is protobuf's JSON mapping in text messages.
	JSON
)

// Sub-protocols of the WebSocket handshake, one for each encoding.
const (
	SubprotocolProtobuf = "chatfleet.v1.proto"
	SubprotocolJSON     = "chatfleet.v1.json"
)

// EncodingOf is the encoding that a sub-protocol names.
func EncodingOf(subprotocol string) (Encoding, bool) {
	switch subprotocol {
	case SubprotocolProtobuf:
		return Protobuf, true
	case SubprotocolJSON:
		return JSON, true
	}
	return 0, false
}

func (e Encoding) String() string {
	if e == JSON {
		return "json"
	}
	return "protobuf"
}

// OpCode is the kind of WebSocket message that carries the encoding.
func (e Encoding) OpCode() ws.OpCode {
	if e == JSON {
		return ws.OpText
	}
	return ws.OpBinary
}

// Unmarshal reads a client's message. Fields that it does not know are passed over, so that a client may be newer than the server.
func (e Encoding) Unmarshal(payload []byte, m proto.Message) error {
	if e == JSON {
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(payload, m)
	}
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(payload, m)
}

// Encode makes the WebSocket frame of a message to one session.
func Encode(f *chatv1.ServerFrame, enc Encoding) ([]byte, error) {
	if enc == JSON {
		payload, err := protojson.Marshal(f)
		if err != nil {
			return nil, fmt.Errorf("encode a frame as JSON: %w", err)
		}
		head := header(ws.OpText, len(payload))
		return append(head, payload...), nil
	}
	data := header(ws.OpBinary, proto.Size(f))
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(data, f)
	if err != nil {
		return nil, fmt.Errorf("encode a frame: %w", err)
	}
	return data, nil
}

// header is the header of a whole, unmasked message of size bytes, in a slice with room for these.
func header(op ws.OpCode, size int) []byte {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(size)}
	w := appender{make([]byte, 0, ws.HeaderSize(h)+size)}
	// The only errors of WriteHeader are a negative length and the writer's own.
	_ = ws.WriteHeader(&w, h)
	return w.data
}

type appender struct{ data []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.data = append(a.data, p...)
	return len(p), nil
}

// Frame is one event as it goes to every session: encoded once, immutable, with nothing in it that is particular to a session.
type Frame struct {
	pts    uint64
	binary []byte
	header int

	jsonOnce sync.Once
	text     []byte

	watch *Watch

	// held is set once, before the frame is on a ring. What follows belongs to held.mu: the ring that holds it, its neighbours in age, and
	// the bytes that it counts for.
	held         *Held
	ring         *Ring
	older, newer *Frame
	cost         int64
}

// NewFrame encodes an event.
func NewFrame(event *chatv1.Event) (*Frame, error) {
	return newFrame(event.GetPts(), &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: event}})
}

func newTooLong(log string, epoch uint32, pts uint64) *Frame {
	f, err := newFrame(pts, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{
		TooLong: &chatv1.TooLong{Log: log, Epoch: epoch, Pts: pts}}})
	if err != nil {
		// A log's id is [a-z0-9]{1,32} by contract: there is nothing in this frame that could fail to encode.
		panic(err)
	}
	return f
}

func newFrame(pts uint64, sf *chatv1.ServerFrame) (*Frame, error) {
	data, err := Encode(sf, Protobuf)
	if err != nil {
		return nil, err
	}
	return &Frame{pts: pts, binary: data, header: len(data) - proto.Size(sf)}, nil
}

// Pts is the event's position.
func (f *Frame) Pts() uint64 { return f.pts }

// Size is the frame's length in bytes, as protobuf.
func (f *Frame) Size() int { return len(f.binary) }

// Bytes is the WebSocket frame, to be written as it is. The JSON one is made when first asked for.
func (f *Frame) Bytes(enc Encoding) []byte {
	if enc == Protobuf {
		return f.binary
	}
	f.jsonOnce.Do(func() {
		sf, err := f.decode()
		if err == nil {
			f.text, err = Encode(sf, JSON)
		}
		if err != nil {
			// What protobuf has just encoded it decodes, and all its strings are UTF-8: JSON cannot refuse it.
			panic(fmt.Sprintf("engine: a frame that was encoded cannot be decoded: %v", err))
		}
		if f.held != nil {
			f.held.grew(f, len(f.text))
		}
	})
	return f.text
}

// Event decodes the event. Each call makes a new one.
func (f *Frame) Event() (*chatv1.Event, error) {
	sf, err := f.decode()
	if err != nil {
		return nil, err
	}
	return sf.GetEvent(), nil
}

func (f *Frame) decode() (*chatv1.ServerFrame, error) {
	var sf chatv1.ServerFrame
	if err := proto.Unmarshal(f.binary[f.header:], &sf); err != nil {
		return nil, fmt.Errorf("decode a frame: %w", err)
	}
	return &sf, nil
}
