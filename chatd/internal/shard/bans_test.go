package shard_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func roleOf(log, user string, role chatv1.Role) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SetRole{SetRole: &chatv1.SetRoleRequest{Log: log, User: user, Role: role}}}
}

const (
	admin  = chatv1.Role_ROLE_ADMIN
	member = chatv1.Role_ROLE_MEMBER
	banned = chatv1.Role_ROLE_BANNED
)

// Who is banned is pushed nothing after his ban, on none of his sessions, and hears why when he asks; he is served again once the ban is
// lifted. Others notice nothing. So in channels and in groups.
func TestABanEndsPushesAtOnce(t *testing.T) {
	for name, kind := range map[string]chatv1.LogKind{"channel": channel, "group": group} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				log := r.stores.create("ann", kind)
				if kind == group {
					r.stores.join("eve", log)
				}
				ann, _ := r.signIn("ann", none(log))
				eve, _ := r.signIn("eve", none(log))
				tablet, _ := r.signIn("eve", none(log))
				if e := ann.ask(roleOf(log, "eve", banned)).GetError(); e != nil {
					t.Fatal(e)
				}
				synctest.Wait()
				last := int(r.stores.post("ann", log, 2))
				synctest.Wait()
				if got := ann.positions(log); !slices.Contains(got, last) {
					t.Errorf("the owner was pushed %v, without %d", got, last)
				}
				for _, d := range []*device{eve, tablet} {
					if got := d.positions(log); len(got) == 0 || got[len(got)-1] >= 0 || slices.Contains(got, last) {
						t.Errorf("a banned session was pushed %v, and was not told at the end that it is sent no more", got)
					}
				}
				want := chatv1.Error_CODE_DENIED
				if kind == group {
					want = chatv1.Error_CODE_NOT_MEMBER
				}
				if got := eve.difference(log, 1, 0, 0).GetError().GetCode(); got != want {
					t.Errorf("the difference of who is banned: %v, want %v", got, want)
				}
				wantState(t, "who is banned", eve.attach(none(log))[0], refused, want)
				_, signedIn := r.signIn("eve", none(log))
				wantState(t, "a new session", signedIn.GetLogs()[0], refused, want)
				if got := eve.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Join{Join: &chatv1.JoinRequest{Log: log}}}).GetError().GetCode(); got != chatv1.Error_CODE_DENIED {
					t.Errorf("who is banned joins: %v", got)
				}
				ann.ask(roleOf(log, "eve", member))
				if kind == group {
					r.stores.join("eve", log)
				}
				synctest.Wait()
				wantState(t, "who is banned no more", eve.attach(none(log))[0], live, 0)
			})
		})
	}
}

// A ban that the shard did not hear of is in force once the feed has healed, or has passed over what it cannot heal; and so is one from
// before the feed was opened.
func TestABanThatWasNotHeard(t *testing.T) {
	for name, posts := range map[string]int{"a gap that is fetched": 2, "one that is not": 60} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(c *shard.Config) { c.RingEvents, c.HealEvents = 100, 20 }, func(r *rig) {
				log := r.stores.create("ann", channel)
				r.stores.role("ann", log, "bob", banned)
				ann, _ := r.signIn("ann", none(log))
				eve, _ := r.signIn("eve", none(log))
				_, signedIn := r.signIn("bob", none(log))
				wantState(t, "who was banned before", signedIn.GetLogs()[0], refused, chatv1.Error_CODE_DENIED)
				r.stores.set(func(s *stores) { s.fate = func(string, uint64) fate { return lose } })
				r.stores.role("ann", log, "eve", banned)
				r.stores.role("ann", log, "bob", member)
				r.stores.post("ann", log, posts)
				r.stores.set(func(s *stores) { s.fate = nil })
				r.stores.digest(nil)
				time.Sleep(time.Second)
				last := int(r.stores.post("ann", log, 1))
				synctest.Wait()
				if got := ann.positions(log); !slices.Contains(got, last) {
					t.Errorf("a reader was pushed %v, without %d", got, last)
				}
				if got := eve.positions(log); slices.Contains(got, last) {
					t.Errorf("who is banned was pushed %v", got)
				}
				_, signedIn = r.signIn("bob", none(log))
				wantState(t, "whose ban was lifted", signedIn.GetLogs()[0], live, 0)
			})
		})
	}
}

// Readers of a channel share an owner's answer; who is banned has no part in it.
func TestASharedDifferenceIsNotForTheBanned(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RingEvents, c.SeedEvents = 4, 2 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 50)
		r.stores.role("ann", log, "eve", banned)
		for user, want := range map[string]chatv1.Error_Code{"eve": chatv1.Error_CODE_DENIED, "bob": 0} {
			d, _ := r.signIn(user)
			if got := d.difference(log, 1, 3, 5).GetError().GetCode(); got != want {
				t.Errorf("%s's difference: %v, want %v", user, got, want)
			}
		}
	})
}

// Bans of a history that was replaced are those of the new one, though its positions are lower, and the owner is not asked without end.
func TestBansOfARestoredHistory(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		r.stores.post("ann", log, 3)
		eve, _ := r.signIn("eve", none(log))
		r.stores.role("ann", log, "eve", banned)
		synctest.Wait()
		r.stores.set(func(s *stores) { s.restore(2) })
		before := r.stores.asked("fetch")
		r.stores.digest(nil)
		time.Sleep(2 * time.Second)
		wantState(t, "who is banned in the old history only", eve.attach(none(log))[0], live, 0)
		if n := r.stores.asked("fetch") - before; n > 10 {
			t.Errorf("the owner was asked %d times", n)
		}
	})
}
