package gateway_test

import (
	"fmt"
	"strings"

	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// plain says that nothing but a status comes back: what was sent is not HTTP enough to reach anything that could say more.
const plain = chatv1.Error_Code(-1)

func handshakes() section {
	open := func(change ...string) func(*door) []byte {
		return func(d *door) []byte { return upgrade(d, change...) }
	}
	raw := func(format string) func(*door) []byte {
		return func(d *door) []byte { return []byte(strings.ReplaceAll(format, "ADDR", d.addr)) }
	}
	invalid := chatv1.Error_CODE_INVALID
	return section{"Handshake", "What comes before a session, and what does not get as far as that.", []refusal{
		{name: "A path where nothing is", send: func(d *door) []byte { return request(d, "GET", "/wp-login.php", "") },
			want: want{status: 404, code: chatv1.Error_CODE_UNSUPPORTED, says: gateway.SessionPath}},
		{name: "The path of sessions, without an upgrade", send: func(d *door) []byte { return request(d, "GET", gateway.SessionPath, "") },
			want: want{status: 426, code: invalid, says: "WebSocket"}},
		{name: "The path of sessions, with POST", send: func(d *door) []byte { return request(d, "POST", gateway.SessionPath, "{}") },
			want: want{status: 426, code: invalid, says: "WebSocket"}},
		{name: "Upgrade without Connection: Upgrade", send: open("Connection", ""),
			want: want{status: 400, code: invalid, says: "Connection: Upgrade"}},
		{name: "No sub-protocol", send: open("Sec-WebSocket-Protocol", ""), want: want{status: 400, code: invalid, says: "chatfleet.v1.proto"}},
		{name: "A sub-protocol of others", send: open("Sec-WebSocket-Protocol", "mqtt, chatfleet.v9.json"),
			want: want{status: 400, code: invalid, says: "chatfleet.v1.json"}},
		{name: "An older version of WebSocket", send: open("Sec-WebSocket-Version", "8"), want: want{status: 426, code: invalid, says: "13"}},
		{name: "No key", send: open("Sec-WebSocket-Key", ""), want: want{status: 400, code: invalid, says: "Sec-WebSocket-Key"}},
		{name: "A key that is too short", send: open("Sec-WebSocket-Key", "short"), want: want{status: 400, code: invalid, says: "Sec-WebSocket-Key"}},
		{name: "A web page of another site", send: open("Origin", "https://evil.example"),
			want: want{status: 403, code: chatv1.Error_CODE_DENIED, says: "evil.example"}},
		{name: "A web page without an origin (a sandboxed frame)", send: open("Origin", "null"), want: want{status: 403, code: chatv1.Error_CODE_DENIED}},
		{name: "An origin that only ends like this host", send: func(d *door) []byte { return upgrade(d, "Origin", "http://evil."+d.addr) },
			want: want{status: 403, code: chatv1.Error_CODE_DENIED}},
		{name: "An offer of compression, which is not taken", send: open("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
			want: want{status: 101, fine: true}},
		{name: "One header of 64 KiB", send: open("X-Flood", strings.Repeat("x", 64<<10)), want: want{status: 431, code: plain, says: "431"}},
		{name: "Thousands of headers", send: func(d *door) []byte {
			var lines []string
			for i := range 5000 {
				lines = append(lines, fmt.Sprintf("X-%d: y", i))
			}
			return request(d, "GET", gateway.SessionPath, "", lines...)
		}, want: want{status: 431, code: plain, says: "431"}},
		{name: "A path of 64 KiB", send: func(d *door) []byte { return request(d, "GET", "/"+strings.Repeat("a", 64<<10), "") },
			want: want{status: 431, code: plain, says: "431"}},
		{name: "TLS where there is none", send: raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), want: want{status: 400, code: plain}},
		{name: "No Host", send: raw("GET /v1/session HTTP/1.1\r\n\r\n"), want: want{status: 400, code: plain, says: "Host"}},
		{name: "A header with a NUL in its name", send: raw("GET / HTTP/1.1\r\nHost: ADDR\r\nX\x00Y: z\r\n\r\n"), want: want{status: 400, code: plain}},
		{name: "Two lengths of one body (request smuggling)",
			send: raw("POST / HTTP/1.1\r\nHost: ADDR\r\nContent-Length: 2\r\nContent-Length: 20\r\n\r\n{}"), want: want{status: 400, code: plain}},
		{name: "HTTP 3 in words", send: raw("GET / HTTP/3.0\r\nHost: ADDR\r\n\r\n"), want: want{status: 505, code: plain}},
		{name: "An Expect that is not known", send: func(d *door) []byte { return request(d, "POST", "/", "{}", "Expect: a-miracle") },
			want: want{status: 417, code: plain}},
	}}
}
