package node

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/coder/websocket"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// connectTo signs so many sessions in.
func (m *member) connect(n int) (all []*websocket.Conn) {
	m.t.Helper()
	for range n {
		raw, err := m.signer.Sign("ann", time.Hour)
		if err != nil {
			m.t.Fatal(err)
		}
		c := signIn(m.t.Context(), m.t, m.clients, raw, "me")
		m.t.Cleanup(func() { c.CloseNow() })
		all = append(all, c)
	}
	return all
}

// awaitComeBack reads until a session ends, and fails if it does so without the hint.
func awaitComeBack(t *testing.T, c *websocket.Conn) *chatv1.ComeBack {
	t.Helper()
	var hint *chatv1.ComeBack
	for {
		f, err := readFrame(t.Context(), c)
		if err != nil {
			if hint == nil || websocket.CloseStatus(err) != websocket.StatusServiceRestart {
				t.Errorf("a session ended with %v, told %v", err, hint)
			}
			return hint
		}
		if f.GetComeBack() != nil {
			hint = f.GetComeBack()
		}
	}
}

func (m *member) status() *adminv1.StatusResponse {
	m.t.Helper()
	r, err := m.adminClient().Status(m.t.Context(), connect.NewRequest(&adminv1.StatusRequest{}))
	if err != nil {
		m.t.Fatal(err)
	}
	return r.Msg
}

// awaitDrain looks until the drain has come to a state.
func (m *member) awaitDrain(want adminv1.Drain_State) *adminv1.Drain {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		d := m.status().GetDrain()
		if d.GetState() == want {
			return d
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("the drain is %v, want %v", d, want)
		}
	}
}

// A drain as an operator drives it: begun, called off, begun again to its end, and the process stopped.
func TestADrainOverTheAdminPort(t *testing.T) {
	m := runMember(t, Combined, nil)
	sessions := m.connect(5)
	s := m.status()
	if s.GetName() != "m" || s.GetRegion() != "test" || s.GetRole() != adminv1.StatusResponse_ROLE_COMBINED || !s.GetReady() || s.GetVersion() == "" ||
		len(s.GetLeads()) != 2 || s.GetPartitions() != 2 || !s.GetLeadsMetadata() || s.GetSessions() != 5 || s.GetAttachedLogs() != 1 || s.GetDrain() != nil {
		t.Errorf("status: %v", s)
	}
	begun, err := m.adminClient().BeginDrain(t.Context(), connect.NewRequest(&adminv1.BeginDrainRequest{Pace: &adminv1.Pace{SessionsPerSecond: 1}}))
	if err != nil {
		t.Fatal(err)
	}
	if d := begun.Msg.GetDrain(); d.GetState() != adminv1.Drain_STATE_UNDER_WAY || d.GetPace().GetSessionsPerSecond() != 1 || d.GetPace().GetComeBackAfterMs() != 500 {
		t.Errorf("begun: %v", d)
	}
	if s := m.status(); s.GetReady() || len(s.GetNotReady()) != 1 {
		t.Errorf("ready while its sessions are sent away: %v", s)
	}
	if code := get(t, m.clients+"/v1/session"); code != http.StatusServiceUnavailable {
		t.Errorf("a handshake is answered %d", code)
	}
	reversed, err := m.adminClient().ReverseDrain(t.Context(), connect.NewRequest(&adminv1.ReverseDrainRequest{}))
	if err != nil || reversed.Msg.GetDrain().GetState() != adminv1.Drain_STATE_REVERSED || !m.status().GetReady() {
		t.Errorf("reversed: %v (%v), then %v", reversed, err, m.status())
	}
	sessions = append(sessions, m.connect(1)...)
	_, err = m.adminClient().BeginDrain(t.Context(), connect.NewRequest(&adminv1.BeginDrainRequest{Pace: &adminv1.Pace{ComeBackAfterMs: 700, Reason: "a new version"}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range sessions {
		awaitComeBack(t, c)
	}
	if d := m.awaitDrain(adminv1.Drain_STATE_DONE); d.GetSessions() != 0 || d.GetPace().GetSessionsPerSecond() != 100 || d.GetEndedMs() < d.GetBeganMs() {
		t.Errorf("the drain at its end: %v", d)
	}
	if err := m.stop(); err != nil {
		t.Error(err)
	}
	for _, line := range []string{"drain begun", "drain reversed", "drain ended"} {
		if !m.lines.has(line) {
			t.Errorf("%q is not in the log", line)
		}
	}
}

func TestAShedOverTheAdminPort(t *testing.T) {
	m := runMember(t, Combined, nil)
	m.connect(8)
	keep := uint32(3)
	if _, err := m.adminClient().Shed(t.Context(), connect.NewRequest(&adminv1.ShedRequest{KeepSessions: &keep})); err != nil {
		t.Fatal(err)
	}
	if d := m.awaitDrain(adminv1.Drain_STATE_DONE); d.GetSessions() != 3 || d.GetTold() != 5 || d.GetGoal() != adminv1.Drain_GOAL_SHED {
		t.Errorf("shed: %v", d)
	}
	if len(m.connect(1)) != 1 || !m.status().GetReady() {
		t.Error("after a shed the member is not ready")
	}
}

// Nothing that lets somebody in is in a log, not even at level debug.
func TestLogsHoldNoSecrets(t *testing.T) {
	var log bytes.Buffer
	secret := ""
	m := runMember(t, Combined, func(c *Config) {
		lines := c.Logger.Handler().(*logLines)
		lines.Handler = slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
		secret = string(c.Bus.Secret)
	})
	raw, err := m.signer.Sign("ann", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	signIn(t.Context(), t, m.clients, raw, "me").CloseNow()
	for _, wrong := range []string{raw[:len(raw)-4] + "AAAA", "no token"} {
		chat := chatv1connect.NewChatServiceClient(http.DefaultClient, m.clients)
		req := connect.NewRequest(&chatv1.JoinRequest{Log: "c1"})
		req.Header().Set("Authorization", "Bearer "+wrong)
		if _, err := chat.Join(t.Context(), req); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("a wrong token: %v", err)
		}
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=DEBUG") {
		t.Fatal("nothing was logged at level debug: nothing was shown")
	}
	for name, what := range map[string]string{"token": raw[:40], "signature": raw[len(raw)-40:], "secret": secret} {
		if strings.Contains(log.String(), what) {
			t.Errorf("the %s is in the log:\n%s", name, log.String())
		}
	}
}

// SIGTERM takes the same way: the context of Run ends.
func TestSIGTERMSendsSessionsAwayWithTheHint(t *testing.T) {
	for _, engine := range []string{"goroutines", "epoll"} {
		t.Run(engine, func(t *testing.T) { testSIGTERM(t, engine) })
	}
}

func testSIGTERM(t *testing.T, engine string) {
	m := runMember(t, Combined, func(c *Config) { c.Engine = engine })
	sessions := m.connect(10)
	ended := make(chan error, 1)
	go func() { ended <- m.stop() }()
	for _, c := range sessions {
		if hint := awaitComeBack(t, c); hint.GetAfterMs() != 500 {
			t.Errorf("told %v", hint)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, line := range []string{"started", "stopping", "drain ended", "drained", "stopped"} {
		if !m.lines.has(line) {
			t.Errorf("%q is not in the log", line)
		}
	}
}

// Whoever is sent to a member that leaves, before it has been seen to, is told so: also where it has no session that keeps it.
func TestALeavingMemberStaysUntilItIsSeenToLeave(t *testing.T) {
	const linger = time.Second
	m := runMember(t, Combined, func(c *Config) { c.DrainLinger = linger })
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- m.stop() }()
	for m.status().GetReady() {
		time.Sleep(time.Millisecond)
	}
	_, answer, err := websocket.Dial(t.Context(), m.clients+gateway.SessionPath, &websocket.DialOptions{Subprotocols: []string{engine.SubprotocolJSON}})
	if err == nil || answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("a session that comes to a member that leaves: %v, answered %v", err, answer)
	}
	if why, _ := io.ReadAll(answer.Body); !strings.Contains(string(why), "DRAINING") {
		t.Errorf("a session that comes to a member that leaves is told %s", why)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < linger {
		t.Errorf("it was gone after %v, before it can have been seen to leave", took)
	}
}

// It leaves once: a drain that an operator has asked for counts.
func TestADrainedMemberHasBeenSeenToLeave(t *testing.T) {
	const linger = 200 * time.Millisecond
	m := runMember(t, Combined, func(c *Config) { c.DrainLinger = linger })
	if _, err := m.adminClient().BeginDrain(t.Context(), connect.NewRequest(&adminv1.BeginDrainRequest{})); err != nil {
		t.Fatal(err)
	}
	time.Sleep(linger)
	if err := m.stop(); err != nil {
		t.Error(err)
	}
	if m.lines.has("staying until nobody is sent here any more") {
		t.Error("it stayed a second time")
	}
}

func TestWhatTheAdminPortRefuses(t *testing.T) {
	const service = "/chatfleet.admin.v1.AdminService/"
	m := runMember(t, Combined, nil)
	for _, c := range []struct {
		name, method, body, origin string
		status                     int
		want                       string
	}{
		{"a field that is misspelt", "BeginDrain", `{"pace":{"sessionPerSecond":5}}`, "", 400, `unknown field`},
		{"no JSON", "BeginDrain", `{"pace":`, "", 400, "unexpected"},
		{"nothing", "BeginDrain", ``, "", 400, "the body is empty"},
		{"a pace too great", "BeginDrain", `{"pace":{"sessionsPerSecond":100001}}`, "", 400, "want 1 to 100000"},
		{"a pace below 0", "BeginDrain", `{"pace":{"sessionsPerSecond":-1}}`, "", 400, "invalid value"},
		{"a hint too long", "BeginDrain", `{"pace":{"comeBackAfterMs":600001}}`, "", 400, "want at most 10m0s"},
		{"a timeout too long", "BeginDrain", `{"pace":{"timeoutMs":86400001}}`, "", 400, "want at most 24h"},
		{"a reason too long", "BeginDrain", `{"pace":{"reason":"` + strings.Repeat("x", 201) + `"}}`, "", 400, "201 bytes"},
		{"a body too long", "BeginDrain", `{"pace":{"reason":"` + strings.Repeat("x", 20<<10) + `"}}`, "", 429, "larger than"},
		{"a shed to no number", "Shed", `{}`, "", 400, "keep_sessions is missing"},
		{"no such method", "Explode", `{}`, "", 404, ""},
		{"a web page", "BeginDrain", `{}`, "https://evil.example", 403, "cross-origin"},
	} {
		req, err := http.NewRequest(http.MethodPost, m.admin+service+c.method, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %d %s, want %d and %q", c.name, resp.StatusCode, body, c.status, c.want)
		}
	}
	if s := m.status(); s.GetDrain() != nil || !s.GetReady() {
		t.Errorf("what was refused has begun something: %v", s)
	}
}

func TestAStoreHasNoSessionsToDrain(t *testing.T) {
	m := runMember(t, Store, nil)
	_, err := m.adminClient().BeginDrain(t.Context(), connect.NewRequest(&adminv1.BeginDrainRequest{}))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "is a store") {
		t.Errorf("a drain of a store: %v", err)
	}
	if s := m.status(); s.GetRole() != adminv1.StatusResponse_ROLE_STORE || len(s.GetLeads()) != 2 {
		t.Errorf("status: %v", s)
	}
}

func TestProfilesAreOnTheAdminPort(t *testing.T) {
	m := runMember(t, Store, nil)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/cmdline", "/healthz"} {
		if code := get(t, m.admin+path); code != http.StatusOK {
			t.Errorf("%s is answered %d", path, code)
		}
	}
}

// get asks as a WebSocket client would, and returns the status.
func get(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	req.Header.Set("Sec-WebSocket-Protocol", "chatfleet.v1.json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestStatusTellsTheVolumesUse(t *testing.T) {
	m := runMember(t, Store, func(c *Config) { c.Bus.FullAt = 0.9 })
	s := m.status()
	for s.GetVolumeUsedPermille() == 0 {
		time.Sleep(10 * time.Millisecond)
		s = m.status()
	}
	if s.GetVolumeUsedPermille() > 1000 || s.GetVolumeFullAtPermille() != 900 {
		t.Errorf("told %v", s)
	}
}
