package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A target brings posts to subscribers, in processes of its own.
type target interface {
	// start starts it, and says how subscribers come in.
	start(ctx context.Context) (door, error)
	// post has it bring posts to all subscribers, one right after the other. It returns once they are handed over, which may be before they
	// are delivered.
	post(ctx context.Context, texts []string) error
	// processes are those whose CPU time and memory count, by what they do; the first is the one that has the subscribers.
	processes() []process
	stop()
}

// process of a target.
type process struct {
	name string
	pid  int
}

// door is how a subscriber comes in. It is handed to the swarm as JSON.
type door struct {
	// Address is host:port.
	Address string
	// Path of the WebSocket handshake, and the sub-protocol; "" is none.
	Path, Protocol string
	// TLS is spoken, below everything else.
	TLS bool
	// Hellos are frames that a subscriber sends after the handshake: subscriber i the one at i modulo their number. Eight @ in it are put to the
	// subscriber's number.
	Hellos [][]byte
	// Welcome is what the answer to it holds once posts will be brought; empty: the handshake is enough.
	Welcome []byte
}

// marker of a post's text, before the number of the post in 16 hexadecimal digits. No target says it otherwise.
const (
	marker    = "post:"
	markerLen = len(marker) + 16
)

// text is a post of so many bytes.
func text(number uint64, size int) string {
	s := fmt.Sprintf("%s%016x:", marker, number)
	return s + strings.Repeat("x", max(0, size-len(s)))
}

// errNotHere: a target that this machine has not. It is left out.
var errNotHere = errors.New("it is not on this machine")

// kind of target, as the table has it.
type kind struct {
	name string
	// says what it is, below the table.
	says string
	// floor: what a machine can do at all. peer: what others have built. Else it is ours.
	floor, peer bool
	make        func(o options) (target, error)
}

// options of a run that targets need.
type options struct {
	chatd    string
	alone    string
	bun      string
	engine   string
	sessions int
	logs     int
}

// kinds are all targets, in the order of the table.
var kinds = []kind{
	{name: "bare-1", says: "write(2) of one frame to every socket, one thread", floor: true, make: own("bare-1")},
	{name: "bare-2", says: "the same, two threads", floor: true, make: own("bare-2")},
	{name: "bare-batch", says: "one thread, all frames that are pending in one write", floor: true, make: own("bare-batch")},
	{name: "chatd", says: "the program as it is shipped: three stores, one shard, posts over HTTP that are on two disks when they are acknowledged", make: newChatd},
	{name: "engine", says: "the event engine of chatd's shard alone: no stores, no sign-in, posts put on its log", make: newEngine},
	{name: "chatd-tls", says: "the same, and subscribers speak TLS 1.3", make: newChatdTLS},
	{name: "bun", says: "Bun's built-in publish, which is uWebSockets", peer: true, make: newBun},
	{name: "gws", says: "lxzan/gws, its Broadcaster", peer: true, make: own("gws")},
	{name: "hub", says: "a goroutine and a channel a connection over gorilla/websocket, prepared messages", peer: true, make: own("hub")},
	{name: "nats", says: "nats-server over its own WebSocket", peer: true, make: own("nats")},
	{name: "centrifuge", says: "the Centrifuge library as it comes", peer: true, make: own("centrifuge")},
	{name: "centrifuge-tuned", says: "the Centrifuge library, what is due within 5 ms in one frame, by a timer; shared buffers", peer: true, make: own("centrifuge-tuned")},
}
