package shard_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// invented are ids of logs that there are not.
func invented(n int) (all []*chatv1.Cursor) {
	for i := range n {
		all = append(all, at(fmt.Sprintf("%cinvented%d", "cg"[i%2], i), 1, 1))
	}
	return all
}

// asksOf counts what owners were asked while f ran, but for the heads of followed logs, which the shard asks for by itself from time to time.
func (r *rig) asksOf(f func()) (n int) {
	count := func() (n int) {
		r.stores.set(func(s *stores) {
			for kind, asked := range s.asks {
				if kind != "heads" {
					n += asked
				}
			}
		})
		return n
	}
	before := count()
	f()
	synctest.Wait()
	return count() - before
}

func patient(c *shard.Config) {
	c.RequestsPerSecond, c.RequestBurst, c.UserRequestBurst = 1e6, 1e6, 1e6
}

// Who invents ids has owners look for each of them once in a while, however often, by whatever request and by however many sessions he asks.
func TestInventedLogsAreAskedForOnce(t *testing.T) {
	inBubble(t, patient, func(r *rig) {
		ids := invented(1000)
		var d *device
		states := func(all []*chatv1.LogState) {
			for _, s := range all {
				wantState(t, s.GetLog(), s, refused, chatv1.Error_CODE_NOT_FOUND)
			}
		}
		if n := r.asksOf(func() {
			_, signedIn := r.signIn("eve", ids...)
			states(signedIn.GetLogs())
		}); n != 1000 {
			t.Errorf("a thousand logs that there are not: owners were asked %d times", n)
		}
		again := r.asksOf(func() {
			signed, signedIn := r.signIn("mallory", ids...)
			d = signed
			states(signedIn.GetLogs())
			states(d.attach(ids...))
		})
		notFound := func(c *chatv1.Cursor, frames ...*chatv1.ClientFrame) {
			for _, f := range frames {
				if got := d.ask(f).GetError(); got.GetCode() != chatv1.Error_CODE_NOT_FOUND || got.GetMessage() != "there is no log "+c.GetLog() {
					t.Fatalf("%v was answered %v", f, got)
				}
			}
		}
		again += r.asksOf(func() {
			for _, c := range ids {
				notFound(c, differenceOf(c.GetLog(), 1, 1, 0), historyOf(c.GetLog(), 1, 5, 0), postOf(c.GetLog(), 1, "hi"),
					&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Join{Join: &chatv1.JoinRequest{Log: c.GetLog()}}},
					&chatv1.ClientFrame{Body: &chatv1.ClientFrame_ListInvitations{ListInvitations: &chatv1.ListInvitationsRequest{Log: c.GetLog()}}},
					&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SetName{SetName: &chatv1.SetNameRequest{Log: c.GetLog(), Name: "invented"}}})
			}
		})
		if again != 0 {
			t.Errorf("asked for again, owners were asked %d times more", again)
		}
		time.Sleep(4 * time.Second)
		if n := r.asksOf(func() { states(d.attach(ids...)) }); n != 1000 {
			t.Errorf("a while later owners were asked %d times", n)
		}
		if got := r.metric("chatd_attached_logs"); got != 0 {
			t.Errorf("%v logs are followed", got)
		}
	})
}

// A log is found as soon as it is there: at once by who asks for the first time, or where it was made or heard of; else soon.
func TestALogIsFoundOnceItIsThere(t *testing.T) {
	inBubble(t, patient, func(r *rig) {
		d, _ := r.signIn("ann")
		made := uint64(0)
		create := func() *chatv1.CreateRequest {
			made++
			return &chatv1.CreateRequest{Kind: channel, Title: "t", RandomId: made}
		}
		elsewhere := func(req *chatv1.CreateRequest) {
			id := logid.Create(channel, "ann", req.GetRandomId())
			r.stores.do("ann", id, chatlog.Command{Create: &wire.Create{Log: id, Request: req}})
		}
		found := func(what string, req *chatv1.CreateRequest, want chatv1.Error_Code) {
			t.Helper()
			id := logid.Create(channel, "ann", req.GetRandomId())
			if got := d.difference(id, 1, 0, 0).GetError().GetCode(); got != want {
				t.Errorf("%s: the difference is answered %v, want %v", what, got, want)
			}
			if got := d.attach(at(id, 1, 1))[0].GetError().GetCode(); got != want {
				t.Errorf("%s: an attach is answered %v, want %v", what, got, want)
			}
		}
		here := create()
		found("before it was made", here, chatv1.Error_CODE_NOT_FOUND)
		if got := d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Create{Create: here}}); got.GetCreated() == nil {
			t.Fatalf("create was answered %v", got)
		}
		found("made here", here, 0)

		unheard := create()
		elsewhere(unheard)
		found("made elsewhere and not asked for before", unheard, 0)

		told := create()
		found("before it was made", told, chatv1.Error_CODE_NOT_FOUND)
		elsewhere(told)
		r.stores.digest(nil)
		synctest.Wait()
		found("named by a digest", told, 0)

		asked := create()
		found("before it was made", asked, chatv1.Error_CODE_NOT_FOUND)
		elsewhere(asked)
		found("made elsewhere a moment ago", asked, chatv1.Error_CODE_NOT_FOUND)
		time.Sleep(3 * time.Second)
		found("made elsewhere three seconds ago", asked, 0)
	})
}

// An answer that was on its way when the log was made says nothing of it.
func TestAnAnswerOlderThanTheLogIsNotKept(t *testing.T) {
	inBubble(t, patient, func(r *rig) {
		d, _ := r.signIn("ann")
		req := &chatv1.CreateRequest{Kind: channel, Title: "t", RandomId: 7}
		id := logid.Create(channel, "ann", 7)
		r.stores.set(func(s *stores) { s.back = 2 * time.Second })
		late := d.begin(differenceOf(id, 1, 0, 0))
		synctest.Wait() // its owner has said no, and that is on its way
		r.stores.set(func(s *stores) { s.back = 0 })
		if got := d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Create{Create: req}}); got.GetCreated() == nil {
			t.Fatalf("create was answered %v", got)
		}
		if got := (<-late).GetError().GetCode(); got != chatv1.Error_CODE_NOT_FOUND {
			t.Fatalf("the answer of before: %v", got)
		}
		if got := d.difference(id, 1, 0, 0); got.GetDifference() == nil {
			t.Errorf("after it: %v", got)
		}
	})
}

// The logs of a sign-in count for the user as those of an attach do; without many of them, signing in costs nothing.
func TestTheLogsOfASignInAreCharged(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.UserRequestBurst, c.UserRequestsPerSecond = 250, 10 }, func(r *rig) {
		signIn := func(n int) (*device, *chatv1.ServerFrame) {
			d := r.connect(engine.JSON)
			return d, d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
				Token: r.token("eve"), Device: "phone", Cursors: invented(n)}}})
		}
		if _, got := signIn(1000); got.GetSignedIn() == nil {
			t.Fatalf("the first: %v", got)
		}
		d, got := signIn(1000)
		if e := got.GetError(); e.GetCode() != chatv1.Error_CODE_TOO_MANY || e.GetRetryAfterMs() < 14_000 || e.GetRetryAfterMs() > 16_000 {
			t.Errorf("the second, at 50 of 200, with 10 more a second: %v", got)
		}
		if code := d.closeCode(); code != 4008 {
			t.Errorf("closed with %d", code)
		}
		for range 100 {
			if _, got := signIn(4); got.GetSignedIn() == nil {
				t.Fatalf("a device with a few logs: %v", got)
			}
		}
		time.Sleep(16 * time.Second)
		if _, got := signIn(1000); got.GetSignedIn() == nil {
			t.Errorf("after the time that was said: %v", got)
		}
	})
}
