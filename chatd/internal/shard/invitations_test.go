package shard_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	p := &chatv1.Policy{ByInvitation: private, AdminsPostOnly: log[0] == 'c'}
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
		_, flt = r.shard.SetPolicy(ctx, "ann", &chatv1.SetPolicyRequest{Log: other, Policy: &chatv1.Policy{ByInvitation: true}})
		want("a named log made private", flt.GetCode(), chatv1.Error_CODE_INVALID)
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
