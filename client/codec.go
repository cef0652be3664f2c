package client

import (
	"fmt"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// codec is one of the two sub-protocols.
type codec struct {
	subprotocol string
	kind        websocket.MessageType
	marshal     func(proto.Message) ([]byte, error)
	unmarshal   func([]byte, proto.Message) error
}

func codecOf(e Encoding) codec {
	if e == JSON {
		// Unknown fields are those of a newer server.
		unmarshal := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal
		return codec{"chatfleet.v1.json", websocket.MessageText, protojson.Marshal, unmarshal}
	}
	return codec{"chatfleet.v1.proto", websocket.MessageBinary, proto.Marshal, proto.Unmarshal}
}

func (c codec) decode(kind websocket.MessageType, data []byte) (*chatv1.ServerFrame, error) {
	if kind != c.kind {
		return nil, fmt.Errorf("the server sent a %s message in sub-protocol %s", kind, c.subprotocol)
	}
	var frame chatv1.ServerFrame
	if err := c.unmarshal(data, &frame); err != nil {
		return nil, fmt.Errorf("decode a frame of the server: %w", err)
	}
	return &frame, nil
}
