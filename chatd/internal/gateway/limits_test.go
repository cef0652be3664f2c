package gateway_test

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// hasty has no patience, so that those who are slow are found out soon.
var hasty = &doorKind{
	name:  "hasty",
	shard: func(c *shard.Config) { c.SignInWithin = 2 * time.Second },
	gateway: func(c *gateway.Config) {
		c.HeadersWithin, c.BodyWithin = 2*time.Second, 2*time.Second
	},
	engine: func(c *engine.Config) { c.IdleAfter, c.MessageWithin = 3*time.Second, time.Second },
}

func slow() section {
	nothing := func(*door) []byte { return nil }
	silent := want{close: engine.CloseSilent, says: "nothing heard"}
	stalled := want{close: engine.CloseSilent, says: "not complete within"}
	noHeaders := want{status: 408, code: chatv1.Error_CODE_INVALID, says: "did not come in time"}
	noSignIn := ends(chatv1.Error_CODE_UNAUTHENTICATED, "no sign_in within")
	rows := []refusal{
		{name: "A connection that says nothing", send: nothing, want: noHeaders},
		{name: "Headers that come a byte at a time (slowloris)", slowly: allOfIt, send: func(d *door) []byte { return upgrade(d) }, want: noHeaders},
		{name: "A body that comes a byte at a time", slowly: theBody, want: want{status: 503, code: chatv1.Error_CODE_UNAVAILABLE, says: "in time", retry: true},
			send: func(d *door) []byte {
				head := call(d, "Post", "", "Content-Length: 1000")
				return append(head, bytes.Repeat([]byte{' '}, 1000)...)
			}},
		{name: "A session that never signs in", at: openedJSON, send: nothing, want: noSignIn},
		{name: "A session that pings and never signs in", at: openedBinary, slowly: allOfIt, send: bytesOf(bytes.Repeat(frame(fin|pinged, nil), 20)), want: noSignIn},
		{name: "A sign-in that comes a byte at a time", at: openedJSON, slowly: allOfIt, send: signsIn(`"device":"d"`), want: noSignIn},
		{name: "A session that falls silent", at: inJSON, send: nothing, want: silent},
		{name: "A message that stops in the middle", at: inBinary, send: bytesOf(frame(fin|bin, make([]byte, 1000))[:500]), want: stalled},
		{name: "A message that comes a byte at a time", at: inJSON, slowly: allOfIt, send: textOf(`{"ref":2,"ping":{"nonce":"1000000000"}}`), want: stalled},
		{name: "A message whose next fragment never comes", at: inJSON, send: bytesOf(frame(text, []byte(`{"ref":2,`)), frame(fin|pinged, nil)), want: stalled},
	}
	for i := range rows {
		rows[i].door = hasty
	}
	return section{"Whoever is slow", "With less patience than usual, so that the test is short: the bounds are " +
		"10 s for headers, 30 s for a request, 10 s to the sign-in, 75 s of silence, 15 s for a message.", rows}
}

func limits() section {
	at := func(name string, change func(*gateway.Config)) *doorKind {
		return &doorKind{name: name, gateway: change}
	}
	tooMany := func(status int, words string) want {
		return want{status: status, code: chatv1.Error_CODE_TOO_MANY, says: words, retry: true}
	}
	shake := func(d *door) []byte { return upgrade(d) }
	badToken := func(d *door) []byte {
		return request(d, "POST", "/chatfleet.chat.v1.ChatService/Join", "{}", "Content-Type: application/json", "Authorization: Bearer x")
	}
	join := func(d *door) []byte { return call(d, "Join", d.fill(`{"log":"@his"}`)) }
	ack := &chatv1.ClientFrame_Ack{Ack: &chatv1.AckRequest{}}
	ping := &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{}}
	fewSessions := func(c *gateway.Config) { c.HandshakeBurst, c.HandshakesPerSecond = 3, 0.01 }
	ofProxy := func(name string) *doorKind {
		return at(name, func(c *gateway.Config) {
			fewSessions(c)
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		})
	}
	shakeFor := func(client string) func(*door) []byte {
		return func(d *door) []byte { return upgrade(d, "X-Forwarded-For", client) }
	}
	few := func(c *gateway.Config) { c.FailureBurst, c.FailuresPerSecond = 3, 0.01 }
	return section{"More than may be", "With small limits, so that few are many. Their usual values are in [the protocol](protocol.md#16-limits).", []refusal{
		{name: "More connections than a shard holds", door: at("full", func(c *gateway.Config) { c.MaxConnections, c.MaxUnknown = 4, 4 }),
			crowd: crowd{n: 3, at: inJSON}, send: shake, want: tooMany(503, "as many connections as it may")},
		{name: "More connections without a sign-in than a shard bears", door: at("anonymous", func(c *gateway.Config) { c.MaxUnknown = 3 }),
			crowd: crowd{n: 3}, send: shake, want: tooMany(503, "have not signed in yet")},
		{name: "The same of one address", door: at("one address", func(c *gateway.Config) { c.MaxUnknownPerAddress = 3 }),
			crowd: crowd{n: 3, at: openedJSON}, send: shake, want: tooMany(429, "of your address")},
		{name: "More sessions a second than an address may begin", door: at("handshakes", fewSessions),
			crowd: crowd{n: 3, at: inJSON}, send: shake, want: tooMany(429, "connect more slowly")},
		{name: "The same of one client of a trusted proxy", door: ofProxy("a client of a proxy"),
			crowd: crowd{n: 3, send: shakeFor("198.51.100.7")}, send: shakeFor("203.0.113.5, 198.51.100.7"), want: tooMany(429, "connect more slowly")},
		{name: "A client of the same proxy, beside that one", door: ofProxy("clients of a proxy"),
			crowd: crowd{n: 3, send: shakeFor("198.51.100.7")}, send: shakeFor("198.51.100.8"), want: want{status: 101, fine: true}},
		{name: "`X-Forwarded-For` of another address each time, from who is no proxy", door: at("no proxy", fewSessions),
			crowd: crowd{n: 3, send: shakeFor("198.51.100.7")}, send: shakeFor("198.51.100.8"), want: tooMany(429, "connect more slowly")},
		{name: "`X-Forwarded-For` that no one can read, from a proxy: the proxy's own address counts", door: ofProxy("unreadable"),
			crowd: crowd{n: 3, send: shakeFor("nonsense")}, send: shakeFor("[1.2.3.4, \t]"), want: tooMany(429, "connect more slowly")},
		{name: "A session, after too many that never signed in", door: at("failures", few),
			crowd: crowd{n: 3, at: openedJSON, leaves: true}, send: shake, want: tooMany(429, "without a good token")},
		{name: "A session, after too many connections that came to nothing", door: at("nothings", few),
			crowd: crowd{n: 3, leaves: true}, send: shake, want: tooMany(429, "without a good token")},
		{name: "A request over HTTP, after too many with bad tokens", door: at("bad tokens", few),
			crowd: crowd{n: 3, send: badToken, leaves: true}, send: join, want: tooMany(429, "without a good token")},
		{name: "More requests over HTTP than a user may make", door: &doorKind{name: "user over HTTP", shard: func(c *shard.Config) {
			c.UserRequestBurst, c.UserRequestsPerSecond = 100, 0.05
		}}, crowd: crowd{n: 100, send: join}, send: join, want: tooMany(429, "of one user")},
		{name: "More requests on sessions than a user may make", door: &doorKind{name: "user on sessions", shard: func(c *shard.Config) {
			c.UserRequestBurst, c.UserRequestsPerSecond = 30, 5
		}}, at: inBinary, want: want{code: chatv1.Error_CODE_TOO_MANY, says: "of one user", retry: true},
			send: func(*door) []byte {
				return repeat(80, func(i int) []byte {
					return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: ping})
				})
			}},
		{name: "More acknowledgements than a user may make requests, which are dropped", door: &doorKind{name: "acknowledgements", shard: func(c *shard.Config) {
			c.UserRequestBurst, c.UserRequestsPerSecond = 30, 1000
		}}, at: inBinary, want: want{fine: true},
			send: func(*door) []byte {
				return append(repeat(300, func(i int) []byte {
					return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: ack})
				}), frame(fin|pinged, nil)...)
			}},
		{name: "More sessions than a user may have", door: &doorKind{name: "sessions of a user", shard: func(c *shard.Config) { c.MaxUserSessions = 2 }},
			crowd: crowd{n: 2, at: inJSON}, at: openedJSON, send: signsIn(`"device":"d"`),
			want: want{close: 4008, code: chatv1.Error_CODE_TOO_MANY, says: "sessions of yours", retry: true}},
	}}
}
