package gateway

import (
	"bytes"
	"errors"
	"strings"

	"github.com/gobwas/ws"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
)

// A session begins with a handshake that nearly always is as plain as can be, and in a rush an HTTP server, with a goroutine and its buffers for each connection,
// is most of what a sign-in costs. So an engine that can wait for first words itself does, and shows them here. What is a plain handshake, and one that is to be
// agreed to, is agreed to at once. Everything else goes to the HTTP server, with all that the client has said: it has the words for who is refused.

// plainRequest is what a handshake begins with.
const plainRequest = "GET " + SessionPath + " HTTP/1.1\r\n"

// plainBytes a handshake may be long.
const plainBytes = 4 << 10

// opening is a connection that has not said yet what it wants. It implements engine.Opening.
type opening struct {
	*visitor
	released func(fd int, v *visitor, said []byte, late bool)
}

// Heard implements engine.Opening.
func (o *opening) Heard(said []byte) engine.Opened {
	other := engine.Opened{Next: engine.Release}
	if n := min(len(said), len(plainRequest)); string(said[:n]) != plainRequest[:n] || o.proxy != nil {
		return other
	}
	size := bytes.Index(said, []byte("\r\n\r\n")) + 4
	switch {
	case size < 4 && len(said) <= plainBytes:
		return engine.Opened{}
	case size < 4 || size > plainBytes:
		return other
	}
	cfg := &o.admission.cfg
	h, ok := readHandshake(said[:size])
	if !ok || !cfg.mayConnect(h.origin, h.host) || cfg.Shard.Accepting() != nil || o.mayShake() != nil {
		return other
	}
	o.mark(heard)
	return engine.Opened{Next: engine.Begin, Answer: h.answer, Used: size, Encoding: h.encoding, Handler: cfg.Shard.Begin(o.visitor)}
}

// Released implements engine.Opening.
func (o *opening) Released(fd int, said []byte, late bool) { o.released(fd, o.visitor, said, late) }

// handshake is what a plain one says, and the answer to it.
type handshake struct {
	host, origin string
	encoding     engine.Encoding
	answer       []byte
}

// once are the headers of a plain handshake that say something. None may come twice.
var once = []string{"host", "origin", "upgrade", "connection", "sec-websocket-version", "sec-websocket-key", "sec-websocket-protocol"}

// never are headers by which a request is not a plain handshake: it would have a body, or come from somewhere else, or want more than that.
var never = []string{"content-length", "transfer-encoding", "trailer", "te", "expect", "x-forwarded-for"}

// readHandshake reads a whole request head that begins with plainRequest; false if it is no plain handshake that can be agreed to.
func readHandshake(head []byte) (h handshake, ok bool) {
	var seen [7]string
	lines := strings.TrimSuffix(string(head[len(plainRequest):]), "\r\n") // the empty one, after which the head is over
	for line := range strings.Lines(lines) {
		name, value, ok := plainHeader(strings.TrimSuffix(line, "\r\n"))
		if !ok || among(never, name) >= 0 {
			return h, false
		}
		if i := among(once, name); i >= 0 {
			if seen[i] != "" || value == "" {
				return h, false
			}
			seen[i] = value
		}
	}
	h.host, h.origin = seen[0], seen[1]
	if h.encoding, ok = offered(seen[6:7]); !ok || !isKey(seen[5]) {
		return h, false
	}
	upgrader := ws.Upgrader{ReadBufferSize: plainBytes, Protocol: func(p []byte) bool { e, ok := engine.EncodingOf(string(p)); return ok && e == h.encoding }}
	talk := talk{head, nil}
	if _, err := upgrader.Upgrade(&talk); err != nil {
		return h, false
	}
	h.answer = talk.answer
	return h, true
}

// plainHeader takes a header's line apart; false if there is anything about it that could be read in another way.
func plainHeader(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	if !ok || name == "" {
		return "", "", false
	}
	for i := range len(name) {
		if c := name[i]; !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return "", "", false
		}
	}
	value = strings.Trim(value, " ")
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' {
			return "", "", false
		}
	}
	return name, value, true
}

// among is where a header's name is in a list; -1 if it is not.
func among(names []string, name string) int {
	for i, n := range names {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

// talk has the upgrader read a head, and keeps its answer.
type talk struct{ head, answer []byte }

func (t *talk) Read(p []byte) (int, error) {
	if len(t.head) == 0 {
		return 0, errNoMore
	}
	n := copy(p, t.head)
	t.head = t.head[n:]
	return n, nil
}

func (t *talk) Write(p []byte) (int, error) {
	t.answer = append(t.answer, p...)
	return len(p), nil
}

var errNoMore = errors.New("the handshake is over")
