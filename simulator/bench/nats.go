package main

import (
	"errors"
	"fmt"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsServer is a nats-server whose subscribers come over its own WebSocket, and whose posts come from a client in the same process.
type natsServer struct {
	conn *nats.Conn
}

func (n *natsServer) listen() (door, error) {
	s, err := natsd.NewServer(&natsd.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, PingInterval: time.Hour,
		Websocket: natsd.WebsocketOpts{Host: "127.0.0.1", Port: -1, NoTLS: true},
	})
	if err != nil {
		return door{}, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return door{}, errors.New("nats-server is not ready after 10 s")
	}
	if n.conn, err = nats.Connect("", nats.InProcessServer(s)); err != nil {
		return door{}, err
	}
	address, err := websocketAddress(s)
	return door{
		Address: address, Path: "/",
		Hellos:  [][]byte{clientFrame([]byte("CONNECT {\"verbose\":false,\"protocol\":1}\r\nSUB bench 1\r\nPING\r\n"))},
		Welcome: []byte("PONG\r\n"),
	}, err
}

// websocketAddress is where a server takes WebSocket clients, which it says nowhere but in what it tells its monitors.
func websocketAddress(s *natsd.Server) (string, error) {
	v, err := s.Varz(nil)
	if err != nil {
		return "", err
	}
	if v.Websocket.Port <= 0 {
		return "", errors.New("nats-server does not say where it takes WebSocket clients")
	}
	return fmt.Sprintf("127.0.0.1:%d", v.Websocket.Port), nil
}

func (n *natsServer) post(texts []string) error {
	for _, t := range texts {
		if err := n.conn.Publish("bench", []byte(t)); err != nil {
			return err
		}
	}
	return n.conn.FlushTimeout(time.Minute)
}
