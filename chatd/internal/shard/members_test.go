package shard_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func wantState(t *testing.T, what string, s *chatv1.LogState, status chatv1.LogState_Status, code chatv1.Error_Code) {
	t.Helper()
	if s.GetStatus() != status || s.GetError().GetCode() != code {
		t.Errorf("%s: attached as %v, want %v (%v)", what, s, status, code)
	}
}

const (
	live    = chatv1.LogState_STATUS_LIVE
	refused = chatv1.LogState_STATUS_REFUSED
)

func TestOnlyMembersReadAGroup(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", group)
		// A stranger opens it first: that must not keep members out.
		eve, signedIn := r.signIn("eve", none(log))
		wantState(t, "a stranger", signedIn.GetLogs()[0], refused, chatv1.Error_CODE_NOT_MEMBER)
		ann, signedIn := r.signIn("ann", none(log))
		wantState(t, "the owner", signedIn.GetLogs()[0], live, 0)
		if got := eve.difference(log, 1, 0, 0).GetError().GetCode(); got != chatv1.Error_CODE_NOT_MEMBER {
			t.Errorf("a stranger's difference: %v", got)
		}
		wantState(t, "the stranger, once it is open", eve.attach(none(log))[0], refused, chatv1.Error_CODE_NOT_MEMBER)
		if got := eve.ask(postOf(log, 1, "let me in")).GetError().GetCode(); got != chatv1.Error_CODE_NOT_MEMBER {
			t.Errorf("a stranger's post: %v", got)
		}

		joined := eve.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Join{Join: &chatv1.JoinRequest{Log: log}}}).GetJoined()
		if joined.GetInfo().GetMembers() != 2 || joined.GetEpoch() != 1 {
			t.Errorf("joined: %v", joined)
		}
		synctest.Wait() // the event of her joining has been pushed
		wantState(t, "a member", eve.attach(at(log, 1, 2))[0], live, 0)
		r.stores.post("ann", log, 1)
		wantPushed(t, "both", []*device{eve}, log, []int{3})
		wantPushed(t, "both", []*device{ann}, log, []int{2, 3})

		eve.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Leave{Leave: &chatv1.LeaveRequest{Log: log}}})
		r.stores.post("ann", log, 1)
		wantPushed(t, "who stayed", []*device{ann}, log, upTo(2, 5))
		if got := eve.positions(log); slices.Contains(got, 5) {
			t.Errorf("who left was pushed %v", got)
		}
		if got := eve.difference(log, 1, 0, 0).GetError().GetCode(); got != chatv1.Error_CODE_NOT_MEMBER {
			t.Errorf("the difference of one who left: %v", got)
		}
	})
}

// A member's second session costs no question, and his right ends within the second though nobody asks.
func TestMembershipIsFollowedByTheGroupsEvents(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", group)
		r.signIn("ann", none(log))
		r.stores.join("bob", log)
		synctest.Wait() // the event of his joining has been pushed
		before := r.stores.asked("fetch")
		bob, _ := r.signIn("bob", none(log))
		r.signIn("bob", none(log))
		if got := r.stores.asked("fetch") - before; got != 0 {
			t.Errorf("%d fetches for a member whose joining has just passed, want none", got)
		}
		r.stores.leave("bob", log)
		if got := bob.positions(log); len(got) == 0 || got[len(got)-1] >= 0 {
			t.Errorf("who has left was pushed %v, and was not told that he is sent no more", got)
		}
		r.stores.join("bob", log) // and comes back
		synctest.Wait()
		d, signedIn := r.signIn("bob", none(log))
		wantState(t, "who came back", signedIn.GetLogs()[0], live, 0)
		r.stores.post("ann", log, 1)
		wantPushed(t, "the new session", []*device{d}, log, []int{5})
		if got := bob.positions(log); slices.Contains(got, 5) {
			t.Errorf("the session from before he left was pushed %v", got)
		}
	})
}

// A right that ended in a gap is gone as well, also if the gap is too long to be fetched.
func TestARightThatEndsInAGapIsGone(t *testing.T) {
	for name, posts := range map[string]int{"a gap that is fetched": 2, "one that is not": 60} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(c *shard.Config) { c.RingEvents, c.HealEvents = 100, 20 }, func(r *rig) {
				log := r.stores.create("ann", group)
				r.stores.join("bob", log)
				ann, _ := r.signIn("ann", none(log))
				bob, _ := r.signIn("bob", none(log))
				r.stores.set(func(s *stores) { s.fate = func(string, uint64) fate { return lose } })
				r.stores.leave("bob", log)
				r.stores.post("ann", log, posts)
				r.stores.set(func(s *stores) { s.fate = nil })
				r.stores.digest(nil)
				time.Sleep(time.Second)
				last := int(r.stores.post("ann", log, 1))
				if got := ann.positions(log); !slices.Contains(got, last) {
					t.Errorf("a member was pushed %v, without %d", got, last)
				}
				if got := bob.positions(log); slices.Contains(got, last) {
					t.Errorf("who has left was pushed %v", got)
				}
			})
		})
	}
}

// If the only member whom the shard knows has left, nobody can heal the feed; the next member does.
func TestTheNextMemberHealsAGroupWithoutReaders(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", group)
		r.stores.join("bob", log)
		r.stores.join("cat", log)
		r.signIn("bob", none(log))
		r.stores.set(func(s *stores) { s.fate = func(string, uint64) fate { return lose } })
		r.stores.leave("bob", log)
		r.stores.post("ann", log, 3)
		r.stores.digest(nil)
		time.Sleep(time.Second)
		cat, signedIn := r.signIn("cat", at(log, 1, 3))
		wantState(t, "the next member", signedIn.GetLogs()[0], live, 0)
		time.Sleep(time.Second)
		wantPushed(t, "the next member", []*device{cat}, log, upTo(4, 7))
	})
}

func TestAUsersOwnLog(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		mine := logid.User("ann")
		d, signedIn := r.signIn("ann", none(logid.Me))
		if s := signedIn.GetLogs()[0]; s.GetLog() != mine || s.GetStatus() != live || s.GetPts() != 0 || s.GetEpoch() != 1 {
			t.Fatalf("a user log of which there is nothing yet: attached as %v", s)
		}
		if diff := d.difference(logid.Me, 1, 0, 0).GetDifference(); diff.GetKind() != chatv1.DifferenceResponse_KIND_EMPTY {
			t.Errorf("its difference is %v", diff)
		}
		if diff := d.difference(logid.Me, 0, 0, 0).GetDifference(); diff.GetKind() != chatv1.DifferenceResponse_KIND_TOO_LONG ||
			diff.GetCursor().GetLog() != mine || diff.GetCursor().GetEpoch() != 1 || diff.GetInfo().GetOwner() != "ann" {
			t.Errorf("its difference without a cursor is %v", diff)
		}
		created := d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Create{Create: &chatv1.CreateRequest{Kind: group, Title: "choir", RandomId: 9}}}).GetCreated()
		if created.GetLog() != logid.Create(group, "ann", 9) || created.GetPts() != 1 || created.GetEpoch() != 1 {
			t.Fatalf("created: %v", created)
		}
		wantPushed(t, "the user's own log", []*device{d}, mine, []int{1})
		if e := d.pushed[0].GetEvent(); e.GetLogJoined().GetLog() != created.GetLog() || e.GetLogJoined().GetKind() != group {
			t.Errorf("its first event is %v", e)
		}
		eve, signedIn := r.signIn("eve")
		_ = signedIn
		got := eve.attach(none(mine))[0]
		if got.GetError().GetCode() != chatv1.Error_CODE_DENIED || got.GetError().GetField() != "attach.cursors[0].log" {
			t.Errorf("another user's log was answered %v", got)
		}
		if got := eve.difference(mine, 1, 0, 0).GetError().GetCode(); got != chatv1.Error_CODE_DENIED {
			t.Errorf("another user's difference: %v", got)
		}
	})
}

func TestLogsThatThereAreNotAreNotFound(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		d, signedIn := r.signIn("ann", none("cnosuchlog"))
		wantState(t, "a channel", signedIn.GetLogs()[0], refused, chatv1.Error_CODE_NOT_FOUND)
		if got := d.difference("cnosuchlog", 1, 0, 0).GetError().GetCode(); got != chatv1.Error_CODE_NOT_FOUND {
			t.Errorf("its difference: %v", got)
		}
		if got := r.metric("chatd_attached_logs"); got != 0 {
			t.Errorf("%v logs are followed", got)
		}
	})
}
