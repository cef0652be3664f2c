package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// plain is the head of a handshake as libraries write it, after the request's line.
var plain = []string{
	"Host: chat.example.com", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: " + engine.SubprotocolProtobuf,
}

func headOf(lines ...string) string { return plainRequest + strings.Join(lines, "\r\n") + "\r\n\r\n" }

// but is the plain head with one line in place of the one that begins in the same way, or one more.
func but(line string) []string {
	name, _, _ := strings.Cut(line, ":")
	lines := slices.Clone(plain)
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.EqualFold(l[:strings.IndexByte(l, ':')], name) }); i >= 0 {
		lines[i] = line
		return lines
	}
	return append(lines, line)
}

func without(name string) []string {
	return slices.DeleteFunc(slices.Clone(plain), func(l string) bool { return strings.HasPrefix(l, name+":") })
}

// Handshakes as libraries and browsers write them are agreed to at once; what is anything else, or could be read in two ways, is the HTTP server's.
func TestPlainHandshakes(t *testing.T) {
	for _, test := range []struct {
		name string
		head string
		want bool
		enc  engine.Encoding
	}{
		{"as plain as can be", headOf(plain...), true, engine.Protobuf},
		{"in JSON", headOf(but("Sec-WebSocket-Protocol: " + engine.SubprotocolJSON)...), true, engine.JSON},
		{"the first of several sub-protocols that is known", headOf(but("Sec-WebSocket-Protocol: chat, " + engine.SubprotocolJSON + ", " + engine.SubprotocolProtobuf)...), true, engine.JSON},
		{"as Firefox writes it", headOf(but("Connection: keep-alive, Upgrade")...), true, engine.Protobuf},
		{"with extensions, which are passed over", headOf(but("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")...), true, engine.Protobuf},
		{"with other headers", headOf(append(slices.Clone(plain), "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Cookie: a=b; c=d", "Pragma: no-cache", "Accept-Language: de,en;q=0.5")...), true, engine.Protobuf},
		{"in other letters", headOf("host: chat.example.com", "upgrade: WebSocket", "connection: upgrade", "sec-websocket-version: 13",
			"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol: "+engine.SubprotocolProtobuf), true, engine.Protobuf},

		{"without a header", plainRequest + "\r\n", false, 0},
		{"without a host", headOf(without("Host")...), false, 0},
		{"without an upgrade", headOf(without("Upgrade")...), false, 0},
		{"without a key", headOf(without("Sec-WebSocket-Key")...), false, 0},
		{"without a sub-protocol", headOf(without("Sec-WebSocket-Protocol")...), false, 0},
		{"a sub-protocol that nobody knows", headOf(but("Sec-WebSocket-Protocol: chat")...), false, 0},
		{"a key of other bytes", headOf(but("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==")...), false, 0},
		{"a short key", headOf(but("Sec-WebSocket-Key: dGhl")...), false, 0},
		{"another version", headOf(but("Sec-WebSocket-Version: 8")...), false, 0},
		{"two hosts", headOf(append(slices.Clone(plain), "Host: other.example.com")...), false, 0},
		{"two keys", headOf(append(slices.Clone(plain), "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")...), false, 0},
		{"with a body", headOf(append(slices.Clone(plain), "Content-Length: 5")...), false, 0},
		{"with a body in chunks", headOf(append(slices.Clone(plain), "transfer-encoding: chunked")...), false, 0},
		{"from somewhere else", headOf(append(slices.Clone(plain), "X-Forwarded-For: 192.0.2.1")...), false, 0},
		{"a folded line", headOf(append(slices.Clone(plain), " folded")...), false, 0},
		{"a bare line feed", headOf(append(slices.Clone(plain), "A: b\nContent-Length: 5")...), false, 0},
		{"a space before the colon", headOf(append(slices.Clone(plain), "Content-Length : 5")...), false, 0},
		{"no colon", headOf(append(slices.Clone(plain), "word")...), false, 0},
		{"a control character", headOf(append(slices.Clone(plain), "A: \x00")...), false, 0},
	} {
		h, ok := readHandshake([]byte(test.head))
		if ok != test.want || ok && h.encoding != test.enc {
			t.Errorf("%s: plain: %v, in %v", test.name, ok, h.encoding)
		}
		if ok && h.host != "chat.example.com" {
			t.Errorf("%s: the host is %q", test.name, h.host)
		}
	}
}

// What is shown before it is whole waits, as long as it may become a plain handshake.
func TestOpeningsInPieces(t *testing.T) {
	shard := &door{}
	a := newAdmission(Config{Shard: shard, AllowedOrigins: []string{"https://app.example.com"}}.withDefaults())
	open := func() *opening {
		v, refusal := a.enter(from("192.0.2.1"))
		if v == nil {
			t.Fatal(refusal)
		}
		t.Cleanup(v.leave)
		return &opening{v, nil}
	}
	whole := headOf(plain...)
	for n := range len(whole) {
		if got := open().Heard([]byte(whole[:n])); got.Next != engine.Wait {
			t.Fatalf("after %q: %v", whole[:n], got.Next)
		}
	}
	for said, want := range map[string]engine.Next{
		whole:                                    engine.Begin,
		whole + "\x81\x80":                       engine.Begin,
		"P":                                      engine.Release,
		"GET /v1/sessions":                       engine.Release,
		"GET /v1/session HTTP/1.0\r\n":           engine.Release,
		plainRequest + strings.Repeat("a", 5000): engine.Release,
		headOf(but("Origin: https://app.example.com")...):  engine.Begin,
		headOf(but("Origin: https://chat.example.com")...): engine.Begin,
		headOf(but("Origin: https://evil.example")...):     engine.Release,
	} {
		v := open()
		got := v.Heard([]byte(said))
		if got.Next != want || want == engine.Begin && got.Used != strings.Index(said, "\r\n\r\n")+4 {
			t.Errorf("%q: %v, %d bytes used", said, got.Next, got.Used)
		}
		if v.is(heard) != (want == engine.Begin) {
			t.Errorf("%q: heard: %v", said, v.is(heard))
		}
	}
	shard.closed = &chatv1.Error{Code: chatv1.Error_CODE_DRAINING}
	if got := open().Heard([]byte(whole)); got.Next != engine.Release {
		t.Errorf("a shard that takes nobody: %v", got.Next)
	}
}

// FuzzOpening: what is taken for a plain handshake, an HTTP server reads in the same way, and finds nothing wrong with.
func FuzzOpening(f *testing.F) {
	f.Add([]byte(headOf(plain...)))
	f.Add([]byte(plainRequest + "\r\n"))
	f.Add([]byte(headOf(but("Origin: https://chat.example.com")...)))
	f.Add([]byte(headOf(append(slices.Clone(plain), "Cookie: a=b", "Accept:")...)))
	f.Add([]byte(headOf(but("Sec-WebSocket-Protocol: x, " + engine.SubprotocolJSON)...)))
	f.Fuzz(func(t *testing.T, said []byte) {
		end := bytes.Index(said, []byte("\r\n\r\n")) + 4
		if !bytes.HasPrefix(said, []byte(plainRequest)) || end < 4 || end > plainBytes {
			return
		}
		head := said[:end]
		before := slices.Clone(head)
		h, ok := readHandshake(head)
		if !bytes.Equal(head, before) {
			t.Fatal("the head is another one now")
		}
		if !ok {
			return
		}
		in := bufio.NewReader(bytes.NewReader(head))
		r, err := http.ReadRequest(in)
		if err != nil || in.Buffered() > 0 {
			t.Fatalf("%q: an HTTP server reads %v, and leaves %d bytes", head, err, in.Buffered())
		}
		enc, known := offered(r.Header.Values("Sec-WebSocket-Protocol"))
		status, wrong := malformed(r.Header)
		if r.URL.Path != SessionPath || r.URL.RawQuery != "" || r.ContentLength != 0 || len(r.TransferEncoding) > 0 || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") ||
			status != 0 || !known || enc != h.encoding || r.Host != h.host || r.Header.Get("Origin") != h.origin {
			t.Fatalf("%q: an HTTP server reads %v, %q, in %v for %q from %q", head, r.URL, wrong, enc, r.Host, r.Header.Get("Origin"))
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(h.answer)), r)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
		if got := answer.Header.Get("Sec-WebSocket-Accept"); answer.StatusCode != http.StatusSwitchingProtocols || got != base64.StdEncoding.EncodeToString(sum[:]) {
			t.Fatalf("%q is answered by %q", head, h.answer)
		}
		if e, _ := engine.EncodingOf(answer.Header.Get("Sec-WebSocket-Protocol")); e != h.encoding {
			t.Fatalf("%q is answered by %q", head, h.answer)
		}
	})
}
