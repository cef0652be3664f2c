package gateway

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// sessions shakes hands with WebSocket clients.
type sessions struct{ Config }

func (s *sessions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		refuse(w, http.StatusUpgradeRequired, invalid("a WebSocket client connects here"))
		return
	}
	if status, wrong := malformed(r.Header); wrong != "" {
		w.Header().Set("Sec-WebSocket-Version", "13")
		refuse(w, status, invalid(wrong))
		return
	}
	enc, ok := offered(r.Header.Values("Sec-WebSocket-Protocol"))
	if !ok {
		refuse(w, http.StatusBadRequest, invalid("offer the sub-protocol "+engine.SubprotocolProtobuf+" or "+engine.SubprotocolJSON))
		return
	}
	if !s.mayConnect(r.Header.Get("Origin"), r.Host) {
		refuse(w, http.StatusForbidden, &chatv1.Error{Code: chatv1.Error_CODE_DENIED,
			Message: "pages of " + r.Header.Get("Origin") + " may not connect here; --allow-origin lets them"})
		return
	}
	if failed := s.Shard.Accepting(); failed != nil {
		visitorOf(r).Excuse()
		refuse(w, http.StatusServiceUnavailable, failed)
		return
	}
	if failed := visitorOf(r).mayShake(); failed != nil {
		refuse(w, http.StatusTooManyRequests, failed)
		return
	}
	upgrader := ws.HTTPUpgrader{
		Timeout:  5 * time.Second,
		Protocol: func(p string) bool { e, ok := engine.EncodingOf(p); return ok && e == enc },
	}
	conn, buffered, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.Logger.Debug("handshake failed", "remote", r.RemoteAddr, "err", err)
		// The upgrader has answered, but the connection that it has taken over is ours to close.
		if conn != nil {
			conn.Close()
		}
		return
	}
	var early []byte
	if n := buffered.Reader.Buffered(); n > 0 {
		peeked, _ := buffered.Peek(n) // cannot fail: n bytes are there
		early = slices.Clone(peeked)
	}
	if tcp, ok := conn.(*admittedTCP); ok {
		early = append(early, tcp.said...)
	}
	// The server's deadlines were for the request; the engine sets its own.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return
	}
	if err := s.Shard.Connect(admittedTLS(conn, visitorOf(r)), early, enc); err != nil {
		s.Logger.Debug("connection not taken", "remote", r.RemoteAddr, "err", err)
	}
}

// malformed says what is wrong with a handshake, in words that say more than the upgrader's.
func malformed(h http.Header) (status int, wrong string) {
	if !hasToken(h.Values("Connection"), "upgrade") {
		return http.StatusBadRequest, "the handshake lacks the header Connection: Upgrade; a proxy in between may have dropped it"
	}
	if h.Get("Sec-WebSocket-Version") != "13" {
		return http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13"
	}
	if !isKey(h.Get("Sec-WebSocket-Key")) {
		return http.StatusBadRequest, "Sec-WebSocket-Key must be 16 random bytes in base64"
	}
	return 0, ""
}

func isKey(s string) bool {
	key, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(key) == 16
}

func hasToken(headers []string, token string) bool {
	for _, header := range headers {
		for t := range strings.SplitSeq(header, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// offered is the first sub-protocol that the client offers and the server speaks.
func offered(headers []string) (engine.Encoding, bool) {
	for _, header := range headers {
		for p := range strings.SplitSeq(header, ",") {
			if enc, ok := engine.EncodingOf(strings.TrimSpace(p)); ok {
				return enc, true
			}
		}
	}
	return 0, false
}

// mayConnect keeps foreign web pages from using a visitor's network position. A client that is no browser sends no Origin.
func (c *Config) mayConnect(origin, host string) bool {
	if origin == "" || slices.Contains(c.AllowedOrigins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host)
}

func invalid(message string) *chatv1.Error {
	return &chatv1.Error{Code: chatv1.Error_CODE_INVALID, Message: message}
}
