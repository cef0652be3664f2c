// Package chattest is a small chat server for the tests of the swarm and its workers: the protocol on real sockets, with
// logs in memory, and hooks by which a test lets it misbehave for one session and one event. Only tests import it.
package chattest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Server is one fleet with one or more endpoints. The hooks are set before the first session comes.
type Server struct {
	// User checks a token and names its user. nil: the token is the user.
	User func(token string) (string, error)
	// OnPush is called in place of c.Push for each event and session.
	OnPush func(c *Conn, ev *chatv1.Event)
	// OnDifference may change an answer before it is sent.
	OnDifference func(c *Conn, log string, answer *chatv1.DifferenceResponse)
	// OnState may change what a sign-in or an attach is told about a log.
	OnState func(c *Conn, cursor *chatv1.Cursor, state *chatv1.LogState)
	// Behind lets sessions that have missed something ask for the difference, where they would else be pushed it.
	Behind bool
	// DifferenceLimit is the most events of a slice; 0 is no limit. TooLongAfter is the most that are not too long.
	DifferenceLimit, TooLongAfter int
	// Resume hands out resume tokens that are good for so long; 0 hands out none. OnResume may refuse one.
	Resume   time.Duration
	OnResume func(token string) error
	// Limits is sent with the sign-in's answer.
	Limits *chatv1.Limits

	mu        sync.Mutex
	logs      map[string][]*chatv1.Event
	conns     map[*Conn]bool
	listeners []net.Listener
	handlers  sync.WaitGroup
	sessions  int
	requests  int
}

// Epoch is that of every log.
const Epoch = 7

// New returns a server that listens nowhere yet and ends with the test.
func New(t testing.TB) *Server {
	s := &Server{logs: map[string][]*chatv1.Event{}, conns: map[*Conn]bool{}}
	t.Cleanup(s.close)
	return s
}

// Listen opens one more endpoint and returns its address.
func (s *Server) Listen(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	s.handlers.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.handlers.Go(func() { s.serve(conn, l.Addr().String()) })
		}
	})
	return l.Addr().String()
}

// CutAll cuts every connection to an endpoint, or to all of them if it is empty, and returns how many.
func (s *Server) CutAll(endpoint string) int {
	n := 0
	for _, c := range s.Conns() {
		if endpoint == "" || c.Endpoint == endpoint {
			c.Cut()
			n++
		}
	}
	return n
}

// Close closes one endpoint with its connections.
func (s *Server) Close(endpoint string) {
	s.mu.Lock()
	for _, l := range s.listeners {
		if l.Addr().String() == endpoint {
			l.Close()
		}
	}
	s.mu.Unlock()
	s.CutAll(endpoint)
}

func (s *Server) close() {
	s.mu.Lock()
	for _, l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.CutAll("")
	s.handlers.Wait()
}

// Conns returns the connections that are signed in.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Conn
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Requests returns how many differences were asked for.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Post appends a message to a log and pushes it to every session there.
func (s *Server) Post(log string, data []byte) uint64 {
	return s.Append(&chatv1.Event{Log: log, Content: &chatv1.Event_Message{Message: &chatv1.Message{Data: data}}})
}

// Append appends an event at the next position of its log and pushes it.
func (s *Server) Append(ev *chatv1.Event) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev.Epoch, ev.Pts = Epoch, uint64(len(s.logs[ev.Log])+1)
	ev.Sender, ev.TimeMs = "poster", time.Now().UnixMilli()
	s.logs[ev.Log] = append(s.logs[ev.Log], ev)
	for c := range s.conns {
		if c.attached[ev.Log] {
			s.push(c, ev)
		}
	}
	return ev.Pts
}

// Events returns what a log holds.
func (s *Server) Events(log string) []*chatv1.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*chatv1.Event(nil), s.logs[log]...)
}

func (s *Server) push(c *Conn, ev *chatv1.Event) {
	if s.OnPush != nil {
		s.OnPush(c, ev)
		return
	}
	c.Push(ev)
}

func (s *Server) serve(conn net.Conn, endpoint string) {
	defer conn.Close()
	c := &Conn{Endpoint: endpoint, server: s, conn: conn, attached: map[string]bool{}}
	upgrader := ws.Upgrader{
		OnRequest: func(uri []byte) error {
			if string(uri) != "/v1/session" {
				return ws.RejectConnectionError(ws.RejectionStatus(http.StatusNotFound))
			}
			return nil
		},
		Protocol: func(name []byte) bool {
			return string(name) == "chatfleet.v1.proto" || string(name) == "chatfleet.v1.json"
		},
	}
	shake, err := upgrader.Upgrade(conn)
	if err != nil {
		return
	}
	c.JSON = shake.Protocol == "chatfleet.v1.json"
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	for {
		op, payload, err := readFrame(conn)
		if err != nil {
			return
		}
		switch op {
		case ws.OpClose:
			return
		case ws.OpPong:
			s.mu.Lock()
			c.pongs++
			s.mu.Unlock()
			continue
		case ws.OpPing:
			continue
		}
		if err := s.request(c, payload); err != nil {
			return
		}
	}
}

// readFrame reads one frame, which the swarm never fragments.
func readFrame(conn net.Conn) (ws.OpCode, []byte, error) {
	header, err := ws.ReadHeader(conn)
	if err != nil {
		return 0, nil, err
	}
	if header.Length > 1<<20 {
		return 0, nil, errors.New("a frame of more than a megabyte")
	}
	payload := make([]byte, header.Length)
	if _, err := io.ReadFull(conn, payload); err != nil {
		return 0, nil, err
	}
	ws.Cipher(payload, header.Mask, 0)
	return header.OpCode, payload, nil
}

func (s *Server) request(c *Conn, payload []byte) error {
	var f chatv1.ClientFrame
	var err error
	if c.JSON {
		err = protojson.Unmarshal(payload, &f)
	} else {
		err = proto.Unmarshal(payload, &f)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch body := f.Body.(type) {
	case *chatv1.ClientFrame_SignIn:
		return s.signIn(c, f.Ref, body.SignIn)
	case *chatv1.ClientFrame_Attach:
		states, behind := s.attach(c, body.Attach.Cursors)
		c.Send(&chatv1.ServerFrame{Ref: f.Ref, Body: &chatv1.ServerFrame_Attached{Attached: &chatv1.AttachResponse{Logs: states}}})
		s.catchUp(c, behind)
	case *chatv1.ClientFrame_Difference:
		s.requests++
		c.Send(&chatv1.ServerFrame{Ref: f.Ref, Body: &chatv1.ServerFrame_Difference{Difference: s.difference(c, body.Difference)}})
	case *chatv1.ClientFrame_Renew:
		c.Send(&chatv1.ServerFrame{Ref: f.Ref, Body: &chatv1.ServerFrame_Renewed{Renewed: &chatv1.RenewResponse{Resume: s.resumption(c)}}})
	case *chatv1.ClientFrame_Ping:
		c.pings++
		c.Send(&chatv1.ServerFrame{Ref: f.Ref, Body: &chatv1.ServerFrame_Pong{Pong: &chatv1.PingResponse{Nonce: body.Ping.Nonce}}})
	}
	return nil
}

func (s *Server) signIn(c *Conn, ref uint32, in *chatv1.SignInRequest) error {
	var err error
	if c.User, err = s.authenticate(in); err != nil {
		c.Send(&chatv1.ServerFrame{Ref: ref, Body: &chatv1.ServerFrame_Error{Error: &chatv1.Error{
			Code: chatv1.Error_CODE_UNAUTHENTICATED, Message: err.Error()}}})
		return errors.New("not authenticated")
	}
	s.sessions++
	s.conns[c] = true
	states, behind := s.attach(c, in.Cursors)
	c.Send(&chatv1.ServerFrame{Ref: ref, Body: &chatv1.ServerFrame_SignedIn{SignedIn: &chatv1.SignInResponse{
		User: c.User, Logs: states, Limits: s.Limits, ServerTimeMs: time.Now().UnixMilli(), Resume: s.resumption(c)}}})
	s.catchUp(c, behind)
	return nil
}

// resumePrefix begins a resume token; its user is the rest of it.
const resumePrefix = "resume-"

// authenticate names the user of a sign-in, by its resume token if it has one.
func (s *Server) authenticate(in *chatv1.SignInRequest) (string, error) {
	if in.ResumeToken != "" {
		user, ok := strings.CutPrefix(in.ResumeToken, resumePrefix)
		switch {
		case !ok:
			return "", errors.New("that is no resume token")
		case s.OnResume != nil:
			return user, s.OnResume(in.ResumeToken)
		}
		return user, nil
	}
	if s.User != nil {
		return s.User(in.Token)
	}
	return in.Token, nil
}

func (s *Server) resumption(c *Conn) *chatv1.ResumeToken {
	if s.Resume == 0 {
		return nil
	}
	return &chatv1.ResumeToken{Token: resumePrefix + c.User, ExpiresMs: time.Now().Add(s.Resume).UnixMilli()}
}

// attach answers cursors, and returns the events that are to be pushed after the answer.
func (s *Server) attach(c *Conn, cursors []*chatv1.Cursor) (states []*chatv1.LogState, missed []*chatv1.Event) {
	for _, cur := range cursors {
		log := s.logs[cur.Log]
		st := &chatv1.LogState{Log: cur.Log, Epoch: Epoch, Pts: uint64(len(log)), Status: chatv1.LogState_STATUS_LIVE}
		switch {
		case cur.Epoch == 0:
		case cur.Epoch != Epoch, s.Behind && cur.Pts < st.Pts:
			st.Status = chatv1.LogState_STATUS_BEHIND
		default:
			st.Pts = cur.Pts
		}
		if s.OnState != nil {
			s.OnState(c, cur, st)
		}
		if st.Status != chatv1.LogState_STATUS_REFUSED {
			c.attached[cur.Log] = true
			missed = append(missed, log[st.Pts:]...)
		}
		states = append(states, st)
	}
	return states, missed
}

func (s *Server) catchUp(c *Conn, missed []*chatv1.Event) {
	for _, ev := range missed {
		s.push(c, ev)
	}
}

func (s *Server) difference(c *Conn, in *chatv1.DifferenceRequest) *chatv1.DifferenceResponse {
	log := s.logs[in.Cursor.Log]
	d := &chatv1.DifferenceResponse{Kind: chatv1.DifferenceResponse_KIND_FINAL}
	switch from := in.Cursor.Pts; {
	case in.Cursor.Epoch != Epoch, s.TooLongAfter > 0 && uint64(len(log)) > from+uint64(s.TooLongAfter):
		d.Kind = chatv1.DifferenceResponse_KIND_TOO_LONG
		d.Events = log[max(len(log)-2, 0):]
	case from == uint64(len(log)):
		d.Kind = chatv1.DifferenceResponse_KIND_EMPTY
	default:
		d.Events = log[from:]
		if s.DifferenceLimit > 0 && len(d.Events) > s.DifferenceLimit {
			d.Kind = chatv1.DifferenceResponse_KIND_SLICE
			d.Events = d.Events[:s.DifferenceLimit]
		}
	}
	d.Cursor = &chatv1.Cursor{Log: in.Cursor.Log, Epoch: Epoch, Pts: in.Cursor.Pts}
	if n := len(d.Events); n > 0 {
		d.Cursor.Pts = d.Events[n-1].Pts
	}
	if s.OnDifference != nil {
		s.OnDifference(c, in.Cursor.Log, d)
	}
	return d
}
