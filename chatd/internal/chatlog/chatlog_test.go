package chatlog_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const now = int64(1_800_000_000_000)

func create(user string, kind chatv1.LogKind) chatlog.Command {
	return chatlog.Command{User: user, NowMs: now, Create: &wire.Create{Request: &chatv1.CreateRequest{Kind: kind, Title: "a title", RandomId: 9}}}
}

func post(user string, id uint64, text string) chatlog.Command {
	return chatlog.Command{User: user, NowMs: now, Post: &chatv1.PostRequest{RandomId: id, Message: &chatv1.Message{Text: text}}}
}

func join(user string) chatlog.Command {
	return chatlog.Command{User: user, NowMs: now, Join: &chatv1.JoinRequest{}}
}

func leave(user string) chatlog.Command {
	return chatlog.Command{User: user, NowMs: now, Leave: &chatv1.LeaveRequest{}}
}

func note(user, log string, left bool) chatlog.Command {
	return chatlog.Command{User: user, NowMs: now, Note: &wire.UserNote{Log: log, Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Left: left}}
}

// joined notes that a user was let in at a position, when the newest ban of anybody stood at another one.
func joined(user string, asOf, lastBan uint64) chatlog.Command {
	c := note(user, "c1", false)
	c.Note.AsOf, c.Note.LastBan = asOf, lastBan
	return c
}

func role(by, user string, role chatv1.Role) chatlog.Command {
	return chatlog.Command{User: by, NowMs: now, SetRole: &chatv1.SetRoleRequest{User: user, Role: role}}
}

func policy(by string, adminsOnly bool, slow uint32) chatlog.Command {
	return chatlog.Command{User: by, NowMs: now, SetPolicy: &chatv1.SetPolicyRequest{Policy: &chatv1.Policy{AdminsPostOnly: adminsOnly, SlowModeSeconds: slow}}}
}

func later(c chatlog.Command, by time.Duration) chatlog.Command {
	c.NowMs += by.Milliseconds()
	return c
}

// carry out decides and applies, as an owner does.
func carryOut(s *chatlog.State, c chatlog.Command) (chatlog.Decision, *chatv1.Error) {
	d, err := s.Decide(c)
	if err == nil && d.Event != nil {
		s.Apply(d.Event, d.Content, 10*d.Event.Pts)
	}
	return d, err
}

func TestDecide(t *testing.T) {
	channel, group := chatv1.LogKind_LOG_KIND_CHANNEL, chatv1.LogKind_LOG_KIND_GROUP
	admin, member, banned := chatv1.Role_ROLE_ADMIN, chatv1.Role_ROLE_MEMBER, chatv1.Role_ROLE_BANNED
	for _, test := range []struct {
		name   string
		before []chatlog.Command
		ask    chatlog.Command
		pts    uint64
		repeat bool
		code   chatv1.Error_Code
	}{
		{name: "a log begins with its creation", ask: create("ann", channel), pts: 1},
		{name: "a creation repeated is the same log", before: []chatlog.Command{create("ann", channel)}, ask: create("ann", channel), pts: 1, repeat: true},
		{name: "its id with another kind is an error", before: []chatlog.Command{create("ann", channel)}, ask: create("ann", group), code: chatv1.Error_CODE_ID_REUSED},
		{name: "nobody posts where nothing is", ask: post("ann", 1, "hi"), code: chatv1.Error_CODE_NOT_FOUND},
		{name: "a channel's owner posts", before: []chatlog.Command{create("ann", channel)}, ask: post("ann", 1, "hi"), pts: 2},
		{name: "a reader does not", before: []chatlog.Command{create("ann", channel)}, ask: post("bob", 1, "hi"), code: chatv1.Error_CODE_DENIED},
		{name: "joining a channel is no event of the channel", before: []chatlog.Command{create("ann", channel)}, ask: join("bob"), pts: 1, repeat: true},
		{name: "a stranger does not post in a group", before: []chatlog.Command{create("ann", group)}, ask: post("bob", 1, "hi"), code: chatv1.Error_CODE_NOT_MEMBER},
		{name: "a member does", before: []chatlog.Command{create("ann", group), join("bob")}, ask: post("bob", 1, "hi"), pts: 3},
		{name: "joining a group twice is one join", before: []chatlog.Command{create("ann", group), join("bob")}, ask: join("bob"), pts: 2, repeat: true},
		{name: "who has left does not post", before: []chatlog.Command{create("ann", group), join("bob"), leave("bob")}, ask: post("bob", 1, "hi"), code: chatv1.Error_CODE_NOT_MEMBER},
		{name: "leaving twice is one leave", before: []chatlog.Command{create("ann", group), join("bob"), leave("bob")}, ask: leave("bob"), pts: 3, repeat: true},
		{name: "a post repeated is the first", before: []chatlog.Command{create("ann", channel), post("ann", 1, "hi"), post("ann", 2, "ho")}, ask: post("ann", 1, "hi"), pts: 2, repeat: true},
		{name: "its id with another content is an error", before: []chatlog.Command{create("ann", channel), post("ann", 1, "hi")}, ask: post("ann", 1, "ho"), code: chatv1.Error_CODE_ID_REUSED},
		{name: "an id is a sender's own", before: []chatlog.Command{create("ann", group), join("bob"), post("ann", 1, "hi")}, ask: post("bob", 1, "ho"), pts: 4},
		{name: "a user log begins with its first note", ask: note("ann", "c1", false), pts: 1},
		{name: "noted twice is noted once", before: []chatlog.Command{note("ann", "c1", false)}, ask: note("ann", "c1", false), pts: 1, repeat: true},
		{name: "and noted once though the log has moved, and others were banned before", before: []chatlog.Command{joined("ann", 9, 0)}, ask: joined("ann", 20, 9), pts: 1, repeat: true},
		{name: "a ban that was perhaps his makes it be noted anew", before: []chatlog.Command{joined("ann", 9, 0)}, ask: joined("ann", 20, 10), pts: 2},
		{name: "but not for a join that was on its way since before it", before: []chatlog.Command{joined("ann", 9, 0)}, ask: joined("ann", 8, 10), pts: 1, repeat: true},
		{name: "once", before: []chatlog.Command{joined("ann", 9, 0), joined("ann", 20, 10)}, ask: joined("ann", 30, 10), pts: 2, repeat: true},
		{name: "left is noted", before: []chatlog.Command{note("ann", "c1", false)}, ask: note("ann", "c1", true), pts: 2},
		{name: "left without having joined is not", ask: note("ann", "c1", true), pts: 0, repeat: true},
		{name: "a user log is its user's", before: []chatlog.Command{note("ann", "c1", false)}, ask: note("bob", "c2", false), code: chatv1.Error_CODE_DENIED},
		{name: "and takes no posts", before: []chatlog.Command{note("ann", "c1", false)}, ask: post("ann", 1, "hi"), code: chatv1.Error_CODE_DENIED},
		{name: "and knows no roles", before: []chatlog.Command{note("ann", "c1", false)}, ask: role("ann", "bob", banned), code: chatv1.Error_CODE_DENIED},

		{name: "the owner makes an admin", before: []chatlog.Command{create("ann", channel)}, ask: role("ann", "bob", admin), pts: 2},
		{name: "who posts in a channel", before: []chatlog.Command{create("ann", channel), role("ann", "bob", admin)}, ask: post("bob", 1, "hi"), pts: 3},
		{name: "until he is none any more", before: []chatlog.Command{create("ann", channel), role("ann", "bob", admin), role("ann", "bob", member)}, ask: post("bob", 1, "hi"), code: chatv1.Error_CODE_DENIED},
		{name: "a role twice is one role", before: []chatlog.Command{create("ann", channel), role("ann", "bob", admin)}, ask: role("ann", "bob", admin), pts: 2, repeat: true},
		{name: "an admin makes no admin", before: []chatlog.Command{create("ann", channel), role("ann", "bob", admin)}, ask: role("bob", "eve", admin), code: chatv1.Error_CODE_DENIED},
		{name: "but bans", before: []chatlog.Command{create("ann", channel), role("ann", "bob", admin)}, ask: role("bob", "eve", banned), pts: 3},
		{name: "and not another admin", before: []chatlog.Command{create("ann", channel), role("ann", "bob", admin), role("ann", "cat", admin)}, ask: role("bob", "cat", banned), code: chatv1.Error_CODE_DENIED},
		{name: "nor the owner", before: []chatlog.Command{create("ann", channel), role("ann", "bob", admin)}, ask: role("bob", "ann", banned), code: chatv1.Error_CODE_DENIED},
		{name: "a reader gives no roles", before: []chatlog.Command{create("ann", channel)}, ask: role("bob", "eve", banned), code: chatv1.Error_CODE_DENIED},
		{name: "an admin of a group is a member", before: []chatlog.Command{create("ann", group)}, ask: role("ann", "bob", admin), code: chatv1.Error_CODE_NOT_MEMBER},
		{name: "who leaves a group leaves his role", before: []chatlog.Command{create("ann", group), join("bob"), role("ann", "bob", admin), leave("bob"), join("bob")}, ask: role("bob", "eve", banned), code: chatv1.Error_CODE_DENIED},
		{name: "who is banned does not join a channel", before: []chatlog.Command{create("ann", channel), role("ann", "bob", banned)}, ask: join("bob"), code: chatv1.Error_CODE_DENIED},
		{name: "nor a group", before: []chatlog.Command{create("ann", group), join("bob"), role("ann", "bob", banned)}, ask: join("bob"), code: chatv1.Error_CODE_DENIED},
		{name: "nor posts", before: []chatlog.Command{create("ann", group), join("bob"), role("ann", "bob", banned)}, ask: post("bob", 1, "hi"), code: chatv1.Error_CODE_DENIED},
		{name: "until he is pardoned and joins", before: []chatlog.Command{create("ann", group), join("bob"), role("ann", "bob", banned), role("ann", "bob", member), join("bob")}, ask: post("bob", 1, "hi"), pts: 6},

		{name: "a group can be for admins' posts", before: []chatlog.Command{create("ann", group), join("bob"), policy("ann", true, 0)}, ask: post("bob", 1, "hi"), code: chatv1.Error_CODE_DENIED},
		{name: "who still post", before: []chatlog.Command{create("ann", group), join("bob"), role("ann", "bob", admin), policy("bob", true, 0)}, ask: post("bob", 1, "hi"), pts: 5},
		{name: "a member sets no policy", before: []chatlog.Command{create("ann", group), join("bob")}, ask: policy("bob", false, 5), code: chatv1.Error_CODE_DENIED},
		{name: "the same policy is no event", before: []chatlog.Command{create("ann", group), policy("ann", false, 5)}, ask: policy("ann", false, 5), pts: 2, repeat: true},
		{name: "in slow mode the first post goes", before: []chatlog.Command{create("ann", group), join("bob"), policy("ann", false, 5)}, ask: post("bob", 1, "hi"), pts: 4},
		{name: "the second waits", before: []chatlog.Command{create("ann", group), join("bob"), policy("ann", false, 5), post("bob", 1, "hi")}, ask: later(post("bob", 2, "ho"), 4999*time.Millisecond), code: chatv1.Error_CODE_TOO_MANY},
		{name: "and then goes", before: []chatlog.Command{create("ann", group), join("bob"), policy("ann", false, 5), post("bob", 1, "hi")}, ask: later(post("bob", 2, "ho"), 5*time.Second), pts: 5},
		{name: "a repeat does not wait", before: []chatlog.Command{create("ann", group), join("bob"), policy("ann", false, 5), post("bob", 1, "hi")}, ask: post("bob", 1, "hi"), pts: 4, repeat: true},
		{name: "nor does another member", before: []chatlog.Command{create("ann", group), join("bob"), join("cat"), policy("ann", false, 5), post("bob", 1, "hi")}, ask: post("cat", 1, "hi"), pts: 6},
		{name: "nor an admin", before: []chatlog.Command{create("ann", group), policy("ann", false, 5), post("ann", 1, "hi")}, ask: post("ann", 2, "ho"), pts: 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &chatlog.State{ID: "x"}
			for i, c := range test.before {
				if _, err := carryOut(s, c); err != nil {
					t.Fatalf("before, step %d: %v", i, err)
				}
			}
			d, err := s.Decide(test.ask)
			if err.GetCode() != test.code {
				t.Fatalf("error %v, want code %v", err, test.code)
			}
			if d.Pts != test.pts || d.Repeated != test.repeat {
				t.Errorf("position %d, repeated %v; want %d, %v", d.Pts, d.Repeated, test.pts, test.repeat)
			}
			if (d.Event != nil) == (test.repeat || test.code != 0) {
				t.Errorf("event %v is not what a decision with repeated %v and error %v appends", d.Event, d.Repeated, err)
			}
		})
	}
}

// manyPosts is a channel with more posts than a state remembers, one a millisecond, with ids from 1 on, and its events.
func manyPosts(t *testing.T) (*chatlog.State, []*wire.StoredEvent) {
	t.Helper()
	s := &chatlog.State{ID: "x"}
	c := create("ann", chatv1.LogKind_LOG_KIND_CHANNEL)
	var events []*wire.StoredEvent
	for i := range uint64(5000) {
		d, err := carryOut(s, c)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, d.Event)
		c = post("ann", i+1, "hi")
		c.NowMs = now + int64(i)
	}
	return s, events
}

func TestOldRepeats(t *testing.T) {
	s, events := manyPosts(t)
	repeat := post("ann", 10, "hi")
	repeat.NowMs = now + 6000

	if d, err := s.Decide(repeat); err != nil || d.Event == nil {
		t.Errorf("a post that does not say it is a repeat: decided %v, %v; want a new event", d, err)
	}
	repeat.Post.FirstSentMs = now - chatlog.RememberFor.Milliseconds()
	if _, err := s.Decide(repeat); err.GetCode() != chatv1.Error_CODE_TOO_OLD {
		t.Errorf("a repeat from before the time that ids are kept: %v, want TOO_OLD", err)
	}
	repeat.Post.FirstSentMs = now + 5
	d, err := s.Decide(repeat)
	if err != nil || d.LookBackMs != now+5 {
		t.Fatalf("a repeat of a forgotten post: decided %+v, %v; want to look back to %d", d, err, now+5)
	}
	s.Recall(events[6:], d.LookBackMs, s.Pts)
	if d, err := s.Decide(repeat); err != nil || !d.Repeated || d.Pts != 11 {
		t.Errorf("the same after looking back: decided %+v, %v; want the first post's position 11", d, err)
	}
}

// What was read back does not stand for what was forgotten meanwhile: the repeat of a post in between would be taken for a new one.
func TestRecallAfterForgettingMore(t *testing.T) {
	s := &chatlog.State{ID: "x"}
	c := create("ann", chatv1.LogKind_LOG_KIND_CHANNEL)
	var events []*wire.StoredEvent
	next := func(id uint64) {
		d, err := carryOut(s, c)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, d.Event)
		c = post("ann", id, "hi")
		c.NowMs = now + int64(id)
	}
	for id := range uint64(101) {
		next(id + 1)
	}
	s.Forget(30, 60) // what is beyond 60 may not be in the stream yet
	if got := s.Remembered(); got != 41 {
		t.Fatalf("%d ids are remembered of 101 events up to 101, 60 of which are stored; want 41", got)
	}
	upTo, read := s.Pts, events
	for id := range uint64(100) {
		next(id + 102)
	}
	s.Forget(10, s.Pts)
	repeat := func(id uint64) chatlog.Decision {
		r := post("ann", id, "hi")
		r.NowMs, r.Post.FirstSentMs = now+1000, now+int64(id)
		d, err := s.Decide(r)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	s.Recall(read, now, upTo)
	for _, id := range []uint64{5, 150} {
		if d := repeat(id); d.LookBackMs == 0 {
			t.Errorf("the repeat of post %d, which is neither remembered nor read back, is decided: %+v", id, d)
		}
	}
	s.Recall(events, now, s.Pts)
	for _, id := range []uint64{5, 150, 200} {
		if d := repeat(id); !d.Repeated || d.Pts != id+1 {
			t.Errorf("the repeat of post %d, which was read back, is decided: %+v", id, d)
		}
	}
}

// A shard whose clock is ahead says of a post that it will first be sent some time: then it is not taken for a new one that has been
// forgotten, but looked for, the further the further the clock is ahead.
func TestRepeatsByAClockThatIsAhead(t *testing.T) {
	for ahead, back := range map[time.Duration]time.Duration{time.Millisecond: 5 * time.Second, 5 * time.Second: 5 * time.Second, time.Hour: chatlog.RememberFor} {
		s, events := manyPosts(t)
		repeat := post("ann", 10, "hi")
		repeat.NowMs = now + 5000
		repeat.Post.FirstSentMs = repeat.NowMs + ahead.Milliseconds()
		d, err := s.Decide(repeat)
		if err != nil || d.LookBackMs != repeat.NowMs-back.Milliseconds() {
			t.Fatalf("%v ahead: decided %+v, %v; want to look back %v", ahead, d, err, back)
		}
		s.Recall(events, d.LookBackMs, s.Pts)
		if d, err := s.Decide(repeat); err != nil || !d.Repeated || d.Pts != 11 {
			t.Errorf("%v ahead, after looking back: decided %+v, %v; want the first post's position 11", ahead, d, err)
		}
	}
}

// A snapshot and the events after it are the same log as all its events.
func TestSnapshotIsTheFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]chatv1.LogKind{chatv1.LogKind_LOG_KIND_CHANNEL, chatv1.LogKind_LOG_KIND_GROUP}).Draw(t, "kind")
		user := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("u%d", rapid.IntRange(0, 4).Draw(t, "n")) })
		straight, restored := &chatlog.State{ID: "x"}, &chatlog.State{ID: "x"}
		commands := append([]chatlog.Command{create("u0", kind)}, rapid.SliceOfN(rapid.Custom(func(t *rapid.T) chatlog.Command {
			switch u := user.Draw(t, "user"); rapid.IntRange(0, 8).Draw(t, "what") {
			case 6:
				return role(u, user.Draw(t, "whom"), rapid.SampledFrom([]chatv1.Role{chatv1.Role_ROLE_ADMIN, chatv1.Role_ROLE_MEMBER, chatv1.Role_ROLE_BANNED}).Draw(t, "role"))
			case 7:
				return policy(u, rapid.Bool().Draw(t, "admins"), rapid.Uint32Range(0, 3).Draw(t, "slow"))
			case 8:
				return later(post(u, rapid.Uint64Range(1, 20).Draw(t, "id"), "c"), time.Duration(rapid.IntRange(0, 5000).Draw(t, "later"))*time.Millisecond)
			case 0:
				return join(u)
			case 1:
				return leave(u)
			default:
				return post(u, rapid.Uint64Range(1, 20).Draw(t, "id") /* with 5 users, fewer than a snapshot remembers */, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "text"))
			}
		}), 0, 200).Draw(t, "commands")...)

		for i, c := range commands {
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				bytes, err := proto.Marshal(restored.Snapshot())
				if err != nil {
					t.Fatal(err)
				}
				w := new(wire.LogState)
				if err := proto.Unmarshal(bytes, w); err != nil {
					t.Fatal(err)
				}
				restored = chatlog.Restore(w)
			}
			d1, err1 := carryOut(straight, c)
			d2, err2 := restored.Decide(c)
			if err1.GetCode() != err2.GetCode() || d1.Pts != d2.Pts || d1.Repeated != d2.Repeated || !proto.Equal(d1.Event, d2.Event) {
				t.Fatalf("command %d: the whole fold decides %+v, %v; the restored one %+v, %v", i, d1, err1, d2, err2)
			}
			if d2.Event != nil {
				// As a new owner sees it: from the bytes that were stored.
				content, err := chatlog.Content(d2.Event)
				if err != nil {
					t.Fatal(err)
				}
				restored.Apply(d2.Event, content, 10*d2.Event.Pts)
			}
			if !proto.Equal(straight.Info(), restored.Info()) || straight.LastBan() != restored.LastBan() || straight.LastSeq != restored.LastSeq || straight.SkipSeq != restored.SkipSeq {
				t.Fatalf("command %d: states differ: %+v and %+v", i, straight, restored)
			}
		}
	})
}

func TestSkipPointers(t *testing.T) {
	s := &chatlog.State{ID: "x"}
	c := create("ann", chatv1.LogKind_LOG_KIND_CHANNEL)
	for i := range uint64(300) {
		d, err := carryOut(s, c)
		if err != nil {
			t.Fatal(err)
		}
		pts := d.Event.Pts
		if want := 10 * (pts - 1); d.Event.PrevSeq != want {
			t.Errorf("event %d points back to sequence %d, want %d", pts, d.Event.PrevSeq, want)
		}
		if want := 10 * ((pts - 1) / chatlog.SkipEvery * chatlog.SkipEvery); d.Event.SkipSeq != want {
			t.Errorf("event %d skips back to sequence %d, want %d", pts, d.Event.SkipSeq, want)
		}
		c = post("ann", i+1, "hi")
		c.NowMs += int64(i) * int64(time.Millisecond)
	}
}

// However many have posted in slow mode, only those are remembered who would have to wait.
func TestSlowModeForgets(t *testing.T) {
	s := &chatlog.State{ID: "x"}
	commands := []chatlog.Command{create("ann", chatv1.LogKind_LOG_KIND_GROUP), policy("ann", false, 1)}
	for i := range 5000 {
		user := fmt.Sprint("u", i)
		commands = append(commands, join(user), later(post(user, 1, "hi"), time.Duration(i)*100*time.Millisecond))
	}
	for i, c := range commands {
		if _, err := carryOut(s, c); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if n := len(s.Snapshot().LastPostMs); n > 200 {
		t.Errorf("%d posters are remembered, of whom 10 would have to wait", n)
	}
}

func BenchmarkDecideAndApply(b *testing.B) {
	s := &chatlog.State{ID: "x"}
	if _, err := carryOut(s, create("ann", chatv1.LogKind_LOG_KIND_CHANNEL)); err != nil {
		b.Fatal(err)
	}
	text := string(make([]byte, 200))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := carryOut(s, post("ann", uint64(i)+1, text)); err != nil {
			b.Fatal(err)
		}
	}
}
