package main

import (
	"context"
	"time"

	"github.com/centrifugal/centrifuge"
)

// centrifugeNode is the Centrifuge library, of one node without history. Its subscribers speak its JSON protocol.
type centrifugeNode struct {
	node *centrifuge.Node
	// tuned as its documentation says for many subscribers: what is due within some milliseconds goes in one frame, by a timer and not by a goroutine
	// that waits, and buffers are shared.
	tuned bool
}

func (c *centrifugeNode) listen() (door, error) {
	var err error
	if c.node, err = centrifuge.New(centrifuge.Config{}); err != nil {
		return door{}, err
	}
	c.node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		reply := centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}, PingPongConfig: &centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1}}
		if c.tuned {
			reply.WriteDelay, reply.WriteWithTimer, reply.MaxMessagesInFrame, reply.ReplyWithoutQueue = 5*time.Millisecond, true, -1, true
		}
		return reply, nil
	})
	c.node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := c.node.Run(); err != nil {
		return door{}, err
	}
	cfg := centrifuge.WebsocketConfig{}
	if c.tuned {
		cfg.UseWriteBufferPool, cfg.ReadBufferSize = true, 512
	}
	d, err := serveHTTP("/", centrifuge.NewWebsocketHandler(c.node, cfg))
	d.Hellos = [][]byte{clientFrame([]byte(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"bench"}}`))}
	d.Welcome = []byte(`"id":2`)
	return d, err
}

func (c *centrifugeNode) post(texts []string) error {
	for _, t := range texts {
		if _, err := c.node.Publish("bench", []byte(`{"text":"`+t+`"}`)); err != nil {
			return err
		}
	}
	return nil
}
