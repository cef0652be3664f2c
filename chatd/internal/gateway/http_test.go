package gateway_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"sync"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func overHTTP() section {
	const (
		invalid         = chatv1.Error_CODE_INVALID
		unauthenticated = chatv1.Error_CODE_UNAUTHENTICATED
		unsupported     = chatv1.Error_CODE_UNSUPPORTED
		tooLarge        = chatv1.Error_CODE_TOO_LARGE
	)
	const service = "/chatfleet.chat.v1.ChatService/"
	post := func(body string, headers ...string) func(*door) []byte {
		return func(d *door) []byte { return call(d, "Post", d.fill(body), headers...) }
	}
	with := func(method, path, contentType, body string) func(*door) []byte {
		return func(d *door) []byte {
			return request(d, method, path, body, "Authorization: Bearer "+d.token("mallory"), "Content-Type: "+contentType)
		}
	}
	const good = `{"log":"@his","randomId":"500","message":{"text":"hi"}}`
	return section{"Methods over HTTP", "The body of an error is connect's, with the error of the protocol as its detail.", []refusal{
		{name: "No token", send: func(d *door) []byte {
			return request(d, "POST", service+"Post", "{}", "Content-Type: application/json")
		},
			want: want{status: 401, code: unauthenticated, says: "no token"}},
		{name: "A password in place of a token", want: want{status: 401, code: unauthenticated, says: "no token"},
			send: func(d *door) []byte {
				return request(d, "POST", service+"Post", "{}", "Content-Type: application/json", "Authorization: Basic cm9vdDpyb290")
			}},
		{name: "No token, and a body that is too large", want: want{status: 401, code: unauthenticated, says: "no token"},
			send: func(d *door) []byte {
				return request(d, "POST", service+"Post", strings.Repeat(" ", 1<<20), "Content-Type: application/json")
			}},
		{name: "GET", send: with("GET", service+"Post", "application/json", ""), want: want{status: 405, code: unsupported, says: "POST"}},
		{name: "DELETE", send: with("DELETE", service+"Post", "application/json", "{}"), want: want{status: 405, code: unsupported, says: "POST"}},
		{name: "A method that there is not", send: with("POST", service+"DropTables", "application/json", "{}"), want: want{status: 404, code: unsupported, says: "DropTables"}},
		{name: "A service that there is not", send: with("POST", "/chatfleet.chat.v9.ChatService/Post", "application/json", "{}"), want: want{status: 404, code: unsupported, says: "nothing is at this path"}},
		{name: "A form", send: with("POST", service+"Post", "application/x-www-form-urlencoded", "log=x"), want: want{status: 415, code: unsupported, says: "application/json"}},
		{name: "No content type", want: want{status: 415, code: unsupported, says: "application/json"},
			send: func(d *door) []byte {
				return request(d, "POST", service+"Post", "{}", "Authorization: Bearer "+d.token("mallory"))
			}},
		{name: "A body that is no JSON", send: post(`{"log":`), want: want{status: 400, code: invalid, says: "unmarshal"}},
		{name: "JSON with a field of another type", send: post(`{"log":7}`), want: want{status: 400, code: invalid, says: "log"}},
		{name: "JSON nested 60,000 deep", send: post(strings.Repeat(`{"x":`, 20_000)), want: want{status: 400, code: invalid}},
		{name: "JSON that is not UTF-8", send: post("{\"log\":\"\xff\"}"), want: want{status: 400, code: invalid, says: "UTF-8"}},
		{name: "A body that is no protobuf", send: with("POST", service+"Post", "application/proto", "\xff\xff\xff"), want: want{status: 400, code: invalid, says: "unmarshal"}},
		{name: "Fields that are not known", send: post(`{"log":"@his","randomId":"501","message":{"text":"hi","font":"Comic Sans"},"x":1}`), want: want{status: 200, fine: true}},
		{name: "No body", send: post(""), want: want{status: 400, code: invalid, says: "zero-length"}},
		{name: "A body of a megabyte", send: post(strings.Repeat(" ", 1<<20)), want: want{status: 400, code: tooLarge, says: "131072"}},
		{name: "The promise of a terabyte", want: want{status: 400, code: tooLarge, says: "131072"},
			send: func(d *door) []byte { return call(d, "Post", "", "Content-Length: 1099511627776") }},
		{name: "A body of a megabyte, in chunks", want: want{status: 400, code: tooLarge, says: "131072"},
			send: func(d *door) []byte {
				chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat(" ", 64<<10))
				return append(call(d, "Post", "", "Transfer-Encoding: chunked"), strings.Repeat(chunk, 16)+"0\r\n\r\n"...)
			}},
		{name: "A bomb: 4 MiB, compressed to 4 KiB", send: func(d *door) []byte { return call(d, "Post", bomb(), "Content-Encoding: gzip") }, want: want{status: 400, code: tooLarge, says: "131072"}},
		{name: "What is said to be compressed and is not", send: post(good, "Content-Encoding: gzip"), want: want{status: 400, code: invalid, says: "gzip"}},
		{name: "A compression that is not known", send: post(good, "Content-Encoding: zstd"), want: want{status: 501, code: unsupported, says: "zstd"}},
		{name: "Less than was promised", hangUp: true, send: func(d *door) []byte { return append(call(d, "Post", "", "Content-Length: 900"), '{') },
			want: want{status: 400, code: invalid, says: "unexpected EOF"}},
		{name: "A chunk whose length is none", want: want{status: 400, code: invalid, says: "chunk"},
			send: func(d *door) []byte {
				return append(call(d, "Post", "", "Transfer-Encoding: chunked"), "zz\r\n{}\r\n0\r\n\r\n"...)
			}},
		{name: "A timeout that is none", send: post(good, "Connect-Timeout-Ms: soon"), want: want{status: 400, code: invalid, says: "timeout"}},
		{name: "A version of connect that there is not", send: post(good, "Connect-Protocol-Version: 9"), want: want{status: 400, code: invalid, says: "Version"}},
		{name: "A post to a group of others", send: post(`{"log":"@group","randomId":"1","message":{"text":"hi"}}`),
			want: want{status: 403, code: chatv1.Error_CODE_NOT_MEMBER, says: "join the group"}},
		{name: "A post to a log that there is not", send: post(`{"log":"cnothere","randomId":"1","message":{"text":"hi"}}`),
			want: want{status: 404, code: chatv1.Error_CODE_NOT_FOUND, says: "there is no log"}},
		{name: "A post that is too long", send: post(`{"log":"@his","randomId":"1","message":{"text":"` + strings.Repeat("x", 33<<10) + `"}}`),
			want: want{status: 400, code: tooLarge, field: "post.message", says: "32768"}},
		{name: "A difference of a group of others", want: want{status: 403, code: chatv1.Error_CODE_NOT_MEMBER},
			send: func(d *door) []byte { return call(d, "Difference", d.fill(`{"cursor":{"log":"@group","epoch":1}}`)) }},
	}}
}

// bomb is 4 MiB of blanks in gzip.
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte{' '}, 4<<20)) // a buffer takes all
	_ = z.Close()
	return b.String()
})
