package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// statuses collects what OnStatus is told.
type statuses struct {
	mu  sync.Mutex
	all []client.Status
}

func (s *statuses) add(x client.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, x)
}

func (s *statuses) list() []client.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]client.Status(nil), s.all...)
}

func TestExpiredTokenIsReplaced(t *testing.T) {
	f := newFleet(t)
	var asked atomic.Int32
	o := options(f, "", "phone")
	o.Token = func(context.Context) (string, error) {
		if asked.Add(1) == 1 {
			return "expired:alice", nil
		}
		return "good:alice", nil
	}
	c := open(t, o)
	eventually(t, "signed in", func() bool { return c.Ready(testContext(t)) == nil })
	f.cut()
	f.log("c1")
	eventually(t, "signed in again", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.joined == 2
	})
	if n := asked.Load(); n != 2 {
		t.Fatalf("the source was asked %d times, want once for each token that was refused and once at the start", n)
	}
}

func TestTokenThatExpiresDuringASession(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	var asked atomic.Int32
	o := options(f, "", "phone")
	o.Token = func(context.Context) (string, error) {
		asked.Add(1)
		return "good:alice", nil
	}
	c := open(t, o)
	(&posts{faults: []func(*serverSession, *chatv1.ClientFrame){answered(chatv1.Error_CODE_TOKEN_EXPIRED, 0)}}).plant(f)
	if _, err := c.Post(testContext(t), message("c1", "x")); err != nil {
		t.Fatal(err)
	}
	f.sendAll(refusal(0, chatv1.Error_CODE_TOKEN_EXPIRED, "the token has expired"))
	eventually(t, "a third token", func() bool { return asked.Load() == 3 })
}

func TestReadyReportsARefusalAtOnce(t *testing.T) {
	f := newFleet(t)
	o := options(f, "", "phone")
	o.Token = client.StaticToken("forged")
	_, err := client.Dial(testContext(t), o)
	var e *client.Error
	if !errors.As(err, &e) || e.Code != chatv1.Error_CODE_UNAUTHENTICATED {
		t.Fatalf("got %v", err)
	}
}

func TestReadySaysWhatGoesWrong(t *testing.T) {
	f := newFleet(t)
	o := options(f, "", "phone")
	o.Token = func(context.Context) (string, error) { return "", errors.New("the issuer is away") }
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Dial(ctx, o)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the issuer is away") {
		t.Fatalf("got %v", err)
	}
}

func TestTokenOfAnotherUserIsRefused(t *testing.T) {
	f := newFleet(t)
	var asked atomic.Int32
	o := options(f, "", "phone")
	o.Token = func(context.Context) (string, error) {
		if asked.Add(1) == 1 {
			return "good:alice", nil
		}
		return "good:mallory", nil
	}
	c := open(t, o)
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	f.sendAll(refusal(0, chatv1.Error_CODE_TOKEN_EXPIRED, "the token has expired"))
	eventually(t, "refused", func() bool {
		err := c.Ready(testContext(t))
		return err != nil && strings.Contains(err.Error(), "another user")
	})
}

func TestComeBackIsWaitedFor(t *testing.T) {
	f := newFleet(t)
	var seen statuses
	o := options(f, "alice", "phone")
	o.OnStatus = seen.add
	c := open(t, o)
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	const after = 120 * time.Millisecond
	sent := time.Now()
	f.sendAll(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_ComeBack{
		ComeBack: &chatv1.ComeBack{AfterMs: uint32(after.Milliseconds()), Reason: "roll-out"}}})
	eventually(t, "a second session", func() bool { return len(seen.list()) == 3 })
	if waited := time.Since(sent); waited < after {
		t.Fatalf("came back after %v, was told %v", waited, after)
	}
	lost := seen.list()[1]
	if lost.SignedIn || lost.RetryIn < after || lost.RetryIn > 2*after || !strings.Contains(lost.Err.Error(), "roll-out") {
		t.Fatalf("told the application %+v", lost)
	}
}

func TestEndpointsAreTriedInTurn(t *testing.T) {
	f := newFleet(t)
	var refused atomic.Int32
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refused.Add(1)
		http.Error(w, "no", http.StatusServiceUnavailable)
	}))
	defer sick.Close()
	o := options(f, "alice", "phone")
	o.Endpoints = []string{sick.URL, "http://127.0.0.1:1", strings.Replace(f.url, "http", "ws", 1) + "/"}
	c := open(t, o)
	for range 3 {
		if err := c.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
		before := refused.Load()
		f.cut()
		eventually(t, "the sick endpoint had its turn", func() bool { return refused.Load() > before })
	}
}

func TestRefusedHandshakeSaysWhyAndWhen(t *testing.T) {
	for name, test := range map[string]struct {
		status       int
		header, body string
		code         chatv1.Error_Code
		retry        time.Duration
	}{
		"the fleet":        {503, "2", `{"code":"CODE_DRAINING","message":"this shard is leaving"}`, chatv1.Error_CODE_DRAINING, 2 * time.Second},
		"a fleet in haste": {503, "1", `{"code":"CODE_DRAINING","message":"this shard is leaving","retryAfterMs":200}`, chatv1.Error_CODE_DRAINING, 200 * time.Millisecond},
		"a proxy":          {503, "3", "<html>", chatv1.Error_CODE_UNSPECIFIED, 3 * time.Second},
		"a wrong address":  {404, "", `{"code":"CODE_UNSUPPORTED","message":"nothing is at this path"}`, chatv1.Error_CODE_UNSUPPORTED, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.header != "" {
					w.Header().Set("Retry-After", test.header)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			told := make(chan client.Status, 100)
			open(t, client.Options{Endpoints: []string{server.URL}, Token: client.StaticToken("good:x"), Device: "d",
				OnStatus: func(s client.Status) { told <- s }})
			s := <-told
			var e *client.Error
			if !errors.As(s.Err, &e) || e.Code != test.code || e.RetryAfter != test.retry || s.RetryIn < test.retry {
				t.Fatalf("told %+v", s)
			}
		})
	}
}

// A shard that is leaving sends a client on to others: that is no failure to be more patient after, unless it goes on and on.
func TestSentOnIsNoFailure(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"code":"CODE_DRAINING","message":"this shard is leaving","retryAfterMs":1}`))
	}))
	defer server.Close()
	told := make(chan client.Status, 1000)
	open(t, client.Options{Endpoints: []string{server.URL}, Token: client.StaticToken("good:x"), Device: "d",
		Backoff: client.Backoff{Base: time.Millisecond, Most: time.Hour}, OnStatus: func(s client.Status) { told <- s }})
	for n := range 10 {
		if s := <-told; s.RetryIn > 2*time.Millisecond {
			t.Fatalf("refusal %d: again in %v, where 1 ms is asked for", n+1, s.RetryIn)
		}
	}
	for s := range told {
		if s.RetryIn > 20*time.Millisecond {
			return
		}
	}
}

func TestSilentServerIsNoticed(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	f.lock(func() {
		f.limits = &chatv1.Limits{PingWithinMs: 20}
		f.onRequest = func(s *serverSession, frame *chatv1.ClientFrame) bool { return f.joined == 1 && frame.GetPing() != nil }
	})
	o := options(f, "alice", "phone")
	o.PingTimeout = 20 * time.Millisecond
	c := open(t, o)
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	eventually(t, "a second session", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.joined == 2
	})
	f.lock(func() { f.limits, f.onRequest = nil, nil })
	f.post("c1", "hello")
	r.want("hello")
}

func TestServerThatDoesNotAnswerTheSignIn(t *testing.T) {
	f := newFleet(t)
	tries := 0
	f.lock(func() {
		f.onRequest = func(s *serverSession, frame *chatv1.ClientFrame) bool {
			tries++
			return tries < 3
		}
	})
	o := options(f, "alice", "phone")
	o.ConnectTimeout = 50 * time.Millisecond
	c := open(t, o)
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// A server refuses a request as a whole for one cursor that it cannot take, and names it. The other logs must not suffer.
func TestOneBadCursorDoesNotKeepTheDeviceOut(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	f.lock(func() {
		f.onRequest = func(s *serverSession, frame *chatv1.ClientFrame) bool {
			field, cursors := "sign_in", frame.GetSignIn().GetCursors()
			if frame.GetAttach() != nil {
				field, cursors = "attach", frame.GetAttach().GetCursors()
			}
			for i, c := range cursors {
				if c.Log != "ubob" {
					continue
				}
				e := refusal(frame.Ref, chatv1.Error_CODE_DENIED, "the log is another user's")
				e.GetError().Field = fmt.Sprintf("%s.cursors[%d].log", field, i)
				if frame.GetSignIn() != nil {
					e.Ref = 0
				}
				s.send(e)
				return true
			}
			return false
		}
	})
	c := open(t, options(f, "alice", "phone"))
	r := newReader(t)
	for range 2 { // at the sign-in, and in a session
		good := attach(t, c, "c1", client.AttachOptions{Handler: r.handle})
		bad := attach(t, c, "ubob", client.AttachOptions{Handler: r.handle})
		<-bad.Done()
		var e *client.Error
		if !errors.As(bad.Err(), &e) || e.Code != chatv1.Error_CODE_DENIED {
			t.Fatalf("the bad log ended with %v", bad.Err())
		}
		ready(t, good)
		good.Detach()
		<-good.Done()
	}
}

func TestConnectTimeoutDoesNotBoundTheSession(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	o := options(f, "alice", "phone")
	o.ConnectTimeout = time.Second
	c := open(t, o)
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	time.Sleep(o.ConnectTimeout + 100*time.Millisecond)
	f.post("c1", "still here")
	r.want("still here")
	if f.joined != 1 {
		t.Fatalf("%d sessions, want the first one to go on", f.joined)
	}
}

func TestManyLogsAreAttachedInSeveralFrames(t *testing.T) {
	f := newFleet(t)
	o := options(f, "alice", "phone")
	c := open(t, o)
	var readers []*reader
	for i := range 450 {
		id := "c" + strings.Repeat("x", i%10) + string(rune('a'+i%26)) + string(rune('a'+i/26))
		f.log(id)
		r := newReader(t)
		readers = append(readers, r)
		attach(t, c, id, client.AttachOptions{Handler: r.handle, FromBeginning: true})
		f.post(id, "hello")
	}
	for _, r := range readers {
		r.want("hello")
	}
	f.cut()
	f.lock(func() {
		for _, l := range f.logs {
			f.append(l, "server", &chatv1.Event{Content: &chatv1.Event_Message{Message: &chatv1.Message{Text: "again"}}})
		}
	})
	for _, r := range readers {
		r.want("hello", "again")
	}
	f.lock(func() {
		for s := range f.sessions {
			for _, frame := range s.requests {
				if n := max(len(frame.GetSignIn().GetCursors()), len(frame.GetAttach().GetCursors())); n > 200 {
					t.Errorf("a frame with %d cursors", n)
				}
			}
		}
	})
}

func TestAcknowledgements(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	o := options(f, "alice", "phone")
	o.AckEvery = 5 * time.Millisecond
	c := open(t, o)
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	f.post("c1", numbered(9)...)
	eventually(t, "position 9 is acknowledged", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for s := range f.sessions {
			for _, frame := range s.requests {
				for _, c := range frame.GetAck().GetCursors() {
					if c.Log == "c1" && c.Epoch == 1 && c.Pts == 9 {
						return true
					}
				}
			}
		}
		return false
	})
}

func TestOptionsAreChecked(t *testing.T) {
	good := func() client.Options {
		return client.Options{Endpoints: []string{"https://chat.example.com"}, Token: client.StaticToken("x"), Device: "phone"}
	}
	for want, spoil := range map[string]func(*client.Options){
		"Endpoints is empty":      func(o *client.Options) { o.Endpoints = nil },
		"Endpoints[1]":            func(o *client.Options) { o.Endpoints = append(o.Endpoints, "chat.example.com:443") },
		"names no host":           func(o *client.Options) { o.Endpoints = []string{"https:///x"} },
		"Token is nil":            func(o *client.Options) { o.Token = nil },
		"Device is":               func(o *client.Options) { o.Device = "my phone" },
		"Program has":             func(o *client.Options) { o.Program = strings.Repeat("x", 65) },
		"Encoding is":             func(o *client.Options) { o.Encoding = 7 },
		"Follow.Attach is nil":    func(o *client.Options) { o.Follow = &client.Follow{} },
		"QueueEvents is negative": func(o *client.Options) { o.QueueEvents = -1 },
	} {
		o := good()
		spoil(&o)
		if _, err := client.Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
