package main

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

// serveHTTP serves on a port of the loopback.
func serveHTTP(path string, h http.Handler) (door, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return door{}, err
	}
	mux := http.NewServeMux()
	mux.Handle(path, h)
	go func() { fatal(http.Serve(l, mux)) }()
	return door{Address: l.Addr().String(), Path: path}, nil
}

// hub is the hub of gorilla's examples: a goroutine that writes a connection and one that reads it, and a channel of frames between them and
// the hub. Frames are made once.
type hub struct {
	mu      sync.Mutex
	clients map[chan *websocket.PreparedMessage]struct{}
}

func (h *hub) listen() (door, error) {
	h.clients = map[chan *websocket.PreparedMessage]struct{}{}
	return serveHTTP("/", h)
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &pool}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	send := make(chan *websocket.PreparedMessage, 256)
	h.mu.Lock()
	h.clients[send] = struct{}{}
	h.mu.Unlock()
	go func() {
		defer func() { _ = conn.Close() }()
		for m := range send {
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if conn.WritePreparedMessage(m) != nil {
				return
			}
		}
	}()
	defer func() {
		h.mu.Lock()
		delete(h.clients, send)
		h.mu.Unlock()
		close(send)
	}()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

var pool sync.Pool

func (h *hub) post(texts []string) error {
	for _, t := range texts {
		m, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(t))
		if err != nil {
			return err
		}
		h.mu.Lock()
		for c := range h.clients {
			c <- m
		}
		h.mu.Unlock()
	}
	return nil
}

// gwsHub is gws with its broadcaster.
type gwsHub struct {
	gws.BuiltinEventHandler
	mu    sync.Mutex
	conns map[*gws.Conn]struct{}
}

func (h *gwsHub) listen() (door, error) {
	h.conns = map[*gws.Conn]struct{}{}
	up := gws.NewUpgrader(h, &gws.ServerOption{})
	return serveHTTP("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		go conn.ReadLoop()
	}))
}

func (h *gwsHub) OnOpen(conn *gws.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[conn] = struct{}{}
}

func (h *gwsHub) OnClose(conn *gws.Conn, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, conn)
}

func (h *gwsHub) post(texts []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range texts {
		b := gws.NewBroadcaster(gws.OpcodeText, []byte(t))
		for conn := range h.conns {
			_ = b.Broadcast(conn)
		}
		_ = b.Close()
	}
	return nil
}
