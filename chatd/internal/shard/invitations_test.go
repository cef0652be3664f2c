package shard_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	over     = chatv1.Error_CODE_INVITATION_OVER
	denied   = chatv1.Error_CODE_DENIED
	notHere  = chatv1.Error_CODE_NOT_FOUND
	stranger = chatv1.Error_CODE_NOT_MEMBER
)

func (r *rig) makePrivate(t *testing.T, log string, private bool) {
	t.Helper()
	p := &chatv1.Policy{ByInvitation: &private, AdminsPostOnly: log[0] == 'c'}
	if _, flt := r.shard.SetPolicy(context.Background(), "ann", &chatv1.SetPolicyRequest{Log: log, Policy: p}); flt != nil {
		t.Fatal(flt)
	}
}

func (r *rig) invite(t *testing.T, log string, uses uint32, until time.Duration) *chatv1.CreateInvitationResponse {
	t.Helper()
	req := &chatv1.CreateInvitationRequest{Log: log, MaxUses: uses}
	if until > 0 {
		req.ExpiresMs = time.Now().Add(until).UnixMilli()
	}
	made, flt := r.shard.CreateInvitation(context.Background(), "ann", req)
	if flt != nil {
		t.Fatal(flt)
	}
	return made
}

func (r *rig) joins(user, log, invitation string) chatv1.Error_Code {
	_, flt := r.shard.Join(context.Background(), user, &chatv1.JoinRequest{Log: log, Invitation: invitation})
	return flt.GetCode()
}

func TestInvitations(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		log, other := r.stores.create("ann", group), r.stores.create("ann", group)
		r.makePrivate(t, log, true)
		once, short, long := r.invite(t, log, 1, 0), r.invite(t, log, 0, time.Minute), r.invite(t, log, 0, 0)
		secret := strings.Split(once.GetToken(), ".")[1]
		for _, e := range r.stores.logs[log].events {
			if strings.Contains(string(e), secret) {
				t.Error("an event shows an invitation's secret")
			}
		}
		want := func(name string, got, code chatv1.Error_Code) {
			t.Helper()
			if got != code {
				t.Errorf("%s: %v, want %v", name, got, code)
			}
		}
		want("without an invitation", r.joins("bob", log, ""), denied)
		want("with one to another log", r.joins("bob", other, once.GetToken()), chatv1.Error_CODE_INVALID)
		want("with one that is none", r.joins("bob", log, log+"."+strings.Repeat("a", 26)), notHere)
		want("with its id in place of its secret", r.joins("bob", log, log+"."+once.GetInvitation().GetId()), notHere)
		want("with one", r.joins("bob", "", once.GetToken()), 0)
		want("again", r.joins("bob", log, once.GetToken()), 0)
		want("when it is used up", r.joins("eve", log, once.GetToken()), over)
		time.Sleep(time.Minute)
		want("when it has expired", r.joins("eve", log, short.GetToken()), over)
		got, flt := r.shard.Resolve(ctx, "eve", &chatv1.ResolveRequest{Invitation: long.GetToken()})
		if flt != nil || got.GetInfo().GetTitle() != "test" || got.GetInfo().GetMembers() != 2 || !got.GetInfo().GetPolicy().GetByInvitation() || got.GetInfo().GetOwner() != "" {
			t.Errorf("what an invitation is for: %v, %v", got, flt)
		}
		list, flt := r.shard.ListInvitations(ctx, "ann", &chatv1.ListInvitationsRequest{Log: log})
		if flt != nil || len(list.GetInvitations()) != 1 || list.GetInvitations()[0].GetId() != long.GetInvitation().GetId() {
			t.Errorf("those that are good: %v, %v", list, flt)
		}
		_, flt = r.shard.ListInvitations(ctx, "bob", &chatv1.ListInvitationsRequest{Log: log})
		want("a member's list", flt.GetCode(), denied)
		_, flt = r.shard.RevokeInvitation(ctx, "ann", &chatv1.RevokeInvitationRequest{Log: log, Id: long.GetInvitation().GetId()})
		want("revoking", flt.GetCode(), 0)
		want("when it is revoked", r.joins("eve", log, long.GetToken()), over)
		_, flt = r.setName("ann", log, "secret_club")
		want("a name of a private log", flt.GetCode(), chatv1.Error_CODE_INVALID)
		_, _ = r.setName("ann", other, "open_club")
		_, flt = r.shard.SetPolicy(ctx, "ann", &chatv1.SetPolicyRequest{Log: other, Policy: &chatv1.Policy{ByInvitation: proto.Bool(true)}})
		want("a named log made private", flt.GetCode(), chatv1.Error_CODE_INVALID)
	})
}

// What a user has joined is listed page by page from his log's state, whatever is left of its events.
func TestJoinedLogsAreListed(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		list := func(user string, limit uint32) (logs []string, pages int, first *chatv1.ListJoinedResponse) {
			req := &chatv1.ListJoinedRequest{Limit: limit}
			for {
				page, flt := r.shard.ListJoined(ctx, user, req)
				if flt != nil {
					t.Fatal(flt)
				}
				if pages++; first == nil {
					first = page
				}
				for _, l := range page.GetLogs() {
					if l.GetKind() != logid.Kind(l.GetLog()) {
						t.Errorf("the log %s is listed as a %v", l.GetLog(), l.GetKind())
					}
					logs = append(logs, l.GetLog())
				}
				if !page.GetMore() {
					return logs, pages, first
				}
				req.After = logs[len(logs)-1]
			}
		}
		if logs, _, first := list("bob", 0); len(logs) != 0 || first.GetPts() != 0 {
			t.Errorf("who has joined nothing is listed %v at %d", logs, first.GetPts())
		}
		var want []string
		for i := range 7 {
			log := r.stores.create("ann", []chatv1.LogKind{channel, group}[i%2])
			if code := r.joins("bob", log, ""); code != 0 {
				t.Fatal(code)
			}
			want = append(want, log)
		}
		if _, flt := r.shard.Leave(ctx, "bob", &chatv1.LeaveRequest{Log: want[3]}); flt != nil {
			t.Fatal(flt)
		}
		want = slices.Sorted(slices.Values(slices.Delete(want, 3, 4)))
		for limit, pages := range map[uint32]int{0: 1, 6: 1, 5: 2, 1: 6} {
			got, n, first := list("bob", limit)
			if !slices.Equal(got, want) || n != pages || first.GetPts() != 8 || first.GetEpoch() == 0 {
				t.Errorf("%d at a time: %v in %d pages as of %d, want %v in %d as of 8", limit, got, n, first.GetPts(), want, pages)
			}
		}
		if logs, _, _ := list("eve", 0); len(logs) != 0 {
			t.Errorf("another user is listed %v", logs)
		}
	})
}

// A private channel is read by who has joined it, and by nobody else, on whatever way.
func TestAPrivateChannelIsReadByWhoHasJoined(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		if code := r.joins("bob", log, ""); code != 0 {
			t.Fatal(code)
		}
		bob, _ := r.signIn("bob", none(log))
		eve, _ := r.signIn("eve", none(log))
		r.makePrivate(t, log, true)
		synctest.Wait()
		last := int(r.stores.post("ann", log, 1))
		synctest.Wait()
		if got := bob.positions(log); len(got) == 0 || got[len(got)-1] != last {
			t.Errorf("who had joined before was pushed %v, want %d last", got, last)
		}
		if got := eve.positions(log); len(got) == 0 || got[len(got)-1] >= 0 {
			t.Errorf("who had not was pushed %v, and was not told at the end that it is sent no more", got)
		}
		reads := func(when string, code chatv1.Error_Code) {
			t.Helper()
			if got := eve.difference(log, 1, 0, 0).GetError().GetCode(); got != code {
				t.Errorf("%s: the difference, in a session: %v, want %v", when, got, code)
			}
			if _, flt := r.shard.Difference(context.Background(), "eve", &chatv1.DifferenceRequest{Cursor: at(log, 1, 0)}); flt.GetCode() != code {
				t.Errorf("%s: the difference, over HTTP: %v, want %v", when, flt, code)
			}
			if got := eve.attach(none(log))[0].GetError().GetCode(); got != code {
				t.Errorf("%s: an attach: %v, want %v", when, got, code)
			}
		}
		reads("before she has joined", stranger)
		if code := r.joins("eve", log, ""); code != denied {
			t.Errorf("joining without an invitation: %v", code)
		}
		if code := r.joins("bob", log, ""); code != 0 {
			t.Errorf("joining again: %v", code)
		}
		if code := r.joins("eve", "", r.invite(t, log, 0, 0).GetToken()); code != 0 {
			t.Fatal(code)
		}
		reads("when she has joined", 0)
		if _, flt := r.shard.Leave(context.Background(), "eve", &chatv1.LeaveRequest{Log: log}); flt != nil {
			t.Fatal(flt)
		}
		reads("when she has left", stranger)
		r.makePrivate(t, log, false)
		synctest.Wait()
		reads("when it is public again", 0)
	})
}

// A request that is repeated after its answer was lost is answered with the same invitation, by any shard that has the key; another request
// never is.
func TestAnInvitationRepeated(t *testing.T) {
	seal := token.FixedSeal([]byte("a secret of this test alone"))
	keys, err := shard.InvitationKeys(seal, "test")
	if err != nil {
		t.Fatal(err)
	}
	if others, _ := shard.InvitationKeys(seal, "other"); slices.Equal(keys()[0], others()[0]) {
		t.Error("two regions have one key")
	}
	var tokens []string
	for range 2 { // two shards
		inBubble(t, func(c *shard.Config) { c.InvitationKeys = keys }, func(r *rig) {
			log := logid.Create(group, "ann", 1)
			r.stores.do("ann", log, chatlog.Command{Create: &wire.Create{Log: log, Request: &chatv1.CreateRequest{Kind: group, Title: "test", RandomId: 1}}})
			r.stores.join("bob", log)
			r.stores.role("ann", log, "bob", chatv1.Role_ROLE_ADMIN)
			create := func(user string, id uint64, uses uint32) (string, *chatv1.Error) {
				made, flt := r.shard.CreateInvitation(context.Background(), user, &chatv1.CreateInvitationRequest{Log: log, RandomId: id, MaxUses: uses})
				return made.GetToken(), flt
			}
			seen := map[string]bool{}
			for _, by := range []struct {
				user string
				id   uint64
			}{{"ann", 7}, {"ann", 8}, {"bob", 7}, {"ann", 0}, {"ann", 0}} {
				token, flt := create(by.user, by.id, 3)
				if flt != nil || seen[token] {
					t.Errorf("%v: %q, %v; before there were %v", by, token, flt, seen)
				}
				seen[token] = true
			}
			again, flt := create("ann", 7, 3)
			if flt != nil || !seen[again] {
				t.Errorf("repeated: %q, %v; there were %v", again, flt, seen)
			}
			if _, flt := create("ann", 7, 4); flt.GetCode() != chatv1.Error_CODE_ID_REUSED {
				t.Errorf("with other uses: %v", flt)
			}
			if code := r.joins("eve", "", again); code != 0 {
				t.Errorf("joining by it: %v", code)
			}
			list, _ := r.shard.ListInvitations(context.Background(), "ann", &chatv1.ListInvitationsRequest{Log: log})
			if len(list.GetInvitations()) != len(seen) {
				t.Errorf("%d invitations, want %d", len(list.GetInvitations()), len(seen))
			}
			tokens = append(tokens, again)
		})
	}
	if tokens[0] != tokens[1] {
		t.Errorf("two shards make %q", tokens)
	}
}

// visitors are users who have a channel attached; two of three have joined it.
func (r *rig) visitors(log string, users int) (all []*device) {
	for i := range users {
		user := fmt.Sprint("user", i)
		if i%3 > 0 && r.joins(user, log, "") != 0 {
			r.t.Fatal("cannot join")
		}
		d, _ := r.signIn(user, none(log))
		all = append(all, d)
	}
	return all
}

// When a channel becomes private, the users' own logs are asked many at once, and whoever has not joined is sent away; also while owners
// do not answer at first.
func TestManyAreSortedOutTogether(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		const users = 60
		log := r.stores.create("ann", channel)
		ann, _ := r.signIn("ann", none(log)) // reads it as its owner
		all := r.visitors(log, users)
		before := r.stores.asked("look_up")
		r.makePrivate(t, log, true)
		r.stores.set(func(s *stores) { s.down = true })
		time.Sleep(3 * time.Second)
		r.stores.set(func(s *stores) { s.down = false })
		time.Sleep(15 * time.Second)
		last := int(r.stores.post("ann", log, 1))
		synctest.Wait()
		for i, d := range append(all, ann) {
			got := d.positions(log)
			if stays := i%3 > 0 || i == users; len(got) == 0 || (got[len(got)-1] == last) != stays || (got[len(got)-1] < 0) == stays {
				t.Errorf("user %d was pushed %v, the newest is %d, he may stay: %v", i, got, last, stays)
			}
		}
		if n := r.stores.asked("joined"); n > 2*partitions {
			t.Errorf("%d requests about %d users in %d partitions", n, users, partitions)
		}
		if n := r.stores.asked("look_up") - before; n > 2*partitions {
			t.Errorf("%d logs were looked up for %d users", n, users)
		}
	})
}

// Who leaves a private channel is pushed no more: at once where he does it, and where his own log is attached; else within half a minute.
func TestLeavingAPrivateChannelEndsThePushes(t *testing.T) {
	for name, test := range map[string]struct {
		also   []*chatv1.Cursor
		here   bool
		within time.Duration
	}{
		"here":                            {nil, true, 0},
		"elsewhere, his own log attached": {[]*chatv1.Cursor{none("me")}, false, 0},
		"elsewhere":                       {nil, false, 31 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				log := r.stores.create("ann", channel)
				if code := r.joins("bob", log, ""); code != 0 {
					t.Fatal(code)
				}
				r.makePrivate(t, log, true)
				bob, _ := r.signIn("bob", append(test.also, none(log))...)
				time.Sleep(time.Minute)
				bob.ask(pingOf(1)) // or he is taken for silent
				stays := int(r.stores.post("ann", log, 1))
				synctest.Wait()
				if got := bob.positions(log); len(got) == 0 || got[len(got)-1] != stays {
					t.Fatalf("after a minute he was pushed %v, want %d", got, stays)
				}
				if test.here {
					_, flt := r.shard.Leave(context.Background(), "bob", &chatv1.LeaveRequest{Log: log})
					if flt != nil {
						t.Fatal(flt)
					}
				} else {
					own := logid.User("bob")
					r.stores.do("bob", own, chatlog.Command{Note: &wire.UserNote{UserLog: own, Log: log, Left: true}})
				}
				time.Sleep(test.within)
				synctest.Wait()
				r.stores.post("ann", log, 1)
				if got := bob.positions(log); got[len(got)-1] != -(stays + 1) {
					t.Errorf("he was pushed %v, want nothing after %d, and to be told", got, stays)
				}
			})
		})
	}
}
