package gateway_test

import (
	"fmt"
	"strings"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// ends is the end of a session with an error.
func ends(code chatv1.Error_Code, words string) want {
	return want{close: engine.CloseFor(code), code: code, says: words}
}

// refused is an error after which the session goes on.
func refused(code chatv1.Error_Code, field, words string) want {
	return want{code: code, field: field, says: words}
}

// signsIn is a sign-in of a good token, with other fields as given.
func signsIn(fields string) func(*door) []byte {
	return func(d *door) []byte {
		return textFrame(d.fill(fmt.Sprintf(`{"ref":1,"signIn":{"token":%q,%s}}`, d.token("mallory"), fields)))
	}
}

func sessions() section {
	const invalid, unsupported = chatv1.Error_CODE_INVALID, chatv1.Error_CODE_UNSUPPORTED
	signs := func(fields, field, words string) refusal {
		w := ends(invalid, words)
		w.field = field
		return refusal{at: openedJSON, send: signsIn(fields), want: w}
	}
	named := func(name string, r refusal) refusal { r.name = name; return r }
	return section{"The first frames of a session", "A frame that cannot be read ends the session: nobody knows what else is wrong with the client.", []refusal{
		{name: "A post before the sign-in", at: openedJSON, send: says(`{"ref":1,"post":{"log":"@channel","randomId":"1","message":{"text":"hi"}}}`),
			want: ends(unsupported, "sign_in")},
		{name: "A ping before the sign-in", at: openedBinary, send: func(*door) []byte { return message(engine.Protobuf, ping(1)) }, want: ends(unsupported, "sign_in")},
		{name: "HTTP in place of frames", at: openedJSON, send: func(d *door) []byte { return request(d, "GET", "/", "") }, want: want{close: engine.CloseProtocol}},
		{name: "A message that is no JSON", at: inJSON, send: textOf(`{"ref":2,"ping":`), want: ends(invalid, "ClientFrame in json")},
		{name: "JSON that is a list", at: inJSON, send: textOf(`[]`), want: ends(invalid, "ClientFrame in json")},
		{name: "Two bodies in one frame, in JSON", at: inJSON, send: textOf(`{"ref":2,"ping":{},"detach":{}}`), want: ends(invalid, "ClientFrame in json")},
		{name: "JSON nested 60,000 deep", at: inJSON, send: textOf(`{"ref":2,"x":` + strings.Repeat("[", 60_000)), want: ends(invalid, "ClientFrame in json")},
		{name: "A number that does not fit its field", at: inJSON, send: textOf(`{"ref":4294967296,"ping":{}}`), want: ends(invalid, "ClientFrame in json")},
		{name: "A message that is no protobuf", at: inBinary, send: bytesOf(binaryFrame("\xff\xff\xff\xff")), want: ends(invalid, "ClientFrame in protobuf")},
		{name: "Protobuf whose length is larger than the message", at: inBinary, send: bytesOf(binaryFrame("\x08\x02\x12\x7fabc")), want: ends(invalid, "ClientFrame in protobuf")},
		{name: "Protobuf with text that is not UTF-8", at: inBinary, want: ends(invalid, "ClientFrame in protobuf"),
			send: func(*door) []byte {
				data := message(engine.Protobuf, signIn("TOKEN"))
				payload := unmask(data)
				return binaryFrame(strings.Replace(string(payload), "TOKEN", "\xff\xff\xff\xff\xff", 1))
			}},
		{name: "A request without a ref", at: inJSON, send: textOf(`{"ping":{}}`), want: want{close: 4001, code: invalid, field: "ref", says: "above 0"}},
		{name: "A method that is not known", at: inJSON, send: textOf(`{"ref":2,"launchMissiles":{}}`), want: refused(unsupported, "", "does not know")},
		{name: "A method that is not known, in protobuf", at: inBinary, send: bytesOf(binaryFrame("\x08\x02\xfa\x3e\x00")), want: refused(unsupported, "", "does not know")},
		{name: "Fields that are not known", at: inJSON, send: textOf(`{"ref":2,"ping":{"nonce":"1","colour":"red"},"x":[1,{"y":null}]}`), want: want{fine: true}},
		{name: "A second sign-in", at: inJSON, send: signsIn(`"device":"phone"`), want: refused(unsupported, "", "signed in already")},
		named("A sign-in without a device", signs(`"client":"x"`, "sign_in.device", "must match")),
		named("A device with a name that is none", signs(`"device":"../../etc"`, "sign_in.device", "must match")),
		named("A client with a name of 65 bytes", signs(`"device":"d","client":"`+strings.Repeat("x", 65)+`"`, "sign_in.client", "at most 64")),
		{name: "A cursor of a log that cannot be, which is left out", at: openedJSON, send: signsIn(`"device":"d","cursors":[{"log":"@channel"},{"log":"*.>"}]`),
			want: refused(invalid, "sign_in.cursors[1].log", "no id of a log")},
		{name: "A cursor without a log, which is left out", at: openedJSON, send: signsIn(`"device":"d","cursors":[{"pts":"3"},{"log":"@channel"}]`),
			want: refused(invalid, "sign_in.cursors[0].log", "missing")},
		{name: "A log twice, of which the first cursor counts", at: openedJSON, send: signsIn(`"device":"d","cursors":[{"log":"@channel"},{"log":"@channel"}]`),
			want: refused(invalid, "sign_in.cursors[1].log", "twice")},
		{name: "The own log of another user, which is left out", at: openedJSON, send: signsIn(`"device":"d","cursors":[{"log":"` + logid.User("ann") + `"}]`),
			want: refused(chatv1.Error_CODE_DENIED, "sign_in.cursors[0].log", "another user's")},
		{name: "A sign-in with a group of others, which is left out", at: openedJSON, send: signsIn(`"device":"d","cursors":[{"log":"@channel"},{"log":"@group"}]`),
			want: refused(chatv1.Error_CODE_NOT_MEMBER, "", "")},
	}}
}

// unmask is the payload of a client's frame of at most 125 bytes.
func unmask(data []byte) []byte {
	payload := make([]byte, len(data)-6)
	for i := range payload {
		payload[i] = data[6+i] ^ data[2+i%4]
	}
	return payload
}

// chatty is for those who ask so much that nothing would be left for others who come under the same name.
var chatty = &doorKind{name: "chatty"}

func requests() section {
	const (
		invalid  = chatv1.Error_CODE_INVALID
		denied   = chatv1.Error_CODE_DENIED
		member   = chatv1.Error_CODE_NOT_MEMBER
		notFound = chatv1.Error_CODE_NOT_FOUND
		tooMany  = chatv1.Error_CODE_TOO_MANY
	)
	nowhere := logid.Create(chatv1.LogKind_LOG_KIND_CHANNEL, "nobody", 1)
	noGroup := logid.Create(chatv1.LogKind_LOG_KIND_GROUP, "nobody", 1)
	post := func(name, fields string, w want) refusal {
		return refusal{name: name, at: inJSON, send: says(`{"ref":2,"post":{` + fields + `}}`), want: w}
	}
	ask := func(name, body string, w want) refusal {
		return refusal{name: name, at: inJSON, send: says(`{"ref":2,` + body + `}`), want: w}
	}
	const hi = `"message":{"text":"hi"}`
	return section{"Requests of a session", "An error answers the request, and the session goes on.", []refusal{
		post("A post without a log", `"randomId":"1",`+hi, refused(invalid, "post.log", "missing")),
		post("A post to what is no log's id", `"log":"log.>","randomId":"1",`+hi, refused(invalid, "post.log", "no id of a log")),
		post("A post to a log that there is not", `"log":"`+nowhere+`","randomId":"1",`+hi, refused(notFound, "", "there is no log")),
		post("A post to a group of others", `"log":"@group","randomId":"1",`+hi, refused(member, "", "join the group")),
		post("A post to another user's channel", `"log":"@channel","randomId":"1",`+hi, refused(denied, "", "only the owner")),
		post("A post to one's own user log", `"log":"me","randomId":"1",`+hi, refused(denied, "post.log", "cannot be posted to")),
		post("A post to another's user log", `"log":"`+logid.User("ann")+`","randomId":"1",`+hi, refused(denied, "post.log", "cannot be posted to")),
		post("An empty post", `"log":"@his","randomId":"1","message":{}`, refused(invalid, "post.message", "neither text nor data")),
		post("A post without a random_id", `"log":"@his",`+hi, refused(invalid, "post.random_id", "must not be 0")),
		post("A post of a byte more than may be", `"log":"@his","randomId":"1","message":{"text":"`+strings.Repeat("x", 32<<10)+`","data":"AA=="}`,
			refused(chatv1.Error_CODE_TOO_LARGE, "post.message", "32768")),
		post("A repeat of more than a day ago", `"log":"@his","randomId":"77","firstSentMs":"@yesterday",`+hi, refused(chatv1.Error_CODE_TOO_OLD, "", "first_sent_ms")),
		post("A post first sent before 1970", `"log":"@his","randomId":"78","firstSentMs":"-1",`+hi, refused(invalid, "post.first_sent_ms", "1970")),
		{name: "The same random_id with another content", at: inJSON, want: refused(chatv1.Error_CODE_ID_REUSED, "", "take a new one"),
			send: func(d *door) []byte {
				return append(says(`{"ref":2,"post":{"log":"@his","randomId":"99","message":{"text":"one"}}}`)(d),
					says(`{"ref":3,"post":{"log":"@his","randomId":"99","message":{"text":"two"}}}`)(d)...)
			}},
		ask("A log of a kind that is not for making", `"create":{"kind":"LOG_KIND_USER","title":"t","randomId":"1"}`, refused(invalid, "create.kind", "channel or a group")),
		ask("A log without a title", `"create":{"kind":"LOG_KIND_GROUP","randomId":"1"}`, refused(invalid, "create.title", "missing")),
		ask("A title of 129 letters", `"create":{"kind":"LOG_KIND_GROUP","title":"`+strings.Repeat("é", 129)+`","randomId":"1"}`, refused(invalid, "create.title", "at most 128")),
		ask("A title with a line break", `"create":{"kind":"LOG_KIND_GROUP","title":"a\nb","randomId":"1"}`, refused(invalid, "create.title", "control character")),
		ask("A log without a random_id", `"create":{"kind":"LOG_KIND_GROUP","title":"t"}`, refused(invalid, "create.random_id", "must not be 0")),
		{name: "A log made again under another title", at: inJSON, want: refused(chatv1.Error_CODE_ID_REUSED, "", "another title"),
			send: func(d *door) []byte {
				d.createAs("mallory", chatv1.LogKind_LOG_KIND_GROUP, "one", 4711)
				return textFrame(`{"ref":3,"create":{"kind":"LOG_KIND_GROUP","title":"two","randomId":"4711"}}`)
			}},
		ask("Joining a log that there is not", `"join":{"log":"`+noGroup+`"}`, refused(notFound, "", "there is no log")),
		ask("Joining another's user log", `"join":{"log":"`+logid.User("ann")+`"}`, refused(denied, "join.log", "cannot be joined")),
		ask("Leaving one's own user log", `"leave":{"log":"me"}`, refused(denied, "leave.log", "cannot be left")),
		ask("Attaching a group of others", `"attach":{"cursors":[{"log":"@group"}]}`, refused(member, "", "")),
		ask("Attaching a log that there is not", `"attach":{"cursors":[{"log":"`+nowhere+`"}]}`, refused(notFound, "", "")),
		ask("Attaching another's user log", `"attach":{"cursors":[{"log":"`+logid.User("ann")+`"}]}`, refused(denied, "attach.cursors[0].log", "another user's")),
		ask("Attaching a path", `"attach":{"cursors":[{"log":"../../x"}]}`, refused(invalid, "attach.cursors[0].log", "no id of a log")),
		ask("A cursor of a position that there is not", `"attach":{"cursors":[{"log":"@channel","epoch":@epoch,"pts":"18446744073709551615"}]}`, want{fine: true}),
		ask("A cursor of an epoch that never was", `"attach":{"cursors":[{"log":"@channel","epoch":7,"pts":"3"}]}`, want{fine: true}),
		ask("Detaching ten thousand logs that are not attached", `"detach":{"logs":[`+strings.TrimSuffix(strings.Repeat(`"x",`, 10_000), ",")+`]}`, want{fine: true}),
		ask("The difference of a group of others", `"difference":{"cursor":{"log":"@group","epoch":1}}`, refused(member, "", "")),
		ask("The difference of another's user log", `"difference":{"cursor":{"log":"`+logid.User("ann")+`"}}`, refused(denied, "difference.cursor.log", "another user's")),
		ask("The difference without a cursor", `"difference":{}`, refused(invalid, "difference.cursor.log", "missing")),
		ask("A difference of four thousand million events", `"difference":{"cursor":{"log":"@channel","epoch":@epoch},"limit":4294967295}`, want{fine: true}),
		ask("History without a log", `"history":{}`, refused(invalid, "history.log", "missing")),
		ask("History before a position, without its epoch", `"history":{"log":"@channel","beforePts":"5"}`, refused(invalid, "history.epoch", "epoch is missing")),
		ask("History of an epoch that never was", `"history":{"log":"@channel","epoch":7,"beforePts":"5"}`, refused(invalid, "history.epoch", "ask for the difference")),
		ask("History of a group of others", `"history":{"log":"@group"}`, refused(member, "", "")),
		ask("History of a log that there is not", `"history":{"log":"`+nowhere+`"}`, refused(notFound, "", "there is no log")),
		ask("History of another's user log", `"history":{"log":"`+logid.User("ann")+`"}`, refused(denied, "history.log", "another user's")),
		ask("History before a position that there is not, four thousand million events of it",
			`"history":{"log":"@channel","epoch":@epoch,"beforePts":"18446744073709551615","limit":4294967295}`, want{fine: true}),
		ask("Typing in no log", `"typing":{}`, refused(invalid, "typing.log", "missing")),
		ask("Typing in what is no log's id", `"typing":{"log":"say.>"}`, refused(invalid, "typing.log", "no id of a log")),
		ask("Typing in a group of others", `"typing":{"log":"@group"}`, refused(invalid, "typing.log", "not attached")),
		{name: "Typing in another user's channel", at: inJSON, want: refused(denied, "", "only the owner"),
			send: func(d *door) []byte { return textFrame(d.fill(`{"ref":2,"attach":{"cursors":[{"log":"@channel"}]}}`)) },
			then: func(d *door) []byte { return textFrame(d.fill(`{"ref":3,"typing":{"log":"@channel"}}`)) }},
		{name: "Typing a thousand times at once", at: inBinary, door: chatty, want: refused(invalid, "typing.log", "not attached"),
			send: func(d *door) []byte {
				return repeat(1000, func(i int) []byte {
					return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: &chatv1.ClientFrame_Typing{Typing: &chatv1.TypingRequest{Log: d.his}}})
				})
			}},
		ask("Presence in no log", `"presence":{}`, refused(invalid, "presence.log", "missing")),
		ask("Presence in a group of others", `"presence":{"log":"@group"}`, refused(member, "", "")),
		ask("Presence in a log that there is not", `"presence":{"log":"`+nowhere+`"}`, refused(notFound, "", "there is no log")),
		ask("Presence in another's user log", `"presence":{"log":"`+logid.User("ann")+`"}`, refused(denied, "presence.log", "")),
		{name: "A hundred questions for presence at once", at: inBinary, door: chatty, want: want{code: tooMany, retry: true},
			send: func(d *door) []byte {
				return repeat(100, func(i int) []byte {
					return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: &chatv1.ClientFrame_Presence{Presence: &chatv1.PresenceRequest{Log: d.channel}}})
				})
			}},
		{name: "A hundred pages of history at once", at: inBinary, door: chatty, want: want{code: tooMany, retry: true},
			send: func(d *door) []byte {
				return repeat(100, func(i int) []byte {
					return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: &chatv1.ClientFrame_History{History: &chatv1.HistoryRequest{Log: d.channel}}})
				})
			}},
		{name: "4,000 logs in one attach", at: inBinary, door: &doorKind{name: "few logs", shard: func(c *shard.Config) { c.MaxAttachedLogs = 100 }}, want: refused(tooMany, "", "the most that may be"),
			send: func(*door) []byte { return attachMany(2, 4000) }},
		{name: "10,000 attaches", at: inBinary, want: want{code: tooMany, says: "requests a second", retry: true},
			send: func(*door) []byte {
				return repeat(100, func(i int) []byte { return attachMany(uint32(i+2), 100) })
			}},
		{name: "Three hundred requests at once", at: inBinary, want: want{code: tooMany, says: "requests a second", retry: true},
			send: func(*door) []byte {
				return repeat(300, func(i int) []byte {
					if i >= 290 { // an ack over the rate is dropped without a word
						return message(engine.Protobuf, ping(uint32(i+2)))
					}
					return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: &chatv1.ClientFrame_Ack{Ack: &chatv1.AckRequest{}}})
				})
			}},
		{name: "Requests whose answers are not awaited", at: inBinary, want: want{code: tooMany, says: "wait for their answers", retry: true},
			send: func(d *door) []byte {
				return repeat(128, func(i int) []byte {
					return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: &chatv1.ClientFrame_Post{Post: &chatv1.PostRequest{
						Log: d.his, RandomId: uint64(i + 1000), Message: &chatv1.Message{Text: "again"}}}})
				})
			}},
	}}
}

// attachMany asks for n logs that there are not.
func attachMany(ref uint32, n int) []byte {
	var cursors []*chatv1.Cursor
	for i := range n {
		cursors = append(cursors, &chatv1.Cursor{Log: fmt.Sprintf("c%dx%d", ref, i)})
	}
	return message(engine.Protobuf, &chatv1.ClientFrame{Ref: ref, Body: &chatv1.ClientFrame_Attach{Attach: &chatv1.AttachRequest{Cursors: cursors}}})
}
