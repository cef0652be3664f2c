package planted

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/gobwas/ws"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// hang bounds what would otherwise hang.
const hang = 20 * time.Second

// shard is the least that a proxy can stand in front of: it signs everybody in, pushes what the test says, answers a
// difference with all that was pushed, and posts by counting.
type shard struct {
	chatv1connect.UnimplementedChatServiceHandler
	addr string

	mu       sync.Mutex
	sessions []*shardSession
	events   []*chatv1.Event
	posts    []*chatv1.PostRequest
}

type shardSession struct {
	conn     net.Conn
	encoding encoding
	opcode   ws.OpCode
	mu       sync.Mutex
}

func startShard(t *testing.T) *shard {
	s := &shard{}
	mux := http.NewServeMux()
	mux.Handle(chatv1connect.NewChatServiceHandler(s))
	mux.HandleFunc("/v1/session", s.session)
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Forwarded", r.Header.Get("X-Forwarded-For"))
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(body)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.sessions {
			c.conn.Close()
		}
	})
	s.addr = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *shard) session(w http.ResponseWriter, r *http.Request) {
	json := r.Header.Get("Sec-WebSocket-Protocol") == "chatfleet.v1.json"
	conn, buffered, _, err := ws.HTTPUpgrader{Protocol: func(string) bool { return true }}.Upgrade(r, w)
	if err != nil {
		return
	}
	c := &shardSession{conn: conn, encoding: inProtobuf, opcode: ws.OpBinary}
	if json {
		c.encoding, c.opcode = inJSON, ws.OpText
	}
	s.mu.Lock()
	s.sessions = append(s.sessions, c)
	s.mu.Unlock()
	defer conn.Close()
	for {
		header, _, payload, err := readFrame(buffered.Reader, 1<<20)
		if err != nil {
			return
		}
		if header.OpCode == ws.OpPing {
			c.write(ws.NewPongFrame(payload))
			continue
		}
		var frame chatv1.ClientFrame
		if c.encoding.unmarshal(payload, &frame) == nil {
			c.send(s.answer(&frame))
		}
	}
}

func (s *shard) answer(frame *chatv1.ClientFrame) *chatv1.ServerFrame {
	answer := &chatv1.ServerFrame{Ref: frame.Ref}
	switch body := frame.Body.(type) {
	case *chatv1.ClientFrame_SignIn:
		answer.Body = &chatv1.ServerFrame_SignedIn{SignedIn: &chatv1.SignInResponse{User: body.SignIn.Token}}
	case *chatv1.ClientFrame_Post:
		posted, _ := s.Post(context.Background(), connect.NewRequest(body.Post))
		answer.Body = &chatv1.ServerFrame_Posted{Posted: posted.Msg}
	case *chatv1.ClientFrame_Difference:
		s.mu.Lock()
		defer s.mu.Unlock()
		answer.Body = &chatv1.ServerFrame_Difference{Difference: &chatv1.DifferenceResponse{
			Kind: chatv1.DifferenceResponse_KIND_FINAL, Events: slices.Clone(s.events),
			Cursor: &chatv1.Cursor{Log: "c1", Epoch: 1, Pts: uint64(len(s.events))}}}
	}
	return answer
}

func (s *shard) Post(_ context.Context, r *connect.Request[chatv1.PostRequest]) (*connect.Response[chatv1.PostResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts = append(s.posts, r.Msg)
	return connect.NewResponse(&chatv1.PostResponse{Log: r.Msg.Log, Epoch: 1, Pts: uint64(100 + len(s.posts))}), nil
}

// push brings an event of log c1 to all sessions.
func (s *shard) push(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &chatv1.Event{Log: "c1", Epoch: 1, Pts: uint64(len(s.events) + 1),
		Content: &chatv1.Event_Message{Message: &chatv1.Message{Text: text}}}
	s.events = append(s.events, e)
	for _, c := range s.sessions {
		c.send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: e}})
	}
}

func (c *shardSession) send(frame *chatv1.ServerFrame) {
	payload, _ := c.encoding.marshal(frame)
	c.write(ws.NewFrame(c.opcode, true, payload))
}

func (c *shardSession) write(f ws.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = ws.WriteFrame(c.conn, f)
}

// device is a client that shows what reaches it.
type device struct {
	t        *testing.T
	conn     net.Conn
	reader   *bufio.Reader
	encoding encoding
	opcode   ws.OpCode
	ref      uint32
}

func dialDevice(t *testing.T, addr, subprotocol, name string) *device {
	t.Helper()
	conn, reader, _, err := ws.Dialer{Protocols: []string{subprotocol}}.Dial(context.Background(), "ws://"+addr+"/v1/session")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if reader == nil {
		reader = bufio.NewReader(conn)
	}
	d := &device{t: t, conn: conn, reader: reader, encoding: inProtobuf, opcode: ws.OpBinary}
	if subprotocol == "chatfleet.v1.json" {
		d.encoding, d.opcode = inJSON, ws.OpText
	}
	d.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{Token: "alice", Device: name}}})
	if f := d.next(); f.GetSignedIn().GetUser() != "alice" {
		t.Fatalf("signed in: %v", f)
	}
	return d
}

func (d *device) send(frame *chatv1.ClientFrame) {
	d.t.Helper()
	d.ref++
	frame.Ref = d.ref
	payload, err := d.encoding.marshal(frame)
	if err == nil {
		err = ws.WriteFrame(d.conn, ws.MaskFrame(ws.NewFrame(d.opcode, true, payload)))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) next() *chatv1.ServerFrame {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(hang))
	_, _, payload, err := readFrame(d.reader, 1<<20)
	if err != nil {
		d.t.Fatal(err)
	}
	var frame chatv1.ServerFrame
	if err := d.encoding.unmarshal(payload, &frame); err != nil {
		d.t.Fatal(err)
	}
	return &frame
}

// pushed reads n events and returns their positions.
func (d *device) pushed(n int) (positions []uint64) {
	d.t.Helper()
	for range n {
		f := d.next()
		if f.GetEvent() == nil {
			d.t.Fatalf("got %v, want an event", f)
		}
		positions = append(positions, f.GetEvent().Pts)
	}
	return positions
}

func (d *device) difference() (positions []uint64) {
	d.t.Helper()
	d.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Difference{Difference: &chatv1.DifferenceRequest{}}})
	for _, e := range d.next().GetDifference().GetEvents() {
		positions = append(positions, e.Pts)
	}
	return positions
}

func (d *device) post(id uint64) *chatv1.PostResponse {
	d.t.Helper()
	d.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Post{Post: &chatv1.PostRequest{Log: "c1", RandomId: id}}})
	return d.next().GetPosted()
}

func startProxy(t *testing.T, s *shard, plan Plan) *Proxy {
	t.Helper()
	p, err := Start(Config{Target: s.addr, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func both(t *testing.T, test func(t *testing.T, subprotocol string)) {
	for _, subprotocol := range []string{"chatfleet.v1.proto", "chatfleet.v1.json"} {
		t.Run(subprotocol, func(t *testing.T) { test(t, subprotocol) })
	}
}

func want[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestPositionsThatReachTheDevice(t *testing.T) {
	for name, test := range map[string]struct {
		plan  Plan
		want  []uint64 // of 6 pushed
		after []uint64 // what a difference then brings
		count Counts
	}{
		"nothing": {Plan{}, []uint64{1, 2, 3, 4, 5, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{}},
		"drop from pushes": {Plan{Drop: Rule{Numbers: []uint64{2, 5}}},
			[]uint64{1, 3, 4, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{Dropped: 2}},
		"drop for good": {Plan{Drop: Rule{Numbers: []uint64{2, 5}}, DropForGood: true},
			[]uint64{1, 3, 4, 6}, []uint64{1, 3, 4, 6}, Counts{Dropped: 2, KeptBack: 2}},
		"double": {Plan{Double: Rule{Numbers: []uint64{3}}},
			[]uint64{1, 2, 3, 3, 4, 5, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{Doubled: 1}},
		"swap": {Plan{Swap: Rule{Numbers: []uint64{3}}},
			[]uint64{1, 2, 4, 3, 5, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{Swapped: 1}},
		"swap of the last one comes late, and is none": {Plan{Swap: Rule{Numbers: []uint64{6}}, SwapWithin: time.Millisecond},
			[]uint64{1, 2, 3, 4, 5, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{}},
		"a swap of what is swapped": {Plan{Swap: Rule{Numbers: []uint64{3, 4}}},
			[]uint64{1, 2, 3, 5, 4, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{Swapped: 1}},
		"one fault a delivery": {Plan{Drop: Rule{Numbers: []uint64{2}}, Double: Rule{Numbers: []uint64{2, 3}}},
			[]uint64{1, 3, 3, 4, 5, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{Dropped: 1, Doubled: 1}},
		"at most": {Plan{Drop: Rule{Share: 1, Most: 2}},
			[]uint64{3, 4, 5, 6}, []uint64{1, 2, 3, 4, 5, 6}, Counts{Dropped: 2}},
		"only": {Plan{Drop: Rule{Share: 1, Only: func(o Occasion) bool { return o.Event.Pts > 4 && o.Device == "phone" && o.User == "alice" }}},
			[]uint64{1, 2, 3, 4}, []uint64{1, 2, 3, 4, 5, 6}, Counts{Dropped: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, subprotocol string) {
				s := startShard(t)
				p := startProxy(t, s, test.plan)
				d := dialDevice(t, p.Addr(), subprotocol, "phone")
				for i := range 6 {
					s.push(fmt.Sprint(i))
				}
				want(t, "pushed", d.pushed(len(test.want)), test.want...)
				want(t, "difference", d.difference(), test.after...)
				test.count.Connections, test.count.Deliveries = 1, 6
				if got := p.Counts(); got != test.count {
					t.Errorf("counted %+v, want %+v", got, test.count)
				}
			})
		})
	}
}

func TestWhatIsLostForGoodIsLostToThatDeviceOnly(t *testing.T) {
	s := startShard(t)
	p := startProxy(t, s, Plan{DropForGood: true, Drop: Rule{Share: 1, Only: func(o Occasion) bool {
		return o.Device == "phone" && o.Event.Pts == 1
	}}})
	phone := dialDevice(t, p.Addr(), "chatfleet.v1.proto", "phone")
	desk := dialDevice(t, p.Addr(), "chatfleet.v1.proto", "desk")
	s.push("one")
	s.push("two")
	want(t, "desk", desk.pushed(2), 1, 2)
	want(t, "phone", phone.pushed(1), 2)
	again := dialDevice(t, p.Addr(), "chatfleet.v1.json", "phone")
	want(t, "phone, connected again", again.difference(), 2)
	want(t, "desk's difference", desk.difference(), 1, 2)
	faults := p.Faults()
	if len(faults) != 1 || faults[0].What != "drop" || faults[0].Device != "phone" || faults[0].Event.Pts != 1 || faults[0].Connection != 1 {
		t.Errorf("listed %+v", faults)
	}
}

func TestDelayHoldsTheConnectionInOrder(t *testing.T) {
	s := startShard(t)
	const by = 150 * time.Millisecond
	p := startProxy(t, s, Plan{Delay: Rule{Numbers: []uint64{2}}, DelayBy: by})
	d := dialDevice(t, p.Addr(), "chatfleet.v1.proto", "phone")
	begun := time.Now()
	for range 3 {
		s.push("x")
	}
	want(t, "pushed", d.pushed(3), 1, 2, 3)
	if took := time.Since(begun); took < by {
		t.Errorf("arrived after %v, want at least %v", took, by)
	}
	if got := p.Counts().Delayed; got != 1 {
		t.Errorf("counted %d", got)
	}
}

func TestCutEndsTheConnectionInTheFrame(t *testing.T) {
	both(t, func(t *testing.T, subprotocol string) {
		s := startShard(t)
		p := startProxy(t, s, Plan{Cut: Rule{Numbers: []uint64{2}}})
		d := dialDevice(t, p.Addr(), subprotocol, "phone")
		s.push("one")
		s.push("two")
		want(t, "pushed", d.pushed(1), 1)
		_ = d.conn.SetReadDeadline(time.Now().Add(hang))
		rest, err := io.ReadAll(d.reader)
		if err != nil || len(rest) == 0 {
			t.Fatalf("after the cut: %d bytes, %v", len(rest), err)
		}
		if _, _, _, err := readFrame(bufio.NewReader(bytes.NewReader(rest)), 1<<20); err != io.ErrUnexpectedEOF {
			t.Fatalf("what came before the cut reads as a frame: %v", err)
		}
		if got := p.Counts().CutOff; got != 1 {
			t.Errorf("counted %d", got)
		}
	})
}

func TestSwallowedPostsOfSessions(t *testing.T) {
	both(t, func(t *testing.T, subprotocol string) {
		s := startShard(t)
		p := startProxy(t, s, Plan{Swallow: Rule{Numbers: []uint64{1}}})
		d := dialDevice(t, p.Addr(), subprotocol, "phone")
		if got := d.post(1); got.Pts != 101 { // no occasion: nothing is known of the log yet
			t.Fatalf("first: %v", got)
		}
		if got := d.post(2); got.Pts != 102 || got.Epoch != 1 || got.Log != "c1" || got.Repeated {
			t.Fatalf("swallowed: %v", got)
		}
		if got := d.post(2); got.Pts != 102 || !got.Repeated {
			t.Fatalf("swallowed again: %v", got)
		}
		if got := d.post(3); got.Pts != 102 {
			t.Fatalf("third: %v", got)
		}
		if len(s.posts) != 2 {
			t.Fatalf("%d posts reached the shard, want 2", len(s.posts))
		}
		if got := p.Counts(); got.Swallowed != 1 || got.SwallowedAgain != 1 {
			t.Errorf("counted %+v", got)
		}
	})
}

func TestSwallowedPostsOverHTTP(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{
		"protobuf": nil,
		"json":     {connect.WithProtoJSON()},
		"gzip":     {connect.WithSendGzip(), connect.WithCompressMinBytes(1)},
	} {
		t.Run(name, func(t *testing.T) {
			s := startShard(t)
			p := startProxy(t, s, Plan{Swallow: Rule{Numbers: []uint64{1}}})
			c := chatv1connect.NewChatServiceClient(http.DefaultClient, "http://"+p.Addr(), options...)
			var positions []uint64
			for id := range uint64(3) {
				r, err := c.Post(context.Background(), connect.NewRequest(&chatv1.PostRequest{Log: "c1", RandomId: id + 1}))
				if err != nil {
					t.Fatal(err)
				}
				positions = append(positions, r.Msg.Pts)
			}
			want(t, "positions", positions, 101, 102, 102)
			if len(s.posts) != 2 || s.posts[1].RandomId != 3 {
				t.Errorf("the shard got %v", s.posts)
			}
			f := p.Faults()
			if len(f) != 1 || f[0].What != "swallow" || f[0].Post.RandomId != 2 || f[0].Answered.Pts != 102 {
				t.Errorf("listed %+v", f)
			}
			// Errors of the shard pass too.
			_, err := c.Join(context.Background(), connect.NewRequest(&chatv1.JoinRequest{Log: "c1"}))
			if connect.CodeOf(err) != connect.CodeUnimplemented {
				t.Errorf("join: %v", err)
			}
		})
	}
}

func TestOtherRequestsPass(t *testing.T) {
	s := startShard(t)
	p := startProxy(t, s, Plan{})
	r, err := http.Post("http://"+p.Addr()+"/echo", "text/plain", strings.NewReader("as it is"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusTeapot || string(body) != "as it is" || r.Header.Get("X-Method") != "POST" || r.Header.Get("X-Forwarded") != "" {
		t.Fatalf("got %v, %q", r, body)
	}
}

func TestFramesPassByteForByte(t *testing.T) {
	s := startShard(t)
	p := startProxy(t, s, Plan{})
	d := dialDevice(t, p.Addr(), "chatfleet.v1.proto", "phone")
	session := s.sessions[0]
	var sent bytes.Buffer
	for _, f := range []ws.Frame{
		ws.NewFrame(ws.OpBinary, true, []byte{0xff, 0xff, 0xff}),      // no protobuf
		ws.NewFrame(ws.OpText, true, []byte("not this sub-protocol")), //
		ws.NewFrame(ws.OpBinary, false, bytes.Repeat([]byte{1}, 300)), // in pieces
		ws.NewFrame(ws.OpContinuation, true, bytes.Repeat([]byte{2}, 70_000)),
		ws.NewPingFrame([]byte("ping")),
		ws.NewCloseFrame(ws.NewCloseFrameBody(4003, "token")),
	} {
		_ = ws.WriteFrame(&sent, f)
	}
	go func() { _, _ = session.conn.Write(sent.Bytes()) }()
	got := make([]byte, sent.Len())
	_ = d.conn.SetReadDeadline(time.Now().Add(hang))
	if _, err := io.ReadFull(d.reader, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent.Bytes()) {
		t.Fatal("the frames were altered")
	}
	if err := ws.WriteFrame(d.conn, ws.MaskFrame(ws.NewPingFrame([]byte("up")))); err != nil {
		t.Fatal(err)
	}
	if header, _, payload, err := readFrame(d.reader, 100); err != nil || header.OpCode != ws.OpPong || string(payload) != "up" {
		t.Fatalf("%v %q %v", header, payload, err)
	}
}

func TestSharesAreDrawnFromTheSeed(t *testing.T) {
	hits := func(seed uint64) (n []int) {
		x := newPicker(Plan{Seed: seed, Drop: Rule{Share: 0.01}, Double: Rule{Share: 0.5}})
		for i := range 10_000 {
			if k, ok := x.pick(Occasion{}, drop, double); ok && k == drop {
				n = append(n, i)
			}
		}
		return n
	}
	a, b, other := hits(1), hits(1), hits(2)
	if !slices.Equal(a, b) {
		t.Error("the same seed picked others")
	}
	if slices.Equal(a, other) {
		t.Error("another seed picked the same")
	}
	if len(a) < 60 || len(a) > 140 {
		t.Errorf("picked %d of 10,000 with a share of 1 %%", len(a))
	}
}

func TestClosingEndsSessions(t *testing.T) {
	s := startShard(t)
	p := startProxy(t, s, Plan{Delay: Rule{Share: 1}, DelayBy: time.Hour, Swap: Rule{Numbers: []uint64{1}}, SwapWithin: time.Hour})
	d := dialDevice(t, p.Addr(), "chatfleet.v1.proto", "phone")
	s.push("held")
	s.push("delayed")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	_ = d.conn.SetReadDeadline(time.Now().Add(hang))
	if _, err := io.Copy(io.Discard, d.reader); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Fatalf("the session goes on: %v", err)
	}
	if _, err := http.Get("http://" + p.Addr() + "/echo"); err == nil {
		t.Fatal("the proxy still answers")
	}
}

func TestRefusedHandshakePasses(t *testing.T) {
	s := startShard(t)
	p := startProxy(t, s, Plan{})
	_, _, _, err := ws.Dialer{}.Dial(context.Background(), "ws://"+p.Addr()+"/elsewhere")
	if status, ok := err.(ws.StatusError); !ok || int(status) != http.StatusNotFound {
		t.Fatalf("got %v, want the shard's 404", err)
	}
}
