package doctor

import (
	"io"
	"net"
	"sync"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

const trialLog = "trial"

// host is the least that a swarm takes for a shard: sessions sign in, follow one log from its beginning, and are sent its events.
type host struct {
	listener net.Listener
	tasks    sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	pts   uint64
}

func newHost() (*host, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &host{listener: listener}
	h.tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			h.tasks.Go(func() { h.serve(conn) })
		}
	})
	return h, nil
}

// serve signs a session in and takes what it says, until it goes.
func (h *host) serve(conn net.Conn) {
	defer conn.Close()
	upgrader := ws.Upgrader{Protocol: func(name []byte) bool { return string(name) == "chatfleet.v1.proto" }}
	if _, err := upgrader.Upgrade(conn); err != nil {
		return
	}
	var request chatv1.ClientFrame
	header, err := ws.ReadHeader(conn)
	if err != nil || header.Length > 1<<16 {
		return
	}
	payload := make([]byte, header.Length)
	if _, err := io.ReadFull(conn, payload); err != nil {
		return
	}
	if ws.Cipher(payload, header.Mask, 0); proto.Unmarshal(payload, &request) != nil {
		return
	}
	answer := frame(&chatv1.ServerFrame{Ref: request.GetRef(), Body: &chatv1.ServerFrame_SignedIn{SignedIn: &chatv1.SignInResponse{
		Logs: []*chatv1.LogState{{Log: trialLog, Epoch: 1, Status: chatv1.LogState_STATUS_LIVE}},
	}}})
	h.mu.Lock()
	_, err = conn.Write(answer)
	h.conns = append(h.conns, conn)
	h.mu.Unlock()
	if err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// broadcast sends a post to all sessions, each by a write of its own, as a shard does.
func (h *host) broadcast(post uint32) error {
	data, err := stamp.Stamp{Run: trialRun, Post: post, IntendedNs: stamp.Now()}.Append(nil, 200)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pts++
	event := frame(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: &chatv1.Event{
		Log: trialLog, Epoch: 1, Pts: h.pts, Sender: "trial", Content: &chatv1.Event_Message{Message: &chatv1.Message{Data: data}},
	}}})
	for _, conn := range h.conns {
		if _, err := conn.Write(event); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) close() {
	h.listener.Close()
	h.mu.Lock()
	for _, conn := range h.conns {
		conn.Close()
	}
	h.mu.Unlock()
	h.tasks.Wait()
}

func frame(f *chatv1.ServerFrame) []byte {
	payload, err := proto.Marshal(f)
	if err != nil {
		panic(err) // our own frame
	}
	return ws.MustCompileFrame(ws.NewFrame(ws.OpBinary, true, payload))
}
