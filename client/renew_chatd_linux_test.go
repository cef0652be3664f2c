package client_test

import (
	"context"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// The real chatd: a session outlives the token that it began with, and is never signed in anew.
func TestRealFleetRenewsInPlace(t *testing.T) {
	s := newServer(t)
	s.stop(syscall.SIGTERM)
	s.tokens = []string{"--token-issuers", "keys=" + filepath.Join(s.dir, "keys", "keys.json") + " leeway=1s"}
	s.start()
	o := s.options("alice", "phone")
	const life = 4 * time.Second
	o.Token = func(context.Context) (string, error) {
		return s.run("token", "--key", filepath.Join(s.dir, "keys", "signing.key"), "--user", "alice", "--ttl", life.String()), nil
	}
	var mu sync.Mutex
	var statuses []client.Status
	o.OnStatus = func(st client.Status) {
		mu.Lock()
		defer mu.Unlock()
		statuses = append(statuses, st)
	}
	began := time.Now()
	c := open(t, o)
	ctx := testContext(t)
	created, err := c.Create(ctx, &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t"})
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(2); time.Since(began) < 2*life+2*time.Second; n++ {
		r, err := c.Post(ctx, &chatv1.PostRequest{Log: created.Log, Message: &chatv1.Message{Text: "still here"}})
		if err != nil || r.Pts != n {
			t.Fatalf("post %d: %v (%v)", n, r, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(statuses) != 1 || !statuses[0].SignedIn {
		t.Errorf("the session did not go on: %v", statuses)
	}
}
