package command

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

// port answers as an admin port: a drain takes two looks to its end.
type port struct {
	adminv1connect.UnimplementedAdminServiceHandler
	mu    sync.Mutex
	drain *adminv1.Drain
	looks int
}

func (p *port) Status(context.Context, *connect.Request[adminv1.StatusRequest]) (*connect.Response[adminv1.StatusResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.looks++; p.looks >= 2 && p.drain != nil {
		p.drain.State, p.drain.Sessions = adminv1.Drain_STATE_DONE, 0
	}
	return connect.NewResponse(&adminv1.StatusResponse{Name: "shard-0", Region: "eu", Role: adminv1.StatusResponse_ROLE_SHARD, Version: "v1.2.3",
		NotReady: []string{"no link to a store"}, Sessions: 7, AttachedLogs: 3, Drain: p.drain}), nil
}

func (p *port) BeginDrain(_ context.Context, r *connect.Request[adminv1.BeginDrainRequest]) (*connect.Response[adminv1.BeginDrainResponse], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Msg.GetPace().GetSessionsPerSecond() == 13 {
		return nil, connect.NewError(connect.CodeFailedPrecondition, context.Canceled)
	}
	p.drain = &adminv1.Drain{Goal: adminv1.Drain_GOAL_DRAIN, State: adminv1.Drain_STATE_UNDER_WAY, Pace: r.Msg.GetPace(), Sessions: 7, BeganMs: 1}
	return connect.NewResponse(&adminv1.BeginDrainResponse{Drain: p.drain}), nil
}

func TestStatusAndDrainCommands(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminServiceHandler(&port{}))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"status --admin " + addr, 0, []string{"shard-0, shard of region eu", "v1.2.3", "no: no link to a store", "7, with 3 logs"}},
		{"status --output json --admin " + addr, 0, []string{`"region"`, `"ROLE_SHARD"`}},
		{"status --output xml --admin " + addr, 2, []string{"want text or json"}},
		{"status --admin nowhere", 2, []string{`--admin "nowhere": want host:port`}},
		{"status --admin 127.0.0.1:1", 1, []string{"does not answer; does the member run"}},
		{"status --admin " + empty.URL, 1, []string{"not as an admin port"}},
		{"drain --sessions-per-second 5 --wait --admin " + addr, 0, []string{"drain under way: 0 told, 7 sessions here, 5 a second", "drain done"}},
		{"drain --sessions-per-second 13 --admin " + addr, 1, []string{"chatd drain: context canceled"}},
		{"drain --reverse --keep 5 --admin " + addr, 2, []string{"--reverse goes alone"}},
		{"drain --timeout -1s --admin " + addr, 2, []string{"--timeout -1s"}},
		{"drain --keep -5", 2, []string{"keep"}},
	} {
		var out bytes.Buffer
		if code := Main(strings.Fields(c.args), &out, &out); code != c.code {
			t.Errorf("chatd %s: exit code %d, want %d", c.args, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("chatd %s: no %q in\n%s", c.args, want, out.String())
			}
		}
	}
}

func TestStatusSaysHowFullTheVolumeIs(t *testing.T) {
	var out bytes.Buffer
	s := &adminv1.StatusResponse{Name: "store-0", Role: adminv1.StatusResponse_ROLE_STORE, VolumeUsedPermille: 447, VolumeFullAtPermille: 850}
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	if want := "44 % in use; from 85 % on what makes logs grow is refused"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
}

func TestStatusSaysWhichStoreIsFull(t *testing.T) {
	for full, want := range map[string]bool{"": false, "store-1": true} {
		var out bytes.Buffer
		if err := printStatus(&out, &adminv1.StatusResponse{Name: "store-0", Role: adminv1.StatusResponse_ROLE_STORE, FullStore: full}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "the volume of store store-1: posts are refused"); got != want {
			t.Errorf("%q is full: %s", full, out.String())
		}
	}
}
