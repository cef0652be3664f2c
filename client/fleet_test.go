package client_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// fleet is a small honest server of the protocol with its logs in memory: what docs/protocol.md says, and nothing else.
// Tests plant what they need through its hooks. Its tokens are "good:<user>" and "expired:<user>".
type fleet struct {
	t      *testing.T
	server *httptest.Server
	url    string

	mu       sync.Mutex
	logs     map[string]*serverLog
	sessions map[*serverSession]bool
	joined   int // sessions ever signed in
	// sliceEvents and tooLongEvents bound differences.
	sliceEvents, tooLongEvents int
	limits                     *chatv1.Limits
	resume                     *chatv1.ResumeToken // handed out at a sign-in
	life                       time.Duration       // of a session, as a sign-in says; 0 says nothing

	// onRequest, if not nil, sees each request before the fleet does; true means that it has dealt with it. push decides how
	// often an event is pushed to a session; nil is once. Both run under mu.
	onRequest func(*serverSession, *chatv1.ClientFrame) bool
	push      func(*serverSession, *chatv1.Event) int
}

type serverLog struct {
	id, title, owner string
	kind             chatv1.LogKind
	epoch            uint32
	events           []*chatv1.Event
	members          map[string]bool
	byRandomID       map[string]uint64
}

type serverSession struct {
	fleet        *fleet
	conn         *websocket.Conn
	json         bool
	user, device string
	attached     map[string]bool
	// requests are all frames that have come in.
	requests []*chatv1.ClientFrame
	out      chan *chatv1.ServerFrame
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{
		t:             t,
		logs:          make(map[string]*serverLog),
		sessions:      make(map[*serverSession]bool),
		sliceEvents:   50,
		tooLongEvents: 1000,
		limits: &chatv1.Limits{MaxFrameBytes: 1 << 16, MaxMessageBytes: 1 << 12, MaxAttachedLogs: 1000,
			PingWithinMs: 60_000},
	}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	f.url = f.server.URL
	t.Cleanup(func() {
		f.cut()
		f.server.Close()
	})
	return f
}

// lock runs a function under mu.
func (f *fleet) lock(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// cut drops all connections, as a crash does.
func (f *fleet) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.sessions {
		s.conn.CloseNow()
	}
}

func (f *fleet) sendAll(frame *chatv1.ServerFrame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.sessions {
		s.send(frame)
	}
}

// log makes a channel that everybody may read and post to.
func (f *fleet) log(id string) *serverLog {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logLocked(id, chatv1.LogKind_LOG_KIND_CHANNEL)
}

func (f *fleet) logLocked(id string, kind chatv1.LogKind) *serverLog {
	l := f.logs[id]
	if l == nil {
		l = &serverLog{id: id, kind: kind, epoch: 1, members: make(map[string]bool), byRandomID: make(map[string]uint64)}
		f.logs[id] = l
	}
	return l
}

// post appends messages as the server itself.
func (f *fleet) post(log string, texts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range texts {
		f.append(f.logs[log], "server", &chatv1.Event{Content: &chatv1.Event_Message{Message: &chatv1.Message{Text: text}}})
	}
}

func (f *fleet) append(l *serverLog, sender string, e *chatv1.Event) *chatv1.Event {
	e.Log, e.Epoch, e.Pts, e.Sender, e.TimeMs = l.id, l.epoch, uint64(len(l.events)+1), sender, time.Now().UnixMilli()
	l.events = append(l.events, e)
	for s := range f.sessions {
		if !s.attached[l.id] {
			continue
		}
		times := 1
		if f.push != nil {
			times = f.push(s, e)
		}
		for range times {
			s.send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: e}})
		}
	}
	return e
}

func (f *fleet) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/session" {
		http.NotFound(w, r)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chatfleet.v1.proto", "chatfleet.v1.json"}})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	s := &serverSession{fleet: f, conn: conn, json: conn.Subprotocol() == "chatfleet.v1.json",
		attached: make(map[string]bool), out: make(chan *chatv1.ServerFrame, 1<<16)}
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() { s.write(ctx) })
	defer writer.Wait()
	defer cancel()
	s.read(ctx)
	f.lock(func() { delete(f.sessions, s) })
}

func (s *serverSession) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case frame := <-s.out:
			var data []byte
			kind := websocket.MessageBinary
			if s.json {
				data, _ = protojson.Marshal(frame)
				kind = websocket.MessageText
			} else {
				data, _ = proto.Marshal(frame)
			}
			if s.conn.Write(ctx, kind, data) != nil {
				return
			}
			switch {
			case frame.GetComeBack() != nil:
				s.conn.Close(1012, "")
			case frame.GetError() != nil && frame.Ref == 0:
				s.conn.Close(websocket.StatusCode(4000+int(frame.GetError().Code)), "")
			}
		}
	}
}

func (s *serverSession) read(ctx context.Context) {
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		var frame chatv1.ClientFrame
		if s.json {
			err = protojson.Unmarshal(data, &frame)
		} else {
			err = proto.Unmarshal(data, &frame)
		}
		if err != nil {
			s.send(refusal(0, chatv1.Error_CODE_INVALID, err.Error()))
			continue
		}
		s.fleet.lock(func() { s.request(&frame) })
	}
}

func (s *serverSession) send(frame *chatv1.ServerFrame) { s.out <- frame }

func (s *serverSession) error(ref uint32, code chatv1.Error_Code, text string) {
	s.send(refusal(ref, code, text))
}

func refusal(ref uint32, code chatv1.Error_Code, text string) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Ref: ref, Body: &chatv1.ServerFrame_Error{Error: &chatv1.Error{Code: code, Message: text}}}
}

// request answers a request. fleet.mu is held.
func (s *serverSession) request(frame *chatv1.ClientFrame) {
	f := s.fleet
	s.requests = append(s.requests, frame)
	if f.onRequest != nil && f.onRequest(s, frame) {
		return
	}
	answer := &chatv1.ServerFrame{Ref: frame.Ref}
	switch body := frame.Body.(type) {
	case *chatv1.ClientFrame_SignIn:
		s.signIn(frame.Ref, body.SignIn)
		return
	case *chatv1.ClientFrame_Attach:
		states, push := s.attach(body.Attach.Cursors)
		s.send(&chatv1.ServerFrame{Ref: frame.Ref, Body: &chatv1.ServerFrame_Attached{Attached: &chatv1.AttachResponse{Logs: states}}})
		push()
		return
	case *chatv1.ClientFrame_Detach:
		for _, log := range body.Detach.Logs {
			delete(s.attached, s.logID(log))
		}
		answer.Body = &chatv1.ServerFrame_Detached{Detached: &chatv1.DetachResponse{}}
	case *chatv1.ClientFrame_Create:
		l := f.logLocked(fmt.Sprintf("g%x", body.Create.RandomId), body.Create.Kind)
		if len(l.events) == 0 {
			l.owner, l.title, l.members[s.user] = s.user, body.Create.Title, true
			f.append(l, s.user, &chatv1.Event{Content: &chatv1.Event_Created{Created: &chatv1.LogCreated{Kind: l.kind, Title: l.title}}})
			f.note(s.user, &chatv1.Event{Content: &chatv1.Event_LogJoined{LogJoined: &chatv1.LogJoined{Log: l.id, Kind: l.kind}}})
		}
		answer.Body = &chatv1.ServerFrame_Created{Created: &chatv1.CreateResponse{Log: l.id, Epoch: l.epoch, Pts: 1}}
	case *chatv1.ClientFrame_Join:
		l := f.logs[body.Join.Log]
		if l == nil {
			s.error(frame.Ref, chatv1.Error_CODE_NOT_FOUND, "no such log")
			return
		}
		if !l.members[s.user] {
			l.members[s.user] = true
			f.note(s.user, &chatv1.Event{Content: &chatv1.Event_LogJoined{LogJoined: &chatv1.LogJoined{Log: l.id, Kind: l.kind}}})
		}
		answer.Body = &chatv1.ServerFrame_Joined{Joined: &chatv1.JoinResponse{Info: l.info(), Epoch: l.epoch}}
	case *chatv1.ClientFrame_Leave:
		if l := f.logs[body.Leave.Log]; l != nil && l.members[s.user] {
			delete(l.members, s.user)
			f.note(s.user, &chatv1.Event{Content: &chatv1.Event_LogLeft{LogLeft: &chatv1.LogLeft{Log: l.id}}})
		}
		answer.Body = &chatv1.ServerFrame_Left{Left: &chatv1.LeaveResponse{}}
	case *chatv1.ClientFrame_Post:
		posted, err := f.posted(s.user, body.Post)
		if err != nil {
			s.error(frame.Ref, err.Code, err.Message)
			return
		}
		answer.Body = &chatv1.ServerFrame_Posted{Posted: posted}
	case *chatv1.ClientFrame_Difference:
		answer.Body = &chatv1.ServerFrame_Difference{Difference: f.difference(s.logID(body.Difference.Cursor.Log), body.Difference)}
	case *chatv1.ClientFrame_ListJoined:
		answer.Body = &chatv1.ServerFrame_JoinedLogs{JoinedLogs: f.joinedLogs(s.logID(client.UserLog), body.ListJoined)}
	case *chatv1.ClientFrame_Ack:
		return
	case *chatv1.ClientFrame_Ping:
		answer.Body = &chatv1.ServerFrame_Pong{Pong: &chatv1.PingResponse{Nonce: body.Ping.Nonce, ServerTimeMs: time.Now().UnixMilli()}}
	default:
		s.error(frame.Ref, chatv1.Error_CODE_UNSUPPORTED, "no such method")
		return
	}
	s.send(answer)
}

func (f *fleet) note(user string, e *chatv1.Event) {
	f.append(f.logLocked("u"+user, chatv1.LogKind_LOG_KIND_USER), user, e)
}

func (s *serverSession) logID(name string) string {
	if name == "me" {
		return "u" + s.user
	}
	return name
}

func (s *serverSession) signIn(ref uint32, r *chatv1.SignInRequest) {
	kind, user, _ := strings.Cut(r.Token, ":")
	switch kind {
	case "good":
	case "expired":
		s.error(ref, chatv1.Error_CODE_TOKEN_EXPIRED, "the token has expired")
		s.error(0, chatv1.Error_CODE_TOKEN_EXPIRED, "the token has expired")
		return
	default:
		s.error(ref, chatv1.Error_CODE_UNAUTHENTICATED, "not a token")
		return
	}
	s.user, s.device = user, r.Device
	s.fleet.sessions[s] = true
	s.fleet.joined++
	states, push := s.attach(r.Cursors)
	s.send(&chatv1.ServerFrame{Ref: ref, Body: &chatv1.ServerFrame_SignedIn{SignedIn: &chatv1.SignInResponse{
		Session: fmt.Sprintf("s%d", s.fleet.joined), User: user, Region: "test", ServerTimeMs: time.Now().UnixMilli(),
		Logs: states, Limits: s.fleet.limits, Resume: s.fleet.resume, ExpiresMs: endOf(s.fleet.life)}}})
	push()
}

// attach answers cursors; push sends the events after those that are LIVE.
func (s *serverSession) attach(cursors []*chatv1.Cursor) (states []*chatv1.LogState, push func()) {
	var backlog []*chatv1.Event
	for _, c := range cursors {
		id := s.logID(c.Log)
		l := s.fleet.logs[id]
		if c.Log == "me" {
			l = s.fleet.logLocked(id, chatv1.LogKind_LOG_KIND_USER)
		}
		if l == nil {
			states = append(states, &chatv1.LogState{Log: c.Log, Status: chatv1.LogState_STATUS_REFUSED,
				Error: &chatv1.Error{Code: chatv1.Error_CODE_NOT_FOUND, Message: "no such log"}})
			continue
		}
		s.attached[id] = true
		head := uint64(len(l.events))
		state := &chatv1.LogState{Log: id, Epoch: l.epoch, Status: chatv1.LogState_STATUS_LIVE, Pts: c.Pts}
		switch {
		case c.Epoch == 0:
			state.Pts = head
		case c.Epoch != l.epoch || c.Pts > head || head-c.Pts > 10:
			state.Status, state.Pts = chatv1.LogState_STATUS_BEHIND, head
		default:
			backlog = append(backlog, l.events[c.Pts:]...)
		}
		states = append(states, state)
	}
	return states, func() {
		for _, e := range backlog {
			s.send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: e}})
		}
	}
}

func (f *fleet) posted(user string, r *chatv1.PostRequest) (*chatv1.PostResponse, *chatv1.Error) {
	l := f.logs[r.Log]
	if l == nil {
		return nil, &chatv1.Error{Code: chatv1.Error_CODE_NOT_FOUND, Message: "no such log"}
	}
	key := fmt.Sprintf("%s/%d", user, r.RandomId)
	if pts, ok := l.byRandomID[key]; ok {
		return &chatv1.PostResponse{Log: l.id, Epoch: l.epoch, Pts: pts, Repeated: true}, nil
	}
	e := f.append(l, user, &chatv1.Event{Content: &chatv1.Event_Message{Message: r.Message}})
	l.byRandomID[key] = e.Pts
	return &chatv1.PostResponse{Log: l.id, Epoch: l.epoch, Pts: e.Pts}, nil
}

// joinedLogs lists two at a time.
func (f *fleet) joinedLogs(id string, r *chatv1.ListJoinedRequest) *chatv1.ListJoinedResponse {
	l := f.logs[id]
	kinds := make(map[string]chatv1.LogKind)
	for _, e := range l.events {
		if j := e.GetLogJoined(); j != nil {
			kinds[j.GetLog()] = j.GetKind()
		}
		delete(kinds, e.GetLogLeft().GetLog())
	}
	list := &chatv1.ListJoinedResponse{Epoch: l.epoch, Pts: uint64(len(l.events))}
	for _, log := range slices.Sorted(maps.Keys(kinds)) {
		switch {
		case log <= r.GetAfter():
		case len(list.Logs) == 2:
			list.More = true
			return list
		default:
			list.Logs = append(list.Logs, &chatv1.JoinedLog{Log: log, Kind: kinds[log]})
		}
	}
	return list
}

func (f *fleet) difference(id string, r *chatv1.DifferenceRequest) *chatv1.DifferenceResponse {
	l := f.logs[id]
	head := uint64(len(l.events))
	most := uint64(f.sliceEvents)
	if r.Limit > 0 {
		most = min(most, uint64(r.Limit))
	}
	at := r.Cursor.Pts
	d := &chatv1.DifferenceResponse{Cursor: &chatv1.Cursor{Log: id, Epoch: l.epoch}}
	switch {
	case r.Cursor.Epoch != l.epoch || at > head || head-at > uint64(f.tooLongEvents):
		d.Kind, d.Info = chatv1.DifferenceResponse_KIND_TOO_LONG, l.info()
		d.Events, d.Cursor.Pts = l.events[head-min(head, most):], head
	case at == head:
		d.Kind, d.Cursor.Pts = chatv1.DifferenceResponse_KIND_EMPTY, head
	case head-at > most:
		d.Kind, d.Events, d.Cursor.Pts = chatv1.DifferenceResponse_KIND_SLICE, l.events[at:at+most], at+most
	default:
		d.Kind, d.Events, d.Cursor.Pts = chatv1.DifferenceResponse_KIND_FINAL, l.events[at:], head
	}
	return d
}

func (l *serverLog) info() *chatv1.LogInfo {
	return &chatv1.LogInfo{Log: l.id, Kind: l.kind, Title: l.title, Owner: l.owner, Pts: uint64(len(l.events))}
}
