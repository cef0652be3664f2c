package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// answer is what came back to a stranger.
type answer struct {
	status  int
	close   engine.CloseCode
	code    chatv1.Error_Code
	field   string
	message string
	retry   bool
	// ok are the frames that refuse nothing; err is why reading ended, if not with an answer.
	ok  []*chatv1.ServerFrame
	err error
}

func (a answer) String() string {
	return fmt.Sprintf("status %d, close %d, %v in %q, says %q, when to come back: %v, beside %d other frames, end: %v",
		a.status, a.close, a.code, a.field, a.message, a.retry, len(a.ok), a.err)
}

// take notes what an error of the protocol says.
func (a *answer) take(e *chatv1.Error) {
	a.code, a.field, a.message, a.retry = e.GetCode(), e.GetField(), e.GetMessage(), e.GetRetryAfterMs() > 0
}

// stranger is the other end of a connection, who sends whatever bytes he likes.
type stranger struct {
	door *door
	conn net.Conn
	in   *bufio.Reader
	enc  engine.Encoding
	// answered is closed at the first answer to a request, over when nobody reads any more.
	answered, over chan struct{}
}

// lastRef is the ref of the ping by which a stranger finds out whether his session goes on.
const lastRef = 4_000_000_000

// drive does what a row says.
func (d *door) drive(t *testing.T, r refusal) answer {
	from := d.address()
	for range r.crowd.n {
		defer d.connect(t, from, r.crowd.at).mingle(t, r.crowd).Close()
	}
	data := r.send(d)
	s := d.connect(t, from, r.at)
	defer s.conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		s.send(data, r)
		if r.then != nil {
			s.goOn(r.then)
		}
	}()
	var got answer
	if r.at == connected {
		got = s.hearHTTP()
	} else {
		got = s.hearSession(r.want, sent)
	}
	s.conn.Close()
	close(s.over)
	<-sent
	return got
}

// goOn sends what comes after the first answer.
func (s *stranger) goOn(then func(*door) []byte) {
	select {
	case <-s.answered:
		_, _ = s.conn.Write(then(s.door)) // the server may have hung up: reading tells
	case <-s.over:
	}
}

// connect makes a connection that has come to a stage.
func (d *door) connect(t testing.TB, from string, at stage) *stranger {
	t.Helper()
	conn, err := d.dial(from)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	s := &stranger{door: d, conn: conn, in: bufio.NewReader(conn), answered: make(chan struct{}), over: make(chan struct{})}
	if err := s.come(at); err != nil {
		conn.Close()
		t.Fatal(err)
	}
	return s
}

// mingle does what one of a crowd does, and returns the connection.
func (s *stranger) mingle(t *testing.T, c crowd) net.Conn {
	if c.send != nil {
		if _, err := s.conn.Write(c.send(s.door)); err != nil {
			t.Fatal(err)
		}
		if a := s.hearHTTP(); a.err != nil {
			t.Fatal(a.err)
		}
	}
	if c.leaves {
		s.hangUp()
		_, _ = io.Copy(io.Discard, s.in) // to the server's end of it
	}
	return s.conn
}

// send writes. The server may well have hung up before the end of it.
func (s *stranger) send(data []byte, r refusal) {
	if r.slowly != atOnce {
		first := 12
		if r.slowly == theBody {
			first = bytes.Index(data, []byte("\r\n\r\n")) + 4
		}
		_, err := s.conn.Write(data[:first])
		for rest := data[first:]; err == nil; rest = append(rest[1:], rest[0]) {
			time.Sleep(250 * time.Millisecond)
			_, err = s.conn.Write(rest[:1])
		}
		return
	}
	if _, err := s.conn.Write(data); err == nil && r.hangUp {
		s.hangUp()
	}
}

// hangUp says that no more will come.
func (s *stranger) hangUp() {
	if c, ok := s.conn.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
}

// come brings the connection to a stage.
func (s *stranger) come(at stage) error {
	if at == connected {
		return nil
	}
	subprotocol := engine.SubprotocolProtobuf
	if at == openedJSON || at == inJSON {
		s.enc, subprotocol = engine.JSON, engine.SubprotocolJSON
	}
	if _, err := s.conn.Write(upgrade(s.door, "Sec-WebSocket-Protocol", subprotocol)); err != nil {
		return err
	}
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the handshake was answered %s", res.Status)
	}
	if at == openedJSON || at == openedBinary {
		return nil
	}
	if _, err := s.conn.Write(message(s.enc, signIn(s.door.token("mallory")))); err != nil {
		return err
	}
	if f, _, _, err := s.readFrame(); err != nil || f.GetSignedIn() == nil {
		return fmt.Errorf("the sign-in was answered %v (%w)", f, err)
	}
	return nil
}

// hearHTTP reads one answer to a request.
func (s *stranger) hearHTTP() answer {
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return answer{err: err}
	}
	a := answer{status: res.StatusCode}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return a
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		a.err = err
		return a
	}
	if res.StatusCode == http.StatusOK {
		return a
	}
	a.message, a.code = string(body), -1
	a.takeBody(body)
	a.retry = res.Header.Get("Retry-After") != ""
	return a
}

// takeBody reads an error from a body: connect's with the protocol's as its detail, or the one of a refused handshake.
func (a *answer) takeBody(body []byte) {
	var e struct {
		Code, Message string
		Details       []struct{ Type, Value string }
	}
	if json.Unmarshal(body, &e) != nil {
		return
	}
	if n, ok := chatv1.Error_Code_value[e.Code]; ok {
		a.code, a.message = chatv1.Error_Code(n), e.Message
		return
	}
	for _, detail := range e.Details {
		raw, err := base64.RawStdEncoding.DecodeString(detail.Value)
		failed := new(chatv1.Error)
		if err == nil && detail.Type == "chatfleet.chat.v1.Error" && proto.Unmarshal(raw, failed) == nil {
			a.take(failed)
			return
		}
	}
}

// hearSession reads until what is wanted has come and the session has answered a ping after it, or until its end.
func (s *stranger) hearSession(w want, sent <-chan struct{}) answer {
	var a answer
	if w.close == 0 {
		// The session is to go on: once all is sent, a ping is answered after everything else.
		go func() {
			<-sent
			_, _ = s.conn.Write(message(s.enc, ping(lastRef)))
		}()
	}
	ponged, answered := false, false
	for {
		f, code, reason, err := s.readFrame()
		if ref := f.GetRef(); ref != 0 && ref != lastRef && !answered {
			answered = true
			close(s.answered)
		}
		switch {
		case err != nil:
			a.err = err
			return a
		case code != 0:
			a.close = code
			if a.message == "" {
				a.message = reason
			}
			a.err = s.wantEnd()
			return a
		case f == nil: // a pong
		case f.GetPong() != nil && f.GetRef() == lastRef:
			ponged = true
		case f.GetRef() == lastRef:
			// Not signed in yet, or too many requests: once more, a little later.
			time.Sleep(max(50*time.Millisecond, time.Duration(f.GetError().GetRetryAfterMs())*time.Millisecond))
			go func() { _, _ = s.conn.Write(message(s.enc, ping(lastRef))) }()
		case f.GetError() != nil:
			if a.code == 0 || f.GetError().GetCode() == w.code {
				a.take(f.GetError())
			}
		default:
			a.ok = append(a.ok, f)
			a.takeStates(f, w)
		}
		if ponged && w.close == 0 && (w.fine || a.code == w.code) {
			return a
		}
	}
}

// takeStates looks for the refusal of a log in the answer to an attach.
func (a *answer) takeStates(f *chatv1.ServerFrame, w want) {
	for _, state := range slices.Concat(f.GetAttached().GetLogs(), f.GetSignedIn().GetLogs()) {
		if state.GetStatus() == chatv1.LogState_STATUS_REFUSED && (a.code == 0 || a.code != w.code) {
			a.take(state.GetError())
		}
	}
}

// wantEnd answers a close frame, and waits for the end of the connection.
func (s *stranger) wantEnd() error {
	_, _ = s.conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(nil))))
	s.hangUp()
	_, err := io.Copy(io.Discard, s.in)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("the connection stays open after the close frame")
	}
	return nil
}

// readFrame reads one WebSocket frame: a message, a close frame, or a pong, of which it returns nothing.
func (s *stranger) readFrame() (f *chatv1.ServerFrame, code engine.CloseCode, reason string, err error) {
	h, err := ws.ReadHeader(s.in)
	if err != nil {
		return nil, 0, "", err
	}
	if err := ws.CheckHeader(h, ws.StateClientSide); err != nil || h.Length > 16<<20 {
		return nil, 0, "", fmt.Errorf("the server sent a bad frame of %d bytes: %w", h.Length, err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return nil, 0, "", err
	}
	switch h.OpCode {
	case ws.OpClose:
		c, reason := ws.ParseCloseFrameData(payload)
		return nil, engine.CloseCode(c), reason, nil
	case ws.OpPong:
		return nil, 0, "", nil
	case s.enc.OpCode():
		f = new(chatv1.ServerFrame)
		if s.enc == engine.JSON {
			return f, 0, "", protojson.Unmarshal(payload, f)
		}
		return f, 0, "", proto.Unmarshal(payload, f)
	}
	return nil, 0, "", fmt.Errorf("the server sent a frame of kind %d", h.OpCode)
}

// What strangers send.

// request is the bytes of an HTTP request; headers are lines.
func request(d *door, method, path, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, d.addr)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// upgrade is a good WebSocket handshake but for the headers that change names: name, value, name, value; an empty value leaves one out.
func upgrade(d *door, change ...string) []byte {
	headers := [][2]string{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"},
		{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}, {"Sec-WebSocket-Protocol", engine.SubprotocolJSON}}
	for pair := range slices.Chunk(change, 2) {
		headers = slices.DeleteFunc(headers, func(h [2]string) bool { return h[0] == pair[0] })
		if pair[1] != "" {
			headers = append(headers, [2]string{pair[0], pair[1]})
		}
	}
	var lines []string
	for _, h := range headers {
		lines = append(lines, h[0]+": "+h[1])
	}
	return request(d, "GET", gateway.SessionPath, "", lines...)
}

// call is a request to a method, with a good token and a body of JSON.
func call(d *door, method, body string, headers ...string) []byte {
	return request(d, "POST", "/chatfleet.chat.v1.ChatService/"+method, body,
		append([]string{"Authorization: Bearer " + d.token("mallory"), "Content-Type: application/json"}, headers...)...)
}

// frame is a WebSocket frame as a client sends it, masked, first is its first byte.
func frame(first byte, payload []byte) []byte {
	f := ws.MaskFrameWith(ws.NewFrame(ws.OpBinary, true, payload), [4]byte{1, 2, 3, 4})
	data := ws.MustCompileFrame(f)
	data[0] = first
	return data
}

// First bytes of frames.
const (
	fin    = 0x80
	text   = 0x1
	bin    = 0x2
	closed = 0x8
	pinged = 0x9
)

func textFrame(payload string) []byte   { return frame(fin|text, []byte(payload)) }
func binaryFrame(payload string) []byte { return frame(fin|bin, []byte(payload)) }

func message(enc engine.Encoding, f *chatv1.ClientFrame) []byte {
	marshal, first := proto.Marshal, byte(fin|bin)
	if enc == engine.JSON {
		marshal, first = protojson.Marshal, fin|text
	}
	data, err := marshal(f)
	if err != nil {
		panic(err)
	}
	return frame(first, data)
}

func signIn(token string, cursors ...*chatv1.Cursor) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
		Token: token, Device: "phone", Client: "mallory/1", Cursors: cursors}}}
}

func ping(ref uint32) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Ref: ref, Body: &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{}}}
}

func repeat(n int, one func(i int) []byte) []byte {
	var all []byte
	for i := range n {
		all = append(all, one(i)...)
	}
	return all
}

func bytesOf(data ...[]byte) func(*door) []byte {
	return func(*door) []byte { return bytes.Join(data, nil) }
}

func textOf(payload string) func(*door) []byte { return bytesOf(textFrame(payload)) }

// says is JSON with the world's names in it.
func says(payload string) func(*door) []byte {
	return func(d *door) []byte { return textFrame(d.fill(payload)) }
}

// fill puts the world's names into a text.
func (w *world) fill(text string) string {
	return strings.NewReplacer("@channel", w.channel, "@group", w.group, "@his", w.his, "@epoch", fmt.Sprint(w.epoch),
		"@yesterday", fmt.Sprint(time.Now().Add(-25*time.Hour).UnixMilli())).Replace(text)
}
