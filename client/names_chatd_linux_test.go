package client_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// must is the result of a call that must not fail.
func must[T any](t *testing.T) func(T, error) T {
	return func(result T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}

// refusedWith checks that the fleet refused a request, and for which reason.
func refusedWith(t *testing.T, what string, err error, code client.Code) {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want %v", what, err, code)
	}
}

func created(ctx context.Context, t *testing.T, c *client.Client, kind chatv1.LogKind) string {
	t.Helper()
	return must[*chatv1.CreateResponse](t)(c.Create(ctx, &chatv1.CreateRequest{Kind: kind, Title: "test"})).Log
}

// A log is found by its name, and by no other one.
func TestRealFleetNames(t *testing.T) {
	s := newServer(t)
	ctx := testContext(t)
	alice, bob := open(t, s.options("alice", "phone")), open(t, s.options("bob", "phone"))
	news, sport := created(ctx, t, alice, chatv1.LogKind_LOG_KIND_CHANNEL), created(ctx, t, bob, chatv1.LogKind_LOG_KIND_GROUP)
	name := must[*chatv1.SetNameResponse](t)
	if named := name(alice.SetName(ctx, news, "@Daily_News")); named.Name != "daily_news" {
		t.Errorf("the name is kept as %q", named.Name)
	}
	found := must[*chatv1.LogInfo](t)
	if info := found(bob.ResolveName(ctx, "DAILY_news")); info.Log != news || info.Owner != "" {
		t.Errorf("found: %v, want %s, and nobody's name", info, news)
	}
	refusedWith(t, "another's name", errorOf(bob.SetName(ctx, sport, "daily_news")), chatv1.Error_CODE_TAKEN)
	refusedWith(t, "a name for another's log", errorOf(bob.SetName(ctx, news, "bobs_news")), chatv1.Error_CODE_DENIED)
	name(alice.SetName(ctx, news, ""))
	refusedWith(t, "a name that was given up", errorOf(bob.ResolveName(ctx, "daily_news")), chatv1.Error_CODE_NOT_FOUND)
	name(bob.SetName(ctx, sport, "daily_news"))
	if info := found(alice.ResolveName(ctx, "daily_news")); info.Log != sport {
		t.Errorf("found: %v, want %s", info, sport)
	}
}

// What a user has joined and not left is listed, to the user alone, also by a server that was killed and started again.
func TestRealFleetListsWhatWasJoined(t *testing.T) {
	s := newServer(t)
	ctx := testContext(t)
	alice, bob := open(t, s.options("alice", "phone")), open(t, s.options("bob", "phone"))
	want := make(map[string]chatv1.LogKind)
	for i := range 6 {
		kind := []chatv1.LogKind{chatv1.LogKind_LOG_KIND_CHANNEL, chatv1.LogKind_LOG_KIND_GROUP}[i%2]
		log := created(ctx, t, alice, kind)
		must[*chatv1.JoinResponse](t)(bob.Join(ctx, log))
		if want[log] = kind; i == 3 {
			if err := bob.Leave(ctx, log); err != nil {
				t.Fatal(err)
			}
			delete(want, log)
		}
	}
	check := func(c *client.Client, want map[string]chatv1.LogKind, pts uint64) {
		t.Helper()
		logs, asOf, err := c.Joined(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(logs) != len(want) || asOf.PTS != pts {
			t.Errorf("%d logs are listed as of %d, want %d as of %d", len(logs), asOf.PTS, len(want), pts)
		}
		for _, l := range logs {
			if want[l.Log] != l.Kind {
				t.Errorf("%s is listed as %v, want %v", l.Log, l.Kind, want[l.Log])
			}
		}
	}
	eve := open(t, s.options("eve", "phone"))
	check(bob, want, 7)
	check(eve, nil, 0)
	s.stop(syscall.SIGKILL)
	s.start()
	check(bob, want, 7)
	check(eve, nil, 0)
}

// A private channel is read by who has joined it by invitation, until he leaves it.
func TestRealFleetInvitations(t *testing.T) {
	s := newServer(t)
	ctx := testContext(t)
	alice, bob := open(t, s.options("alice", "phone")), open(t, s.options("bob", "phone"))
	news := created(ctx, t, alice, chatv1.LogKind_LOG_KIND_CHANNEL)
	before := attach(t, bob, news, client.AttachOptions{Handler: newReader(t).handle, FromBeginning: true})
	ready(t, before)
	private := &chatv1.Policy{AdminsPostOnly: true, ByInvitation: proto.Bool(true)}
	if err := alice.SetPolicy(ctx, news, private); err != nil {
		t.Fatal(err)
	}
	ended(ctx, t, before, chatv1.Error_CODE_NOT_MEMBER)
	refusedWith(t, "joining uninvited", errorOf(bob.Join(ctx, news)), chatv1.Error_CODE_DENIED)

	invite := must[*chatv1.CreateInvitationResponse](t)
	request := &chatv1.CreateInvitationRequest{Log: news, RandomId: 7}
	made := invite(alice.CreateInvitation(ctx, request))
	if again := invite(alice.CreateInvitation(ctx, request)); again.Token != made.Token {
		t.Errorf("the same request has made %q and %q", made.Token, again.Token)
	}
	void := invite(alice.CreateInvitation(ctx, &chatv1.CreateInvitationRequest{Log: news}))
	if err := alice.RevokeInvitation(ctx, news, void.Invitation.Id); err != nil {
		t.Fatal(err)
	}
	list := must[[]*chatv1.Invitation](t)(alice.Invitations(ctx, news))
	if len(list) != 1 || list[0].Id != made.Invitation.Id {
		t.Errorf("the list has %v", list)
	}
	refusedWith(t, "the list, for a stranger", errorOf(bob.Invitations(ctx, news)), chatv1.Error_CODE_DENIED)
	refusedWith(t, "a revoked one", errorOf(bob.JoinByInvitation(ctx, void.Token)), chatv1.Error_CODE_INVITATION_OVER)
	if info := must[*chatv1.LogInfo](t)(bob.ResolveInvitation(ctx, made.Token)); info.Log != news || !info.Policy.GetByInvitation() {
		t.Errorf("the invitation is to %v", info)
	}
	if joined := must[*chatv1.JoinResponse](t)(bob.JoinByInvitation(ctx, made.Token)); joined.Info.Log != news {
		t.Errorf("joined %v", joined)
	}
	r := newReader(t)
	ready(t, attach(t, bob, news, client.AttachOptions{Handler: r.handle, FromBeginning: true}))
	if _, err := alice.Post(ctx, message(news, "for members")); err != nil {
		t.Fatal(err)
	}
	r.until(func(seen []string) bool { return len(seen) > 0 && seen[len(seen)-1] == "for members" })
	if err := bob.Leave(ctx, news); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, "reading what he has left", errorOf(bob.Difference(ctx, client.Cursor{Log: news, Epoch: 1}, 0)), chatv1.Error_CODE_NOT_MEMBER)
	// Who does not say leaves the channel private.
	if err := alice.SetPolicy(ctx, news, &chatv1.Policy{AdminsPostOnly: true}); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, "joining uninvited, still", errorOf(bob.Join(ctx, news)), chatv1.Error_CODE_DENIED)
}

// ended waits for the end of an attachment.
func ended(ctx context.Context, t *testing.T, l *client.Log, code client.Code) {
	t.Helper()
	select {
	case <-l.Done():
		refusedWith(t, "the log's end", l.Err(), code)
	case <-ctx.Done():
		t.Fatal("it is still attached")
	}
}

// The server, with its store, is killed again and again while names and invitations are made and taken away. Every request comes to its end,
// what was answered holds, and nothing is left over that would keep a name.
func TestRealFleetNamesOverKills(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	alice, bob := open(t, s.options("alice", "phone")), open(t, s.options("bob", "phone"))
	news, club := created(ctx, t, alice, chatv1.LogKind_LOG_KIND_CHANNEL), created(ctx, t, alice, chatv1.LogKind_LOG_KIND_GROUP)
	if err := alice.SetPolicy(ctx, club, &chatv1.Policy{ByInvitation: proto.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	tokens := make(map[uint64]string)
	rounds := func() error {
		for i := uint64(1); i <= 60; i++ {
			name := fmt.Sprintf("name_%d", i)
			if _, err := alice.SetName(ctx, news, name); err != nil {
				return fmt.Errorf("naming it %s: %w", name, err)
			}
			if info, err := bob.ResolveName(ctx, name); err != nil || info.Log != news {
				return fmt.Errorf("%s is %v, %w", name, info, err)
			}
			made, err := alice.CreateInvitation(ctx, &chatv1.CreateInvitationRequest{Log: club, RandomId: i})
			if err != nil {
				return fmt.Errorf("invitation %d: %w", i, err)
			}
			tokens[i] = made.Token
			if i%2 == 0 {
				if err := alice.RevokeInvitation(ctx, club, made.Invitation.Id); err != nil {
					return fmt.Errorf("revoking invitation %d: %w", i, err)
				}
			}
		}
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- rounds() }()
	for range 4 {
		time.Sleep(150 * time.Millisecond)
		s.stop(syscall.SIGKILL)
		s.start()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	refusedWith(t, "a name that was replaced", errorOf(bob.ResolveName(ctx, "name_59")), chatv1.Error_CODE_NOT_FOUND)
	if info := must[*chatv1.LogInfo](t)(bob.ResolveName(ctx, "name_60")); info.Log != news || info.Name != "name_60" {
		t.Errorf("the last name is %v", info)
	}
	if list := must[[]*chatv1.Invitation](t)(alice.Invitations(ctx, club)); len(list) != 30 {
		t.Errorf("%d invitations are good, want 30", len(list))
	}
	refusedWith(t, "a revoked one", errorOf(bob.JoinByInvitation(ctx, tokens[60])), chatv1.Error_CODE_INVITATION_OVER)
	must[*chatv1.JoinResponse](t)(bob.JoinByInvitation(ctx, tokens[1]))
}
