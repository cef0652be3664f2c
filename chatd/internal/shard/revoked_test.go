package shard_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// list is the region's list of revoked tokens, as far as one shard is concerned.
type list struct {
	mu    sync.Mutex
	added []token.Revocation
	fail  int
}

func (l *list) revoke(_ context.Context, r token.Revocation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail > 0 {
		l.fail--
		return context.DeadlineExceeded
	}
	l.added = append(l.added, r)
	return nil
}

func (l *list) following(c *shard.Config) {
	resuming(c)
	c.Revoked, c.Revoke = token.NewRevoked(), l.revoke
}

// revoke has the shard hear of a revocation.
func (r *rig) revoke(v token.Revocation) {
	v.Until = time.Now().Add(token.KeepRevoked)
	r.shard.Revoked([]token.Revocation{v})
}

const unauthenticated = chatv1.Error_CODE_UNAUTHENTICATED

func TestARevokedUsersSessionsEndAtOnce(t *testing.T) {
	inBubble(t, new(list).following, func(r *rig) {
		r.shard.AllRevoked()
		old := r.token("ann")
		var anns []*device
		var resume string
		for range 3 {
			d, hello := r.signIn("ann")
			anns, resume = append(anns, d), hello.GetResume().GetToken()
		}
		bob, _ := r.signIn("bob")
		time.Sleep(time.Minute)
		r.revoke(token.Revocation{User: "ann", Before: time.Now()})
		began := time.Now()
		for i, d := range anns {
			if code := d.closeCode(); code != engine.CloseFor(unauthenticated) || time.Since(began) > 0 {
				t.Errorf("session %d was closed with %d after %v", i, code, time.Since(began))
			}
			if last := d.last(); last.GetRef() != 0 || last.GetError().GetCode() != unauthenticated {
				t.Errorf("session %d was told %v", i, last)
			}
		}
		if ended(bob) {
			t.Error("another user's session has ended")
		}
		for what, frame := range map[string]*chatv1.ClientFrame{
			"the token": signInBy(old, "", "phone"), "the resume token": signInBy("", resume, "phone"), "both": signInBy(old, resume, "phone"),
		} {
			if got := r.connect(engine.JSON).ask(frame).GetError(); got.GetCode() != unauthenticated {
				t.Errorf("signing in again by %s: %v", what, got)
			}
		}
		if _, flt := r.shard.Authenticate(old); flt.GetCode() != unauthenticated {
			t.Errorf("over HTTP: %v", flt)
		}
		time.Sleep(time.Second)
		d, _ := r.signIn("ann")
		if got := d.ask(renewOf(old)).GetError(); got.GetCode() != unauthenticated || got.GetField() != "renew.token" {
			t.Errorf("renewing by it: %v", got)
		}
		if ended(d) {
			t.Error("a session by a newer token has ended")
		}
	})
}

func TestARevokedSessionTakesItsTokenAlong(t *testing.T) {
	l := &list{fail: 2}
	inBubble(t, l.following, func(r *rig) {
		r.shard.AllRevoked()
		raw := r.token("ann")
		one := r.connect(engine.JSON)
		hello := one.ask(signInBy(raw, "", "phone")).GetSignedIn()
		time.Sleep(2 * time.Second)
		two, _ := r.signIn("ann")
		r.revoke(token.Revocation{Session: hello.GetSession()})
		if one.closeCode() != engine.CloseFor(unauthenticated) {
			t.Errorf("it was closed with %d", one.closeCode())
		}
		time.Sleep(5 * time.Second) // the list cannot be written at first
		l.mu.Lock()
		added := l.added
		l.mu.Unlock()
		if len(added) != 1 || added[0].Token == "" || !added[0].Until.Equal(time.UnixMilli(hello.GetExpiresMs())) {
			t.Errorf("put on the list: %+v", added)
		}
		for what, frame := range map[string]*chatv1.ClientFrame{
			"the token": signInBy(raw, "", "phone"), "the resume token": signInBy("", hello.GetResume().GetToken(), "phone"),
		} {
			if got := r.connect(engine.JSON).ask(frame).GetError(); got.GetCode() != unauthenticated {
				t.Errorf("signing in again by %s: %v", what, got)
			}
		}
		if ended(two) {
			t.Error("the user's other session, by another token, has ended")
		}
	})
}

func TestNobodyIsLetInBeforeItIsKnownWhoIsRevoked(t *testing.T) {
	inBubble(t, new(list).following, func(r *rig) {
		raw := r.token("ann")
		if got := r.connect(engine.JSON).ask(signInBy(raw, "", "phone")).GetError(); got.GetCode() != chatv1.Error_CODE_UNAVAILABLE || got.GetRetryAfterMs() == 0 {
			t.Errorf("sign-in: %v", got)
		}
		if _, flt := r.shard.Authenticate(raw); flt.GetCode() != chatv1.Error_CODE_UNAVAILABLE {
			t.Errorf("over HTTP: %v", flt)
		}
		r.shard.AllRevoked()
		if got := r.connect(engine.JSON).ask(signInBy(raw, "", "phone")).GetSignedIn(); got == nil {
			t.Error("nor after that")
		}
	})
}

func TestARevocationDuringASignInEndsIt(t *testing.T) {
	inBubble(t, new(list).following, func(r *rig) {
		r.shard.AllRevoked()
		log := r.stores.create("ann", channel)
		r.stores.set(func(s *stores) { s.delay = time.Second })
		d := r.connect(engine.JSON)
		d.begin(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
			Token: r.token("ann"), Device: "phone", Cursors: []*chatv1.Cursor{none(log)}}}})
		synctest.Wait() // it waits for the store
		r.revoke(token.Revocation{User: "ann", Before: time.Now()})
		if code := d.closeCode(); code != engine.CloseFor(unauthenticated) {
			t.Errorf("closed with %d", code)
		}
	})
}
