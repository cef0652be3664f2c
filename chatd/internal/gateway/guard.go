package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// guard stands before the methods: what a stranger sends is not read before he has said who he is, and what connect would refuse
// in words of its own, or in none, gets an error of the protocol.
type guard struct {
	Config
	next http.Handler
	// errors writes an error in the protocol of the request: connect's, or gRPC-Web's.
	errors *connect.ErrorWriter
}

func newGuard(cfg Config, next http.Handler) *guard {
	return &guard{Config: cfg, next: next, errors: connect.NewErrorWriter()}
}

// contentTypes that methods take.
var contentTypes = map[string]bool{
	"application/json": true, "application/proto": true,
	"application/grpc-web": true, "application/grpc-web+proto": true, "application/grpc-web+json": true,
	"application/grpc": true, "application/grpc+proto": true, "application/grpc+json": true,
}

type userKey struct{}

// userOf is whom the guard has let in.
func userOf(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, failed := g.isMethod(w, r); failed != nil {
		refuse(w, status, failed)
		return
	}
	user, failed := g.letIn(r)
	if failed == nil && r.ContentLength > int64(g.MaxBodyBytes) {
		failed = g.tooLarge()
	}
	if failed != nil {
		// The body stays unread, so nothing more can come on this connection.
		w.Header().Set("Connection", "close")
		g.refuse(w, r, failed)
		return
	}
	// One byte more, so that it is connect that finds the body too large, and says so.
	r.Body = http.MaxBytesReader(w, r.Body, int64(g.MaxBodyBytes)+1)
	c := &completer{ResponseWriter: w}
	g.next.ServeHTTP(c, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	c.finish(g.tooLarge())
}

// letIn says who has sent a request, if he may.
func (g *guard) letIn(r *http.Request) (user string, failed *chatv1.Error) {
	v := visitorOf(r)
	if failed := v.mayTry(); failed != nil {
		return "", failed
	}
	user, failed = g.Shard.Authenticate(bearer(r.Header))
	if failed != nil {
		v.blamed(failed)
		return "", failed
	}
	if v != nil {
		v.SignedIn()
	}
	return user, g.Shard.Charge(user)
}

// isMethod says what is wrong with a request that is none of a method.
func (g *guard) isMethod(w http.ResponseWriter, r *http.Request) (status int, failed *chatv1.Error) {
	name := strings.TrimPrefix(r.URL.Path, "/"+chatv1connect.ChatServiceName+"/")
	if chatv1.File_proto_chat_v1_chat_proto.Services().ByName("ChatService").Methods().ByName(protoreflect.Name(name)) == nil {
		return http.StatusNotFound, unsupported("there is no method " + strconv.Quote(clip(name)) + " here")
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, unsupported("methods are called with POST")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !contentTypes[kind] {
		return http.StatusUnsupportedMediaType, unsupported("the Content-Type must be application/json or application/proto")
	}
	return 0, nil
}

func (g *guard) tooLarge() *chatv1.Error {
	return &chatv1.Error{Code: chatv1.Error_CODE_TOO_LARGE, Message: "the body is larger than " + strconv.Itoa(g.MaxBodyBytes) + " bytes, the most that may be"}
}

// refuse answers in the protocol of the request.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, e *chatv1.Error) {
	// The client is gone if this fails.
	_ = g.errors.Write(w, r, asConnect(e))
}

// completer gives connect's own errors, which are about the request's form, the protocol's error as their detail.
type completer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (c *completer) WriteHeader(status int) {
	if status >= 400 && c.Header().Get("Content-Type") == "application/json" && c.Header().Get("Content-Encoding") == "" {
		c.status = status
		return
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *completer) Write(p []byte) (int, error) {
	if c.status != 0 {
		return c.body.Write(p)
	}
	return c.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (c *completer) Unwrap() http.ResponseWriter { return c.ResponseWriter }

type connectError struct {
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Details []json.RawMessage `json:"details,omitempty"`
}

// finish sends an error that was held back. tooLarge is what is said of a body that was.
func (c *completer) finish(tooLarge *chatv1.Error) {
	if c.status == 0 {
		return
	}
	var body connectError
	if err := json.Unmarshal(c.body.Bytes(), &body); err == nil && len(body.Details) == 0 {
		failed := formError(body, tooLarge)
		code := codes[failed.Code]
		if data, err := json.Marshal(connectError{code.String(), failed.Message, []json.RawMessage{detail(failed)}}); err == nil {
			c.body.Reset()
			c.body.Write(data)
			c.status = httpStatus[code]
			setRetryAfter(c.Header(), failed)
		}
	}
	c.Header().Del("Content-Length")
	c.ResponseWriter.WriteHeader(c.status)
	_, _ = c.ResponseWriter.Write(c.body.Bytes()) // the client is gone if this fails
}

// formError is an error of connect's own in the protocol's terms.
func formError(e connectError, tooLarge *chatv1.Error) *chatv1.Error {
	switch e.Code {
	case connect.CodeResourceExhausted.String():
		return tooLarge
	case connect.CodeUnimplemented.String():
		return unsupported(e.Message)
	case connect.CodeInternal.String():
		return &chatv1.Error{Code: chatv1.Error_CODE_INTERNAL, Message: e.Message}
	case connect.CodeDeadlineExceeded.String():
		return &chatv1.Error{Code: chatv1.Error_CODE_UNAVAILABLE, Message: "the request did not come to its end in time", RetryAfterMs: 1000}
	}
	// What could not be read, or ended early.
	return invalid("the request cannot be read: " + e.Message)
}

func detail(e *chatv1.Error) json.RawMessage {
	value, err := proto.Marshal(e)
	if err != nil {
		value = nil // a message that is not UTF-8: the code beside it has to do
	}
	data, _ := json.Marshal(map[string]string{"type": string(e.ProtoReflect().Descriptor().FullName()), "value": base64.RawStdEncoding.EncodeToString(value)})
	return data
}

func unsupported(message string) *chatv1.Error {
	return &chatv1.Error{Code: chatv1.Error_CODE_UNSUPPORTED, Message: message}
}

// clip keeps what a stranger wrote from filling a message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
