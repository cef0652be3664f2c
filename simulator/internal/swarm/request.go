package swarm

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// appendRequest appends a frame in the session's sub-protocol.
func appendRequest(dst []byte, f *chatv1.ClientFrame, json bool) ([]byte, error) {
	var err error
	if json {
		dst, err = protojson.MarshalOptions{}.MarshalAppend(dst, f)
	} else {
		dst, err = proto.MarshalOptions{}.MarshalAppend(dst, f)
	}
	if err != nil {
		return dst, fmt.Errorf("encode request: %w", err)
	}
	return dst, nil
}

// parseFrame reads any frame from the server into f, in the session's sub-protocol.
func parseFrame(payload []byte, f *chatv1.ServerFrame, json bool) error {
	var err error
	if json {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(payload, f)
	} else {
		err = proto.Unmarshal(payload, f)
	}
	if err != nil {
		return errNotProto
	}
	return nil
}
