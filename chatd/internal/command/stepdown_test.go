package command

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/certs/certstest"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

// storePort answers as a store's admin port: each look finds two groups less that it leads.
type storePort struct {
	adminv1connect.UnimplementedAdminServiceHandler
	mu   sync.Mutex
	down *adminv1.StepDown
}

func (p *storePort) StepDown(_ context.Context, r *connect.Request[adminv1.StepDownRequest]) (*connect.Response[adminv1.StepDownResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = &adminv1.StepDown{BeganMs: 1, Metadata: r.Msg.GetMetadata(), Left: 2}
	return connect.NewResponse(&adminv1.StepDownResponse{StepDown: p.down}), nil
}

func (p *storePort) ReverseStepDown(context.Context, *connect.Request[adminv1.ReverseStepDownRequest]) (*connect.Response[adminv1.ReverseStepDownResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.down
	p.down = nil
	return connect.NewResponse(&adminv1.ReverseStepDownResponse{StepDown: was}), nil
}

func (p *storePort) Status(context.Context, *connect.Request[adminv1.StatusRequest]) (*connect.Response[adminv1.StatusResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down != nil {
		p.down.Left = max(p.down.GetLeft(), 2) - 2
	}
	return connect.NewResponse(&adminv1.StatusResponse{
		Name: "store-0", Role: adminv1.StatusResponse_ROLE_STORE, Groups: 34, GroupsLed: 2, GroupsBehindTotal: 1, StepDown: p.down,
		GroupsBehind: []*adminv1.GroupBehind{{Group: "LOG-eu-3", Why: "store-1 is not there"}},
	}), nil
}

func TestStepDownCommand(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminServiceHandler(&storePort{}))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"status", 0, []string{"34 groups, 2 of them led here, 1 not current", "LOG-eu-3: store-1 is not there"}},
		{"step-down --reverse", 0, []string{"was not stepping down"}},
		{"step-down --metadata --wait", 0, []string{"stepping down, the metadata group too: 2 groups left", "stepped down, the metadata group too: 0 groups left"}},
		{"status", 0, []string{"steps down", "stepped down, the metadata group too"}},
		{"step-down --reverse", 0, []string{"called off"}},
		{"step-down --reverse --wait", 2, []string{"--reverse goes alone"}},
		{"step-down --tls-directory nowhere", 2, []string{"--tls-directory", "nowhere/tls.crt"}},
	} {
		run(t, c.args+" --admin "+srv.URL, c.code, c.want)
	}
}

// A command shows its certificate, and says what to do where that is not the right one.
func TestCommandsShowACertificate(t *testing.T) {
	ca := certstest.New(t)
	name := func(role certs.Role) string {
		return certs.Identity{Namespace: "ns", Cluster: "demo", Role: role}.String()
	}
	own := ca.Directory(name(certs.Store))
	m, err := certs.OpenMembers(own, slog.New(slog.DiscardHandler), certs.Store)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminServiceHandler(&storePort{}))
	srv := httptest.NewUnstartedServer(mux)
	srv.TLS = m.ServerConfig(certs.PortAdmin, true, []certs.Role{certs.Operator}, "h2", "http/1.1")
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "https://")
	stranger := certstest.New(t)
	for _, c := range []struct {
		dir  string
		code int
		want []string
	}{
		{ca.Directory(name(certs.Operator)), 0, []string{"store-0"}},
		{own, 0, []string{"store-0"}},
		{ca.Directory(name(certs.Shard)), 1, []string{"do not trust each other", "role operator"}},
		{stranger.Directory(name(certs.Operator)), 1, []string{"do not trust each other", "of no authority in ca.crt"}},
		{ca.Directory(name(certs.Monitor)), 2, []string{"needs one for operator or store or shard"}},
	} {
		run(t, "status --admin "+addr+" --tls-directory "+c.dir, c.code, c.want)
	}
	t.Setenv(tlsVariable, own)
	run(t, "status --admin "+addr, 0, []string{"store-0"})
}

func run(t *testing.T, args string, code int, want []string) {
	t.Helper()
	var out bytes.Buffer
	if got := Main(strings.Fields(args), &out, &out); got != code {
		t.Errorf("chatd %s: exit code %d, want %d", args, got, code)
	}
	for _, w := range want {
		if !strings.Contains(out.String(), w) {
			t.Errorf("chatd %s: no %q in\n%s", args, w, out.String())
		}
	}
}
