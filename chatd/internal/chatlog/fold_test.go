package chatlog_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A snapshot is all that later decisions depend on, of names, invitations, policies and what users have made too: who restores one at any
// time decides as who has seen all events, and would store the same.
func TestSnapshotIsTheFoldOfNamesAndInvitations(t *testing.T) {
	const name = "some_name"
	channel, group := chatv1.LogKind_LOG_KIND_CHANNEL, chatv1.LogKind_LOG_KIND_GROUP
	for _, test := range []struct {
		name   string
		log    string
		begins []chatlog.Command
		draw   func(*rapid.T, *chatlog.State) chatlog.Command
	}{
		{"channel", "c", []chatlog.Command{create("u0", channel)}, drawShared},
		{"group", "g", []chatlog.Command{create("u0", group), join("u1"), join("u2")}, drawShared},
		{"user", logid.User("u0"), nil, drawOwn},
		{"name", logid.Name(name), nil, func(t *rapid.T, s *chatlog.State) chatlog.Command { return drawClaim(t, s, name) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			events := 0
			rapid.Check(t, func(t *rapid.T) {
				f := newFold(test.log)
				for _, c := range test.begins {
					f.do(t, c)
				}
				at := now
				for range rapid.IntRange(0, 40).Draw(t, "commands") {
					if rapid.IntRange(0, 3).Draw(t, "snapshot") == 0 {
						f.restore(t)
					}
					at += rapid.SampledFrom([]int64{0, 1000, 40_000}).Draw(t, "pause")
					c := test.draw(t, f.straight)
					c.NowMs = at
					f.do(t, c)
				}
				events += int(f.straight.Pts)
			})
			if events < 150 {
				t.Errorf("all the commands made %d events: too few to show anything", events)
			}
		})
	}
}

// fold is a log that is folded from its first event on, and the same one as owners see it who restore it now and then.
type fold struct {
	straight, restored *chatlog.State
	limits             chatlog.Limits
}

func newFold(log string) *fold {
	limits := chatlog.Limits{OwnedLogs: 3}
	return &fold{&chatlog.State{ID: log, Limits: limits}, &chatlog.State{ID: log, Limits: limits}, limits}
}

func (f *fold) restore(t *rapid.T) {
	bytes, err := proto.Marshal(f.restored.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	w := new(wire.LogState)
	if err := proto.Unmarshal(bytes, w); err != nil {
		t.Fatal(err)
	}
	f.restored = chatlog.Restore(w)
	f.restored.Limits = f.limits
}

func (f *fold) do(t *rapid.T, c chatlog.Command) {
	d1, err1 := carryOut(f.straight, c)
	d2, err2 := f.restored.Decide(c)
	if !proto.Equal(err1, err2) || d1.Pts != d2.Pts || d1.Repeated != d2.Repeated || !proto.Equal(d1.Event, d2.Event) {
		t.Fatalf("%+v: the whole fold decides %+v, %v; the restored one %+v, %v", c, d1, err1, d2, err2)
	}
	if d2.Event != nil {
		content, err := chatlog.Content(d2.Event)
		if err != nil {
			t.Fatal(err)
		}
		f.restored.Apply(d2.Event, content, 10*d2.Event.Pts)
	}
	if a, b := f.straight.Snapshot(), f.restored.Snapshot(); !proto.Equal(a, b) {
		t.Fatalf("%+v: the whole fold would store\n%v\nthe restored one\n%v", c, a, b)
	}
	for _, q := range []*wire.LookUp{{Invitations: true}, {Invitation: "i1"}, {Joined: "l1"}, {Slot: "l1"}} {
		if a, b := f.straight.LookUp("u0", q, c.NowMs), f.restored.LookUp("u0", q, c.NowMs); !proto.Equal(a, b) {
			t.Fatalf("he asks %v: the whole fold says %v, the restored one %v", q, a, b)
		}
	}
}

func pick(t *rapid.T, label, prefix string, n int) string {
	return fmt.Sprint(prefix, rapid.IntRange(0, n-1).Draw(t, label))
}

// drawShared is a command to a channel or group.
func drawShared(t *rapid.T, s *chatlog.State) chatlog.Command {
	c := chatlog.Command{User: rapid.SampledFrom([]string{"u0", "u0", "u1", "u2", "u3"}).Draw(t, "user")}
	id := pick(t, "invitation", "i", 4)
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0:
		c.Join = &chatv1.JoinRequest{Invitation: rapid.SampledFrom([]string{"", id}).Draw(t, "by")}
	case 1:
		c.Leave = &chatv1.LeaveRequest{}
	case 2:
		c.SetRole = &chatv1.SetRoleRequest{User: pick(t, "whom", "u", 4), Role: chatv1.Role(rapid.IntRange(2, 4).Draw(t, "role"))}
	case 3:
		p := &chatv1.Policy{AdminsPostOnly: s.Kind == chatv1.LogKind_LOG_KIND_CHANNEL || rapid.Bool().Draw(t, "admins")}
		if rapid.Bool().Draw(t, "says") {
			p.ByInvitation = proto.Bool(rapid.Bool().Draw(t, "private"))
		}
		c.SetPolicy = &chatv1.SetPolicyRequest{Policy: p}
	case 4, 5:
		i := &chatv1.Invitation{Id: id, ExpiresMs: rapid.SampledFrom([]int64{0, now + 100_000}).Draw(t, "expires")}
		if s.Kind == chatv1.LogKind_LOG_KIND_GROUP {
			i.MaxUses = rapid.Uint32Range(0, 2).Draw(t, "uses")
		}
		c.Invite = &wire.Invite{Invitation: i}
	case 6:
		c.RevokeInvitation = &chatv1.RevokeInvitationRequest{Id: id}
	case 7:
		c.SetName = &wire.SetName{Name: rapid.SampledFrom([]string{"", "first", "second"}).Draw(t, "name"), Claim: 7, ClaimedMs: s.Name().GetTimeMs(),
			IfChangedPts: rapid.SampledFrom([]uint64{0, s.Name().GetChangedPts()}).Draw(t, "changed"), Force: rapid.Bool().Draw(t, "force")}
		if rapid.Bool().Draw(t, "fresh") {
			c.SetName.ClaimedMs = now
		}
	}
	return c
}

// drawOwn is a command to a user's own log.
func drawOwn(t *rapid.T, _ *chatlog.State) chatlog.Command {
	c, log := chatlog.Command{User: rapid.SampledFrom([]string{"u0", "u0", "u0", "u1"}).Draw(t, "user")}, pick(t, "log", "l", 6)
	asOf := rapid.Uint64Range(0, 4).Draw(t, "as of")
	switch rapid.IntRange(0, 4).Draw(t, "what") {
	case 0:
		c.Note = &wire.UserNote{Log: log, Kind: chatv1.LogKind_LOG_KIND_GROUP, AsOf: asOf}
	case 1:
		c.Note = &wire.UserNote{Log: log, Left: true, AsOf: asOf}
	case 2:
		c.Note = &wire.UserNote{Log: log, Kind: chatv1.LogKind_LOG_KIND_CHANNEL, AsOf: asOf, Made: true}
	case 3:
		c.Note = &wire.UserNote{Log: log, AskMade: true}
	case 4:
		c.NoteName = &wire.NoteName{Log: log, AsOf: asOf, Free: rapid.Bool().Draw(t, "free")}
	}
	return c
}

// drawClaim is a command to the log of a name.
func drawClaim(t *rapid.T, s *chatlog.State, name string) chatlog.Command {
	at := s.Pts - min(s.Pts, rapid.SampledFrom([]uint64{0, 0, 0, 1}).Draw(t, "behind"))
	r := &wire.ClaimName{Name: name, Log: pick(t, "log", "l", 3), Try: rapid.Uint64Range(1, 3).Draw(t, "try"), Replaces: at}
	if rapid.IntRange(0, 2).Draw(t, "release") == 0 {
		r.Release = at
	}
	return chatlog.Command{User: "u0", ClaimName: r}
}

// A fleet without room refuses what makes it fuller, and nothing that takes away or restricts.
func TestGrows(t *testing.T) {
	group := chatv1.LogKind_LOG_KIND_GROUP
	name := func(name string) chatlog.Command {
		return chatlog.Command{User: "ann", NowMs: now, SetName: &wire.SetName{Name: name, ClaimedMs: now, Force: true}}
	}
	claim := func(log string, release uint64) chatlog.Command {
		return chatlog.Command{User: "ann", NowMs: now, ClaimName: &wire.ClaimName{Name: "some_name", Log: log, Try: 1, Release: release}}
	}
	slot := func(asOf uint64, free bool) chatlog.Command {
		return chatlog.Command{User: "ann", NowMs: now, NoteName: &wire.NoteName{Log: "g", AsOf: asOf, Free: free}}
	}
	invite := chatlog.Command{User: "ann", NowMs: now, Invite: &wire.Invite{Invitation: &chatv1.Invitation{Id: "i"}}}
	revoke := chatlog.Command{User: "ann", NowMs: now, RevokeInvitation: &chatv1.RevokeInvitationRequest{Id: "i"}}
	unname := name("")
	unname.SetName.IfChangedPts = 2
	begun := []chatlog.Command{create("ann", group)}
	and := func(more ...chatlog.Command) []chatlog.Command {
		return append(append([]chatlog.Command{}, begun...), more...)
	}
	for _, test := range []struct {
		name   string
		log    string
		before []chatlog.Command
		ask    chatlog.Command
		grows  bool
	}{
		{"making a log", "x", nil, create("ann", group), true},
		{"a post", "x", begun, post("ann", 1, "hi"), true},
		{"joining", "x", begun, join("bob"), true},
		{"leaving", "x", and(join("bob")), leave("bob"), false},
		{"a ban", "x", begun, role("ann", "bob", chatv1.Role_ROLE_BANNED), false},
		{"slow mode", "x", begun, policy("ann", false, 5), false},
		{"an invitation", "x", begun, invite, true},
		{"its end", "x", and(invite), revoke, false},
		{"a name", "x", begun, name("some_name"), true},
		{"giving it up", "x", and(name("some_name")), unname, false},
		{"giving up none, for good", "x", begun, name(""), false},
		{"a claim", logid.Name("some_name"), nil, claim("g", 0), true},
		{"its end", logid.Name("some_name"), []chatlog.Command{claim("g", 0)}, claim("", 1), false},
		{"a slot", "x", nil, slot(1, false), true},
		{"freeing it", "x", []chatlog.Command{slot(1, false)}, slot(2, true), false},
		{"noting a log", "x", nil, note("ann", "c1", false), true},
		{"and that it was left", "x", []chatlog.Command{note("ann", "c1", false)}, note("ann", "c1", true), false},
	} {
		s := &chatlog.State{ID: test.log}
		for _, c := range test.before {
			if _, failed := carryOut(s, c); failed != nil {
				t.Fatalf("%s: before: %v", test.name, failed)
			}
		}
		d, failed := s.Decide(test.ask)
		if failed != nil || d.Event == nil {
			t.Errorf("%s: %+v, %v, want an event", test.name, d, failed)
		} else if d.Grows() != test.grows {
			t.Errorf("%s: grows %v, want %v", test.name, d.Grows(), test.grows)
		}
	}
}

// Who sets a policy and does not say whether the log is private leaves it as it is.
func TestAPolicyThatDoesNotSay(t *testing.T) {
	s := &chatlog.State{ID: "x"}
	set := func(private *bool, slow uint32) bool {
		t.Helper()
		c := policy("ann", false, slow)
		c.SetPolicy.Policy.ByInvitation = private
		if _, failed := carryOut(s, c); failed != nil {
			t.Fatal(failed)
		}
		return s.Info().GetPolicy().GetByInvitation()
	}
	if _, failed := carryOut(s, create("ann", chatv1.LogKind_LOG_KIND_GROUP)); failed != nil {
		t.Fatal(failed)
	}
	for i, step := range []struct {
		says *bool
		want bool
	}{{nil, false}, {proto.Bool(true), true}, {nil, true}, {proto.Bool(false), false}, {nil, false}} {
		if got := set(step.says, uint32(i)); got != step.want {
			t.Errorf("step %d: private is %v, want %v", i, got, step.want)
		}
	}
	if got := s.Info().GetPolicy(); got.GetSlowModeSeconds() != 4 {
		t.Errorf("the policy is %v", got)
	}
}

// A claim is taken over only at the position that is known, and after its time; a name is taken only soon after its claim.
func TestTimesOfClaims(t *testing.T) {
	claim := func(log string, try, replaces uint64, after time.Duration) chatlog.Command {
		return later(chatlog.Command{User: "ann", NowMs: now, ClaimName: &wire.ClaimName{Name: "some_name", Log: log, Try: try, Replaces: replaces}}, after)
	}
	for _, test := range []struct {
		name string
		ask  chatlog.Command
		code chatv1.Error_Code
	}{
		{"another's, at once", claim("b", 2, 1, 0), chatv1.Error_CODE_TAKEN},
		{"just before its time is over", claim("b", 2, 1, chatlog.ClaimFor-time.Millisecond), chatv1.Error_CODE_TAKEN},
		{"when it is over", claim("b", 2, 1, chatlog.ClaimFor), 0},
		{"as of another position", claim("b", 2, 0, chatlog.ClaimFor), chatv1.Error_CODE_UNAVAILABLE},
		{"one's own, anew", claim("a", 2, 1, 0), 0},
		{"one's own, of another position", claim("a", 2, 0, 0), chatv1.Error_CODE_UNAVAILABLE},
	} {
		s := &chatlog.State{ID: logid.Name("some_name")}
		if _, failed := carryOut(s, claim("a", 1, 0, 0)); failed != nil {
			t.Fatal(failed)
		}
		if _, failed := s.Decide(test.ask); failed.GetCode() != test.code {
			t.Errorf("%s: %v, want %v", test.name, failed, test.code)
		}
	}
	for _, test := range []struct {
		after time.Duration
		since uint64
		code  chatv1.Error_Code
	}{
		{0, 0, 0}, {chatlog.TakeWithin, 0, 0}, {-chatlog.TakeWithin, 0, 0}, {0, 1, chatv1.Error_CODE_UNAVAILABLE},
		{chatlog.TakeWithin + time.Millisecond, 0, chatv1.Error_CODE_UNAVAILABLE}, {-chatlog.TakeWithin - time.Millisecond, 0, chatv1.Error_CODE_UNAVAILABLE},
	} {
		s := &chatlog.State{ID: "x"}
		if _, failed := carryOut(s, create("ann", chatv1.LogKind_LOG_KIND_CHANNEL)); failed != nil {
			t.Fatal(failed)
		}
		take := chatlog.Command{User: "ann", NowMs: now, SetName: &wire.SetName{Name: "some_name", ClaimedMs: now, IfChangedPts: test.since}}
		if _, failed := s.Decide(later(take, test.after)); failed.GetCode() != test.code {
			t.Errorf("taken %v after the claim, as of change %d: %v, want %v", test.after, test.since, failed, test.code)
		}
	}
	if chatlog.ClaimFor < 2*chatlog.TakeWithin {
		t.Error("a claim is given to another before half its time is left for clocks that differ")
	}
}
