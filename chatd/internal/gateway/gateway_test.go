package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// door is a Shard that lets one user in, answers what it is told to, and pongs on sessions.
type door struct {
	engine engine.Engine
	closed *chatv1.Error
	answer *chatv1.Error
}

func (d *door) Authenticate(token string) (string, *chatv1.Error) {
	if token != "good" {
		return "", &chatv1.Error{Code: chatv1.Error_CODE_UNAUTHENTICATED, Message: "no good token"}
	}
	return "ann", nil
}
func (d *door) Charge(string) *chatv1.Error { return nil }
func (d *door) Accepting() *chatv1.Error    { return d.closed }
func (d *door) Connect(conn net.Conn, early []byte, enc engine.Encoding) error {
	_, err := d.engine.Adopt(conn, early, enc, d)
	return err
}
func (d *door) Begin(guest) engine.Handler { return d }
func (d *door) Create(context.Context, string, *chatv1.CreateRequest) (*chatv1.CreateResponse, *chatv1.Error) {
	return &chatv1.CreateResponse{Log: "c1"}, d.answer
}
func (d *door) Join(context.Context, string, *chatv1.JoinRequest) (*chatv1.JoinResponse, *chatv1.Error) {
	return &chatv1.JoinResponse{}, d.answer
}
func (d *door) Leave(context.Context, string, *chatv1.LeaveRequest) (*chatv1.LeaveResponse, *chatv1.Error) {
	return &chatv1.LeaveResponse{}, d.answer
}
func (d *door) SetRole(context.Context, string, *chatv1.SetRoleRequest) (*chatv1.SetRoleResponse, *chatv1.Error) {
	return &chatv1.SetRoleResponse{}, d.answer
}
func (d *door) SetName(context.Context, string, *chatv1.SetNameRequest) (*chatv1.SetNameResponse, *chatv1.Error) {
	return &chatv1.SetNameResponse{}, d.answer
}

func (d *door) Resolve(context.Context, string, *chatv1.ResolveRequest) (*chatv1.ResolveResponse, *chatv1.Error) {
	return &chatv1.ResolveResponse{}, d.answer
}

func (d *door) CreateInvitation(context.Context, string, *chatv1.CreateInvitationRequest) (*chatv1.CreateInvitationResponse, *chatv1.Error) {
	return &chatv1.CreateInvitationResponse{}, d.answer
}

func (d *door) RevokeInvitation(context.Context, string, *chatv1.RevokeInvitationRequest) (*chatv1.RevokeInvitationResponse, *chatv1.Error) {
	return &chatv1.RevokeInvitationResponse{}, d.answer
}

func (d *door) ListJoined(context.Context, string, *chatv1.ListJoinedRequest) (*chatv1.ListJoinedResponse, *chatv1.Error) {
	return &chatv1.ListJoinedResponse{}, d.answer
}

func (d *door) ListInvitations(context.Context, string, *chatv1.ListInvitationsRequest) (*chatv1.ListInvitationsResponse, *chatv1.Error) {
	return &chatv1.ListInvitationsResponse{}, d.answer
}

func (d *door) SetPolicy(context.Context, string, *chatv1.SetPolicyRequest) (*chatv1.SetPolicyResponse, *chatv1.Error) {
	return &chatv1.SetPolicyResponse{}, d.answer
}
func (d *door) Post(_ context.Context, user string, r *chatv1.PostRequest) (*chatv1.PostResponse, *chatv1.Error) {
	return &chatv1.PostResponse{Log: user + "/" + r.Log, Pts: 42}, d.answer
}
func (d *door) Difference(context.Context, string, *chatv1.DifferenceRequest) (*chatv1.DifferenceResponse, *chatv1.Error) {
	panic("a defect")
}
func (d *door) Presence(context.Context, string, *chatv1.PresenceRequest) (*chatv1.PresenceResponse, *chatv1.Error) {
	return &chatv1.PresenceResponse{}, d.answer
}
func (d *door) History(context.Context, string, *chatv1.HistoryRequest) (*chatv1.HistoryResponse, *chatv1.Error) {
	return &chatv1.HistoryResponse{}, d.answer
}

// Message implements engine.Handler: it answers any frame with a pong of the same ref.
func (d *door) Message(s engine.Session, payload []byte) {
	var f chatv1.ClientFrame
	if err := s.Encoding().Unmarshal(payload, &f); err != nil {
		s.Close(engine.ErrorFrame(chatv1.Error_CODE_INVALID, "%v", err), engine.CloseFor(chatv1.Error_CODE_INVALID), "")
		return
	}
	s.Send(&chatv1.ServerFrame{Ref: f.Ref, Body: &chatv1.ServerFrame_Pong{Pong: &chatv1.PingResponse{Nonce: 7}}})
}

// Closed implements engine.Handler.
func (d *door) Closed(engine.Session, error) {}

func open(t *testing.T, change func(*Config, *door)) (*httptest.Server, *door) {
	t.Helper()
	d := &door{engine: perconn.New(engine.Config{})}
	cfg := Config{Shard: d, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if change != nil {
		change(&cfg, d)
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(cfg)
	srv.Listener = LimitListener(srv.Listener, cfg)
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		if err := d.engine.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return srv, d
}

func TestSessionsOnBothSubprotocols(t *testing.T) {
	srv, _ := open(t, nil)
	for _, test := range []struct {
		offer  []string
		chosen string
	}{
		{[]string{engine.SubprotocolProtobuf}, engine.SubprotocolProtobuf},
		{[]string{engine.SubprotocolJSON}, engine.SubprotocolJSON},
		{[]string{"chatfleet.v9.proto", engine.SubprotocolJSON, engine.SubprotocolProtobuf}, engine.SubprotocolJSON},
	} {
		t.Run(strings.Join(test.offer, ","), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, _, err := websocket.Dial(ctx, srv.URL+SessionPath, &websocket.DialOptions{Subprotocols: test.offer})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if c.Subprotocol() != test.chosen {
				t.Fatalf("the server chose %q, want %q", c.Subprotocol(), test.chosen)
			}
			marshal, unmarshal, kind := proto.Marshal, proto.Unmarshal, websocket.MessageBinary
			if test.chosen == engine.SubprotocolJSON {
				marshal, unmarshal, kind = protojson.Marshal, protojson.Unmarshal, websocket.MessageText
			}
			data, err := marshal(&chatv1.ClientFrame{Ref: 3, Body: &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Write(ctx, kind, data); err != nil {
				t.Fatal(err)
			}
			gotKind, data, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var f chatv1.ServerFrame
			if err := unmarshal(data, &f); err != nil || gotKind != kind || f.Ref != 3 || f.GetPong().GetNonce() != 7 {
				t.Errorf("answered %v in a message of type %v (%v)", &f, gotKind, err)
			}
		})
	}
}

// What an origin that is allowed may do, and what a shard says that takes nobody. The rest of what a handshake may be refused for is in the table of
// refusals.
func TestHandshakes(t *testing.T) {
	upgrade := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": engine.SubprotocolJSON}
	with := func(key, value string) map[string]string {
		m := map[string]string{key: value}
		for k, v := range upgrade {
			if k != key {
				m[k] = v
			}
		}
		return m
	}
	for _, test := range []struct {
		name   string
		path   string
		header map[string]string
		change func(*Config, *door)
		status int
		says   string
		retry  string
	}{
		{name: "a page of another site", path: SessionPath, header: with("Origin", "https://evil.example"), status: 403, says: "evil.example"},
		{name: "a page of an allowed site", path: SessionPath, header: with("Origin", "https://app.example"),
			change: func(c *Config, _ *door) { c.AllowedOrigins = []string{"https://app.example"} }, status: 101},
		{name: "a page of the same host", path: SessionPath, header: with("Origin", "http://HOST"), status: 101},
		{name: "a program", path: SessionPath, header: upgrade, status: 101},
		{name: "a shard that is leaving", path: SessionPath, header: upgrade, status: 503, says: `leaving","retryAfterMs":2500}`, retry: "3",
			change: func(_ *Config, d *door) {
				d.closed = &chatv1.Error{Code: chatv1.Error_CODE_DRAINING, Message: "this shard is leaving", RetryAfterMs: 2500}
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv, _ := open(t, test.change)
			host := strings.TrimPrefix(srv.URL, "http://")
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n", test.path, host)
			for k, v := range test.header {
				fmt.Fprintf(conn, "%s: %s\r\n", k, strings.ReplaceAll(v, "HOST", host))
			}
			fmt.Fprint(conn, "\r\n")
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.status {
				t.Errorf("status %d, want %d", res.StatusCode, test.status)
			}
			if res.StatusCode == http.StatusSwitchingProtocols {
				return
			}
			body, _ := io.ReadAll(res.Body)
			if !strings.Contains(string(body), test.says) || res.Header.Get("Retry-After") != test.retry {
				t.Errorf("answered %q, retry after %q; want %q and %q", body, res.Header.Get("Retry-After"), test.says, test.retry)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	srv, d := open(t, nil)
	for name, option := range map[string]connect.ClientOption{"protobuf": connect.WithClientOptions(), "json": connect.WithProtoJSON()} {
		t.Run(name, func(t *testing.T) {
			client := chatv1connect.NewChatServiceClient(http.DefaultClient, srv.URL, option)
			post := connect.NewRequest(&chatv1.PostRequest{Log: "c1", RandomId: 1})
			if _, err := client.Post(t.Context(), post); connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Errorf("without a token: %v", err)
			}
			post.Header().Set("Authorization", "Bearer good")
			d.answer = nil
			if res, err := client.Post(t.Context(), post); err != nil || res.Msg.Pts != 42 || res.Msg.Log != "ann/c1" {
				t.Errorf("answered %v, %v", res, err)
			}
			d.answer = &chatv1.Error{Code: chatv1.Error_CODE_TOO_MANY, Message: "slowly", RetryAfterMs: 1200}
			_, err := client.Post(t.Context(), post)
			var failed *connect.Error
			if !errors.As(err, &failed) || failed.Code() != connect.CodeResourceExhausted || failed.Meta().Get("Retry-After") != "2" {
				t.Fatalf("an error of the protocol arrived as %v", err)
			}
			detail, err := failed.Details()[0].Value()
			if err != nil || !proto.Equal(detail, d.answer) {
				t.Errorf("its detail is %v (%v), want %v", detail, err, d.answer)
			}
			big := connect.NewRequest(&chatv1.PostRequest{Message: &chatv1.Message{Data: make([]byte, 1<<20)}})
			big.Header().Set("Authorization", "Bearer good")
			if _, err := client.Post(t.Context(), big); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("a megabyte: %v", err)
			}
			difference := connect.NewRequest(&chatv1.DifferenceRequest{})
			difference.Header().Set("Authorization", "Bearer good")
			if _, err := client.Difference(t.Context(), difference); connect.CodeOf(err) != connect.CodeInternal {
				t.Errorf("a request that panics: %v", err)
			}
		})
	}
}

// Every error of the protocol has a meaning in connect's terms.
// Only answers for which it pays are compressed.
func TestShortAnswersAreNotCompressed(t *testing.T) {
	srv, _ := open(t, nil)
	for _, bytes := range []int{10, 2 * compressFrom} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+chatv1connect.ChatServicePostProcedure,
			strings.NewReader(`{"log":"`+strings.Repeat("c", bytes)+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer good"}, "Content-Type": {"application/json"}, "Accept-Encoding": {"gzip"}}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got, want := res.Header.Get("Content-Encoding") == "gzip", bytes > compressFrom; got != want || res.StatusCode != http.StatusOK {
			t.Errorf("an answer of %d bytes: compressed %v, want %v; status %d", bytes, got, want, res.StatusCode)
		}
	}
}

func TestCodesAreComplete(t *testing.T) {
	for n, name := range chatv1.Error_Code_name {
		code, ok := codes[chatv1.Error_Code(n)]
		if !ok && n != 0 {
			t.Errorf("%s has no connect code", name)
		}
		if _, known := httpStatus[code]; ok && !known {
			t.Errorf("connect's %v, for %s, has no HTTP status", code, name)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	srv, _ := open(t, func(c *Config, _ *door) { c.MaxConnections = 2 })
	host := strings.TrimPrefix(srv.URL, "http://")
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
		time.Sleep(20 * time.Millisecond) // in this order
	}
	_ = conns[2].SetReadDeadline(time.Now().Add(10 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(conns[2]), nil)
	if err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Fatalf("the third of two connections: %v, %v; want 503 with Retry-After", res, err)
	}
	conns[0].Close()
	// A place is free again.
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		if res, err := http.Get(srv.URL + "/"); err == nil && res.StatusCode == 404 {
			return
		}
	}
	t.Error("no place became free when a connection was closed")
}
