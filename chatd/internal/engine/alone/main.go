//go:build linux

// Command alone is the event engine of a shard with nothing around it, for the side-by-side bench: whoever shakes hands has the one log attached, nobody
// signs in, and there are no stores. What chatd costs beyond it is what a chat service costs beyond its fan-out.
//
// It prints where subscribers come in, as simulator/bench has it. Then each line of its standard input is posts, a JSON array of texts, which it answers
// with "posted" once they are on the log; it ends when that ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/epoll"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const logID = "alone"

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "alone:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(50) // as a shard has it
	e, err := epoll.New(engine.Config{FirstMessageWithin: time.Hour, IdleAfter: time.Hour})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &server{engine: e, log: e.OpenLog(logID, 1, 0)}
	failed := make(chan error, 1)
	go func() { failed <- http.Serve(l, s) }()

	say := json.NewEncoder(out)
	if err := say.Encode(map[string]string{"Address": l.Addr().String(), "Path": "/", "Protocol": engine.SubprotocolProtobuf}); err != nil {
		return err
	}
	lines := json.NewDecoder(bufio.NewReader(in))
	for {
		var texts []string
		if err := lines.Decode(&texts); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, stopped(failed))
		}
		if err := s.post(texts); err != nil {
			return err
		}
		if err := say.Encode("posted"); err != nil {
			return err
		}
	}
}

// stopped is why the server has stopped, if it has.
func stopped(failed chan error) error {
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// server is the engine's door.
type server struct {
	engine engine.Engine
	log    engine.Fanout
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == engine.SubprotocolProtobuf }}
	conn, buffered, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		return // the upgrader has answered
	}
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	session, err := s.engine.Adopt(conn, early, engine.Protobuf, silent{s.log})
	if err == nil {
		s.log.Attach(session, engine.Newest)
	}
}

// post puts posts on the log, as the events that a shard would make of them.
func (s *server) post(texts []string) error {
	for _, text := range texts {
		frame, err := engine.NewFrame(&chatv1.Event{
			Log: logID, Epoch: 1, Pts: s.log.Head() + 1, Sender: "author", TimeMs: time.Now().UnixMilli(),
			Content: &chatv1.Event_Message{Message: &chatv1.Message{Text: text}},
		})
		if err != nil {
			return err
		}
		s.log.Append(frame)
	}
	return nil
}

// silent takes no notice of what subscribers say.
type silent struct{ log engine.Fanout }

func (silent) Message(engine.Session, []byte) {}

func (h silent) Closed(session engine.Session, _ error) { h.log.Detach(session) }
