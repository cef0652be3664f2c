//go:build linux

package main

import (
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Who shakes hands has what is posted afterwards, and the program ends with its input.
func TestAlone(t *testing.T) {
	in, posts := io.Pipe()
	answers, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(in, out) }()

	hear := json.NewDecoder(answers)
	var door struct{ Address, Path, Protocol string }
	if err := hear.Decode(&door); err != nil {
		t.Fatal(err)
	}
	dialer := ws.Dialer{Protocols: []string{door.Protocol}}
	conn, _, _, err := dialer.Dial(context.Background(), "ws://"+door.Address+door.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}

	// The answer to the handshake goes out before the log is attached: what is posted at once may be too early for it.
	for attempt := 0; ; attempt++ {
		if _, err := io.WriteString(posts, `["one", "two"]`+"\n"); err != nil {
			t.Fatal(err)
		}
		var posted string
		if err := hear.Decode(&posted); err != nil || posted != "posted" {
			t.Fatal(posted, err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		data, err := wsutil.ReadServerBinary(conn)
		if err != nil && attempt < 20 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var frame chatv1.ServerFrame
		if err := proto.Unmarshal(data, &frame); err != nil || frame.GetEvent().GetMessage().GetText() != "one" || frame.GetEvent().GetLog() != logID {
			t.Fatalf("got %v, %v", &frame, err)
		}
		break
	}

	if err := posts.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
