package shard_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// line is a shard's line to the others: to itself, and to as many as the test says there are.
type line struct {
	mu     sync.Mutex
	shard  *shard.Shard
	hears  map[string]bool
	said   []*wire.Soft
	asked  int
	others []*wire.SoftAnswer
}

func (l *line) Hear(_ int, log string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hears[log] = true
	return nil
}

func (l *line) Unhear(log string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.hears, log)
}

func (l *line) Say(_ int, log string, m *wire.Soft) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, m)
	if l.hears[log] {
		go l.shard.Soft(log, m)
	}
}

func (l *line) Gather(ctx context.Context, _ int, log string, take func(*wire.SoftAnswer)) {
	l.mu.Lock()
	l.asked++
	here, others := l.hears[log], l.others
	l.mu.Unlock()
	if here {
		if a := l.shard.Soft(log, &wire.Soft{Asker: "me"}); a != nil {
			take(a)
		}
	}
	for _, a := range others {
		take(a)
	}
	<-ctx.Done()
}

// withLine is inBubble with a line.
func withLine(t *testing.T, test func(*rig, *line)) {
	l := &line{hears: map[string]bool{}}
	inBubble(t, func(c *shard.Config) { c.Soft = l }, func(r *rig) {
		l.shard = r.shard
		test(r, l)
	})
}

func typingOf(log string) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Typing{Typing: &chatv1.TypingRequest{Log: log}}}
}

func presenceOf(log string) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Presence{Presence: &chatv1.PresenceRequest{Log: log}}}
}

// types says that the user types; the answer, if there is one within some seconds, is why not.
func (d *device) types(log string) *chatv1.Error {
	select {
	case got := <-d.begin(typingOf(log)):
		return got.GetError()
	case <-time.After(2 * time.Second):
		return nil
	}
}

// typing is what was pushed about who types in a log.
func (d *device) typing(log string) (all []string) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.pushed {
		if f.GetTyping().GetLog() == log {
			all = append(all, fmt.Sprint(strings.Join(f.GetTyping().GetUsers(), " "), " ", f.GetTyping().GetCount()))
		}
	}
	return all
}

func TestTypingInAGroup(t *testing.T) {
	withLine(t, func(r *rig, l *line) {
		log := r.stores.create("ann", group)
		r.stores.join("bob", log)
		r.stores.join("eve", log)
		ann, _ := r.signIn("ann", none(log))
		again, _ := r.signIn("ann", none(log))
		bob, _ := r.signIn("bob", none(log))
		eve, _ := r.signIn("eve")
		before := r.stores.log(log).state.Pts
		for range 5 { // as often as a careless client does
			if flt := bob.types(log); flt != nil {
				t.Fatal(flt)
			}
		}
		if got := ann.typing(log); len(got) < 3 || len(got) > 4 || got[0] != "bob 1" {
			t.Errorf("in 10 s ann is told %q, want that bob types, once in 3 s", got)
		}
		if !slices.Equal(again.typing(log), ann.typing(log)) {
			t.Error("her other device is told something else")
		}
		if len(bob.typing(log)) > 0 || len(eve.typing(log)) > 0 {
			t.Errorf("bob is told of himself %q, eve, who has not attached the group, %q", bob.typing(log), eve.typing(log))
		}
		if pts := r.stores.log(log).state.Pts; pts != before {
			t.Error("it has been stored")
		}
		// What comes of other shards together is told together.
		told := len(ann.typing(log))
		time.Sleep(5 * time.Second)
		r.shard.Soft(log, &wire.Soft{Typing: []string{"carol"}})
		r.shard.Soft(log, &wire.Soft{Typing: []string{"ann", "carol"}, MoreTyping: 2})
		time.Sleep(time.Second)
		if got := ann.typing(log); len(got) != told+1 || got[told] != "carol 3" {
			t.Errorf("ann is told %q of what others say", got[told:])
		}
	})
}

func TestWhoMayNotTypeIsTold(t *testing.T) {
	withLine(t, func(r *rig, l *line) {
		news, others, club := r.stores.create("ann", channel), r.stores.create("ann", group), r.stores.create("ann", group)
		r.stores.join("bob", club)
		bob, _ := r.signIn("bob", none(news), none(club))
		for name, c := range map[string]struct {
			log  string
			code chatv1.Error_Code
		}{
			"no log":                 {"", chatv1.Error_CODE_INVALID},
			"no id":                  {"x.>", chatv1.Error_CODE_INVALID},
			"one's own log":          {"me", chatv1.Error_CODE_DENIED},
			"a log not attached":     {others, chatv1.Error_CODE_INVALID},
			"a channel of another's": {news, chatv1.Error_CODE_DENIED},
		} {
			if flt := bob.types(c.log); flt.GetCode() != c.code {
				t.Errorf("%s: %v, want %v", name, flt, c.code)
			}
		}
		r.stores.role("ann", club, "bob", chatv1.Role_ROLE_BANNED)
		synctest.Wait()
		if flt := bob.types(club); flt.GetCode() != chatv1.Error_CODE_INVALID {
			t.Errorf("bob, who was banned just now, types: %v", flt)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.said) > 0 {
			t.Errorf("it was said to other shards: %v", l.said)
		}
	})
}

// In a channel only those hear of it who may post there.
func TestTypingInAChannel(t *testing.T) {
	withLine(t, func(r *rig, _ *line) {
		log := r.stores.create("ann", channel)
		r.stores.role("ann", log, "carol", chatv1.Role_ROLE_ADMIN)
		ann, _ := r.signIn("ann", none(log))
		bob, _ := r.signIn("bob", none(log))
		carol, _ := r.signIn("carol", none(log))
		if flt := ann.types(log); flt != nil {
			t.Fatal(flt)
		}
		if got := carol.typing(log); !slices.Equal(got, []string{" 1"}) {
			t.Errorf("the other admin is told %q, want that one types", got)
		}
		if got := bob.typing(log); len(got) > 0 {
			t.Errorf("a reader is told %q", got)
		}
	})
}

// Who reads slowly is told of no typing, and not closed for it.
func TestTypingClosesNobody(t *testing.T) {
	withLine(t, func(r *rig, _ *line) {
		log := r.stores.create("ann", group)
		r.stores.join("bob", log)
		bob, _ := r.signIn("bob", none(log))
		bob.pause()
		for range 15 {
			r.shard.Soft(log, &wire.Soft{Typing: []string{"ann"}})
			time.Sleep(time.Second)
		}
		bob.resume()
		if got := bob.ask(pingOf(1)); got.GetPong() == nil {
			t.Errorf("bob is answered %v", got)
		}
		if n := len(bob.typing(log)); n > 3 {
			t.Errorf("%d words of typing were kept for him", n)
		}
	})
}

func TestPresence(t *testing.T) {
	withLine(t, func(r *rig, l *line) {
		club, news := r.stores.create("ann", group), r.stores.create("ann", channel)
		r.stores.join("bob", club)
		ann, _ := r.signIn("ann", none(club), none(news))
		r.signIn("bob", none(club), none(news))
		eve, _ := r.signIn("eve", none(news))
		l.others = []*wire.SoftAnswer{{Sessions: 2, Users: []string{"bob", "carol"}}, {Sessions: 40}}
		got := ann.ask(presenceOf(club)).GetPresence()
		if got.GetOnline() != 3 || got.GetSessions() || !slices.Equal(got.GetUsers(), []string{"ann", "bob", "carol"}) || got.GetShards() != 3 {
			t.Errorf("online in the group: %v", got)
		}
		for range 10 {
			ann.ask(presenceOf(club))
		}
		if l.asked != 1 {
			t.Errorf("the shards were asked %d times within two seconds", l.asked)
		}
		if got := eve.ask(presenceOf(news)).GetPresence(); got.GetOnline() != 45 || !got.GetSessions() || len(got.GetUsers()) > 0 || got.GetShards() != 3 {
			t.Errorf("online in the channel: %v", got)
		}
		if got := eve.ask(presenceOf(club)).GetError(); got.GetCode() != chatv1.Error_CODE_NOT_MEMBER {
			t.Errorf("a stranger to the group: %v", got)
		}
		if got := eve.ask(presenceOf("me")).GetError(); got.GetCode() != chatv1.Error_CODE_DENIED {
			t.Errorf("of one's own log: %v", got)
		}
		time.Sleep(3 * time.Second)
		l.others = nil
		ctx, cancel := contextWithin(time.Minute)
		defer cancel()
		if got, flt := r.shard.Presence(ctx, "bob", &chatv1.PresenceRequest{Log: club}); flt != nil || got.GetOnline() != 2 || got.GetShards() != 1 {
			t.Errorf("over HTTP, once the others are gone: %v, %v", got, flt)
		}
	})
}

// In a group of more than 200 nobody is named: not who types, not who is online.
func TestALargeGroupNamesNobody(t *testing.T) {
	withLine(t, func(r *rig, l *line) {
		log := r.stores.create("ann", group)
		for i := range 199 {
			r.stores.join(fmt.Sprint("user", i), log)
		}
		ann, _ := r.signIn("ann", none(log))
		one, _ := r.signIn("user1", none(log))
		look := func(when string, named bool) {
			t.Helper()
			if flt := one.types(log); flt != nil {
				t.Fatal(flt)
			}
			want := " 1"
			if named {
				want = "user1 1"
			}
			if got := ann.typing(log); len(got) == 0 || got[len(got)-1] != want {
				t.Errorf("%s: ann is told %q", when, got)
			}
			got := ann.ask(presenceOf(log)).GetPresence()
			if got.GetOnline() != 2 || got.GetSessions() == named || (len(got.GetUsers()) > 0) != named {
				t.Errorf("%s: online are %v", when, got)
			}
		}
		look("of 200", true)
		r.stores.join("user200", log)
		time.Sleep(10 * time.Second) // what was known of the group is asked anew
		look("of 201", false)
	})
}
