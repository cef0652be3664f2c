package gateway

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// A handshake that fails after the connection has left the HTTP server's hands ends the connection: nobody else would, and a
// stranger could fill the shard with such.
func TestFailedHandshakeEndsTheConnection(t *testing.T) {
	srv, _ := open(t, nil)
	host := strings.TrimPrefix(srv.URL, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", SessionPath, host, engine.SubprotocolProtobuf)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("the connection stays open: %v, after %q", err, answer)
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.1 505") {
		t.Errorf("answered %q, want 505", answer)
	}
}
