package node

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

// member is a chatd that runs in a test.
type member struct {
	t testing.TB
	// admin, clients and ready, where probes are, are URLs.
	admin, clients, ready string
	signer                *token.Signer
	keys                  string // the directory of its key and key set
	// lines are the messages that it has logged, at level info and above.
	lines *logLines
	stop  func() error
	// http asks the admin port.
	http *http.Client
}

// runMember runs a member whose stores, if it has any, are one. It returns when it is ready, and stops it when the test ends.
func runMember(t testing.TB, role Role, change func(*Config)) *member {
	t.Helper()
	signer, err := token.GenerateSigner(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	if err := signer.WriteKeyPair(keys); err != nil {
		t.Fatal(err)
	}
	lines := &logLines{Handler: slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}), started: make(chan map[string]string, 1)}
	cfg := Config{
		Role: role, Admin: "127.0.0.1:0", Listen: "127.0.0.1:0", TokenKeys: filepath.Join(keys, token.KeySetFile),
		DrainPerSecond: 100, DrainTimeout: 10 * time.Second, Logger: slog.New(lines),
		Bus: bus.Config{Name: "m", Region: "test", Partitions: 2, Secret: []byte("a secret of the whole fleet"), Dir: t.TempDir(), Durability: bus.Fsync, Replicas: 1},
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, t.Context(), cfg) }()
	m := &member{t: t, signer: signer, keys: keys, lines: lines, http: http.DefaultClient}
	m.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := m.stop(); err != nil {
			t.Errorf("the member ended with %v", err)
		}
	})
	select {
	case at := <-lines.started:
		m.admin, m.clients = "http://"+at["admin"], "http://"+at["clients"]
		if m.ready = m.admin; cfg.Probes != "" {
			m.ready = "http://" + at["probes"]
		}
		if cfg.TLSDirectory != "" {
			m.admin = "https://" + at["admin"]
		}
	case err := <-ended:
		ended <- err
		t.Fatalf("the member did not start: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(m.ready + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return m
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the member is not ready: %v", err)
		}
	}
}

func (m *member) adminClient() adminv1connect.AdminServiceClient {
	return adminv1connect.NewAdminServiceClient(m.http, m.admin)
}

// logLines remembers what was logged.
type logLines struct {
	slog.Handler
	started chan map[string]string

	mu       sync.Mutex
	messages []string
}

// Handle implements slog.Handler.
func (l *logLines) Handle(ctx context.Context, r slog.Record) error {
	attrs := make(map[string]string)
	r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.String(); return true })
	l.mu.Lock()
	l.messages = append(l.messages, r.Message)
	l.mu.Unlock()
	if r.Message == "started" {
		l.started <- attrs
	}
	if !l.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// Enabled implements slog.Handler.
func (l *logLines) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || l.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *logLines) WithGroup(string) slog.Handler { return l }

func (l *logLines) has(message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.messages, message)
}
