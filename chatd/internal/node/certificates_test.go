package node

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/certs/certstest"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// pki is a fleet's authority.
type pki struct {
	*certstest.Authority
	t   testing.TB
	dir string // of the member
}

func newPKI(t testing.TB) *pki { return &pki{Authority: certstest.New(t), t: t} }

func uriOf(role certs.Role) string {
	return certs.Identity{Namespace: "ns", Cluster: "demo", Role: role}.String()
}

// secure gives a member a certificate, and a port for probes.
func (p *pki) secure(role certs.Role) func(*Config) {
	return func(c *Config) {
		p.dir = p.Directory(uriOf(role))
		c.TLSDirectory, c.Probes = p.dir, "127.0.0.1:0"
	}
}

// client shows a certificate.
func (p *pki) client(role certs.Role) *http.Client {
	return clientOf(p.t, p.Directory(uriOf(role)), role)
}

func clientOf(t testing.TB, dir string, role certs.Role) *http.Client {
	t.Helper()
	m, err := certs.OpenMembers(dir, slog.New(slog.DiscardHandler), role)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: m.ClientConfig(certs.PortAdmin, certs.Store, certs.Shard), DisableKeepAlives: true}
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// Who may do what at an admin port, by what he shows.
func TestWhoMayAskTheAdminPort(t *testing.T) {
	p := newPKI(t)
	m := runMember(t, Store, func(c *Config) {
		p.secure(certs.Store)(c)
		c.Bus.LeafListen = "127.0.0.1:0"
	})
	const service = "/chatfleet.admin.v1.AdminService/Status"
	bare := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	stranger := newPKI(t)
	for _, row := range []struct {
		name   string
		client *http.Client
		// what each path answers; 0: the connection is refused.
		healthz, metrics, profiles, status int
	}{
		{"operator", p.client(certs.Operator), 200, 200, 200, 200},
		{"the member itself", clientOf(t, p.dir, certs.Store), 200, 200, 200, 200},
		{"monitor", p.client(certs.Monitor), 200, 200, 403, 403},
		{"another store", p.client(certs.Store), 0, 0, 0, 0},
		{"a shard", p.client(certs.Shard), 0, 0, 0, 0},
		{"nothing", bare, 0, 0, 0, 0},
		{"another authority's operator", stranger.client(certs.Operator), 0, 0, 0, 0},
		{"plain", http.DefaultClient, 0, 0, 0, 0},
	} {
		base := m.admin
		if row.name == "plain" {
			base = strings.Replace(base, "https", "http", 1)
		}
		for path, want := range map[string]int{"/healthz": row.healthz, "/metrics": row.metrics, "/debug/pprof/cmdline": row.profiles, service: row.status} {
			method, body := http.MethodGet, ""
			if path == service {
				method, body = http.MethodPost, "{}"
			}
			if got := answers(t, row.client, method, base+path, body); got != want && !(row.name == "plain" && got == http.StatusBadRequest) {
				t.Errorf("%s at %s: %d, want %d", row.name, path, got, want)
			}
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 404, "/debug/pprof/": 404, service: 404} {
		if got := answers(t, http.DefaultClient, http.MethodGet, m.ready+path, ""); got != want {
			t.Errorf("%s for probes: %d, want %d", path, got, want)
		}
	}
	// What is wrong with one's own certificate keeps a member from starting.
	err := Run(t.Context(), t.Context(), Config{Role: Store, Admin: "127.0.0.1:0", TLSDirectory: p.Directory(uriOf(certs.Shard)), Logger: slog.New(slog.DiscardHandler), Bus: bus.Config{
		Name: "m", Region: "test", Partitions: 2, Secret: []byte("a secret of the whole fleet"), Dir: t.TempDir(), Durability: bus.Fsync, Replicas: 1,
	}})
	if err == nil || !strings.Contains(err.Error(), "needs one for store") {
		t.Errorf("a store with a shard's certificate: %v", err)
	}
}

func answers(t *testing.T, c *http.Client, method, url, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// Clients speak TLS: sessions over HTTP/1.1, methods over HTTP/2, and a session goes on when the certificate is another.
func TestClientsTLS(t *testing.T) {
	for _, engine := range []string{"goroutines", "epoll"} {
		t.Run(engine, func(t *testing.T) { testClientsTLS(t, engine) })
	}
}

func testClientsTLS(t *testing.T, engine string) {
	p := newPKI(t)
	dir := p.Directory(uriOf(certs.Shard))
	m := runMember(t, Combined, func(c *Config) {
		c.Engine = engine
		c.ClientsTLS = certs.Files{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	})
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(p.PEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true}
	secure := strings.Replace(m.clients, "http:", "https:", 1)
	raw, err := m.signer.Sign("ann", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	was := http.DefaultTransport
	http.DefaultTransport = transport // of the WebSocket library
	defer func() { http.DefaultTransport = was }()
	c := signIn(t.Context(), t, secure, raw, "me")
	defer c.CloseNow()

	service := chatv1connect.NewChatServiceClient(&http.Client{Transport: transport}, secure)
	req := connect.NewRequest(&chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t", RandomId: 1})
	req.Header().Set("Authorization", "Bearer "+raw)
	if _, err := service.Create(t.Context(), req); err != nil {
		t.Fatalf("a method over TLS: %v", err)
	}
	resp, err := (&http.Client{Transport: transport}).Get(secure + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("methods go over %s", resp.Proto)
	}
	// Plain HTTP gets no answer that means anything, and the member no worse for it.
	if got := answers(t, http.DefaultClient, http.MethodGet, m.clients+"/v1/session", ""); got != 0 && got != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d", got)
	}
	if got := m.status().GetSessions(); got != 1 {
		t.Errorf("%d sessions, want 1", got)
	}
	// A new certificate is shown to who comes now; who is here stays.
	before := serial(t, secure, trust)
	p.Put(dir, certstest.Leaf{URIs: []string{uriOf(certs.Shard)}})
	for end := time.Now().Add(time.Minute); serial(t, secure, trust) == before; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new certificate is not shown within a minute")
		}
	}
	ask, err := proto.Marshal(&chatv1.ClientFrame{Ref: 9, Body: &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{}}})
	if err == nil {
		err = c.Write(t.Context(), websocket.MessageBinary, ask)
	}
	if err == nil {
		_, err = readFrame(t.Context(), c)
	}
	if err != nil {
		t.Errorf("the session is gone: %v", err)
	}
}

func serial(t *testing.T, base string, trust *x509.CertPool) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: trust})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}
