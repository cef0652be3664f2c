package planted

import (
	"bytes"
	"compress/gzip"
	"io"
	"mime"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

const (
	postPath = chatv1connect.ChatServicePostProcedure
	// maxPostBytes is more than any shard takes.
	maxPostBytes = 16 << 20
)

// encoding is how messages are written: on a session, or in a body.
type encoding struct {
	marshal   func(proto.Message) ([]byte, error)
	unmarshal func([]byte, proto.Message) error
}

var (
	inProtobuf = encoding{proto.Marshal, proto.Unmarshal}
	inJSON     = encoding{protojson.Marshal, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal}
)

// bodyEncoding is the encoding of a body by its headers; false for what is not a unary connect message.
func bodyEncoding(h http.Header) (encoding, bool) {
	switch t, _, _ := mime.ParseMediaType(h.Get("Content-Type")); t {
	case "application/json":
		return inJSON, true
	case "application/proto":
		return inProtobuf, true
	}
	return encoding{}, false
}

// plain is the body without its compression.
func plain(h http.Header, body []byte) ([]byte, error) {
	if h.Get("Content-Encoding") != "gzip" {
		return body, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxPostBytes))
}

// servePost passes a post on, or swallows it.
func (p *Proxy) servePost(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPostBytes))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if enc, ok := bodyEncoding(r.Header); ok {
		var post chatv1.PostRequest
		if data, err := plain(r.Header, body); err == nil && enc.unmarshal(data, &post) == nil {
			if answer := p.post(Occasion{Post: &post}); answer != nil {
				p.answer(w, r, enc, answer)
				return
			}
		}
	}
	p.forward.ServeHTTP(w, r)
}

func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, enc encoding, answer *chatv1.PostResponse) {
	data, err := enc.marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	_, _ = w.Write(data)
}

// overhear reads the position out of the answer to a method, which it leaves as it is.
func (p *Proxy) overhear(r *http.Response) error {
	enc, ok := bodyEncoding(r.Header)
	if !ok || r.StatusCode != http.StatusOK {
		return nil
	}
	var posted chatv1.PostResponse
	var created chatv1.CreateResponse
	var difference chatv1.DifferenceResponse
	var answer proto.Message
	switch r.Request.URL.Path {
	case postPath:
		answer = &posted
	case chatv1connect.ChatServiceCreateProcedure:
		answer = &created
	case chatv1connect.ChatServiceDifferenceProcedure:
		answer = &difference
	default:
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMessageBytes))
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if data, err := plain(r.Header, body); err == nil && enc.unmarshal(data, answer) == nil {
		p.learn(&posted, &created, difference.GetCursor())
	}
	return nil
}
