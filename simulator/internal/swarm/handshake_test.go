package swarm

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestTheKeyOfTheStandard(t *testing.T) {
	// The example of RFC 6455, 1.3.
	if got := string(appendAccept(nil, []byte("dGhlIHNhbXBsZSBub25jZQ=="))); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept is %s", got)
	}
	if a, b := handshakeKey(nil, 1, 2, 3), handshakeKey(nil, 1, 2, 4); len(a) != 24 || string(a) == string(b) {
		t.Errorf("keys %s and %s", a, b)
	}
}

func TestTheAnswerToTheHandshakeIsChecked(t *testing.T) {
	key := []byte("dGhlIHNhbXBsZSBub25jZQ==")
	good := "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chatfleet.v1.proto\r\n\r\n"
	replace := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for name, tt := range map[string]struct {
		answer string
		want   error
	}{
		"good":              {good, nil},
		"no HTTP":           {"SSH-2.0-OpenSSH_9.9\r\n\r\n", errNotHTTP},
		"old HTTP":          {replace("HTTP/1.1", "HTTP/1.0"), errNotHTTP},
		"no number":         {replace("101", "abc"), errNotHTTP},
		"refused":           {"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\n", statusError{503, 3 * time.Second}},
		"not upgraded":      {replace("upgrade: WebSocket", "upgrade: h2c"), errUpgrade},
		"not connected":     {replace("Upgrade\r\nSec", "close\r\nSec"), errUpgrade},
		"wrong key":         {replace("s3p", "S3p"), errAccept},
		"no protocol":       {replace("Sec-WebSocket-Protocol", "X-Other"), errProtocol},
		"other protocol":    {replace("v1.proto", "v1.json"), errProtocol},
		"extension":         {replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"), errExtension},
		"endless":           {strings.Repeat("x", maxHandshakeBytes+1), errHandshakeSize},
		"long, then an end": {replace("\r\n\r\n", "\r\nX: "+strings.Repeat("x", maxHandshakeBytes)+"\r\n\r\n"), errHandshakeSize},
	} {
		n, err := parseHandshake([]byte(tt.answer), key, protocolProto)
		if !errors.Is(err, tt.want) || err == nil && n != len(tt.answer) {
			t.Errorf("%s: %d, %v; want %v", name, n, err, tt.want)
		}
	}
	for n := range len(good) {
		if got, err := parseHandshake([]byte(good[:n]), key, protocolProto); got != 0 || err != nil {
			t.Fatalf("the first %d bytes: %d, %v; want to wait for more", n, got, err)
		}
	}
}

// The frames of another implementation, in all lengths, are read back; those that we write, it reads.
func TestFramesAreThoseOfTheStandard(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 0xFFFF, 0x10000, 200_000} {
		payload := []byte(strings.Repeat("x", n))
		frame := ws.MustCompileFrame(ws.NewBinaryFrame(payload))
		h, size, err := parseHeader(frame)
		if err != nil || h.op != opBinary || !h.fin || int(h.length) != n || size+n != len(frame) {
			t.Errorf("%d bytes: %+v, %d, %v", n, h, size, err)
		}
		for cut := range size {
			if _, got, err := parseHeader(frame[:cut]); got != 0 || err != nil {
				t.Errorf("%d bytes: the first %d of the header: %d, %v", n, cut, got, err)
			}
		}
		written := strings.NewReader(string(appendFrame(nil, opBinary, payload, 0xDEADBEEF)))
		header, err := ws.ReadHeader(written)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(written)
		if err != nil {
			t.Fatal(err)
		}
		ws.Cipher(body, header.Mask, 0)
		if !header.Masked || !header.Fin || header.Length != int64(n) || string(body) != string(payload) {
			t.Errorf("%d bytes are not read back: %+v", n, header)
		}
	}
}

func TestRoutesMeetAllEndpoints(t *testing.T) {
	for n := 1; n <= 12; n++ {
		second := map[int]int{}
		for number := range 1000 {
			met := map[int]bool{}
			for hop := range n {
				met[route(number, hop, n)] = true
			}
			if len(met) != n {
				t.Fatalf("session %d meets %d of %d endpoints", number, len(met), n)
			}
			if number%n == 0 {
				second[route(number, 1, n)]++
			}
		}
		if n > 2 && len(second) < 2 {
			t.Errorf("of %d endpoints all sessions of the first go to the same one after it: %v", n, second)
		}
	}
}

func TestSourcesAreSpreadOnLoopbackOnly(t *testing.T) {
	local, err := resolve(t.Context(), "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	far, err := resolve(t.Context(), "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, bind := (sources)(nil).of(far.addr.Addr(), 5); bind {
		t.Error("a source is chosen for a target that is not on this host")
	}
	use := map[string]int{}
	for number := 0; number < 2_500_000; number += 100 {
		source, bind := (sources)(nil).of(local.addr.Addr(), number)
		if !bind || !source.IsLoopback() {
			t.Fatalf("session %d: %v, %v", number, source, bind)
		}
		use[source.String()] += 100
	}
	for source, n := range use {
		if n > sessionsPerSource+100 {
			t.Errorf("%s has %d sessions", source, n)
		}
	}
	given, err := parseSources([]string{"127.0.0.9", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	if source, bind := given.of(far.addr.Addr(), 5); !bind || source.String() != "192.0.2.7" {
		t.Errorf("session 5 comes from %v, want the second of those given", source)
	}
	for _, bad := range []string{"", "host", "127.0.0.1", "127.0.0.1:no-such-port"} {
		if _, err := resolve(t.Context(), bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("endpoint %q: %v", bad, err)
		}
	}
}
