package shard_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func (r *rig) setName(user, log, name string) (*chatv1.SetNameResponse, *chatv1.Error) {
	return r.shard.SetName(context.Background(), user, &chatv1.SetNameRequest{Log: log, Name: name})
}

// bearer is the log that a name is found for, empty if there is none.
func (r *rig) bearer(t interface{ Fatalf(string, ...any) }, name string) string {
	got, flt := r.shard.Resolve(context.Background(), "anybody", &chatv1.ResolveRequest{Name: name})
	if flt != nil && flt.GetCode() != chatv1.Error_CODE_NOT_FOUND {
		t.Fatalf("resolving %s: %v", name, flt)
	}
	return got.GetInfo().GetLog()
}

func TestNames(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		news, sport := r.stores.create("ann", channel), r.stores.create("bob", channel)
		want := func(name, log string) {
			t.Helper()
			if got := r.bearer(t, name); got != log {
				t.Errorf("@%s is %q, want %q", name, got, log)
			}
		}
		refuses := func(code chatv1.Error_Code, user, log, name string) {
			t.Helper()
			if _, flt := r.setName(user, log, name); flt.GetCode() != code {
				t.Errorf("%s names %s %q: %v, want %v", user, log, name, flt, code)
			}
		}
		if got, flt := r.setName("ann", news, "@Daily_News"); flt != nil || got.GetName() != "daily_news" {
			t.Fatalf("naming: %v, %v", got, flt)
		}
		want("DAILY_news", news)
		refuses(chatv1.Error_CODE_TAKEN, "bob", sport, "daily_news")
		refuses(chatv1.Error_CODE_DENIED, "bob", news, "bobs_news")
		refuses(chatv1.Error_CODE_INVALID, "ann", news, "x")
		refuses(chatv1.Error_CODE_INVALID, "ann", news, "1st_news")
		refuses(0, "ann", news, "daily_news")
		refuses(0, "ann", news, "weekly_news")
		want("daily_news", "")
		want("weekly_news", news)
		refuses(0, "bob", sport, "daily_news")
		want("daily_news", sport)
		refuses(0, "bob", sport, "")
		want("daily_news", "")
		refuses(0, "ann", news, "daily_news")
	})
}

func TestAUserHoldsSoManyNames(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		var logs []string
		for i := range chatlog.MaxNames + 1 {
			logs = append(logs, r.stores.create("ann", channel))
			_, flt := r.setName("ann", logs[i], fmt.Sprintf("name_%d", i))
			if want := i == chatlog.MaxNames; (flt.GetCode() == chatv1.Error_CODE_TOO_MANY) != want {
				t.Fatalf("name %d: %v", i, flt)
			}
		}
		if _, flt := r.setName("ann", logs[3], ""); flt != nil {
			t.Fatal(flt)
		}
		if _, flt := r.setName("ann", logs[chatlog.MaxNames], "name_3"); flt != nil {
			t.Errorf("in place of one that was given up: %v", flt)
		}
	})
}

// While a fleet is full, what takes away works: a name is given up, an invitation revoked, a log made private.
func TestTakingAwayWhileFull(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		news, club := r.stores.create("ann", channel), r.stores.create("ann", group)
		if _, flt := r.setName("ann", news, "daily_news"); flt != nil {
			t.Fatal(flt)
		}
		r.stores.join("bob", club)
		made := r.invite(t, club, 0, 0)
		r.stores.set(func(s *stores) { s.full = true })
		want := func(what string, flt *chatv1.Error, code chatv1.Error_Code) {
			t.Helper()
			if flt.GetCode() != code {
				t.Errorf("%s: %v, want %v", what, flt, code)
			}
		}
		full := chatv1.Error_CODE_FULL
		_, flt := r.setName("ann", news, "weekly_news")
		want("another name", flt, full)
		if got := r.bearer(t, "daily_news"); got != news {
			t.Errorf("the name before is now %q's", got)
		}
		_, flt = r.shard.CreateInvitation(ctx, "ann", &chatv1.CreateInvitationRequest{Log: club})
		want("an invitation", flt, full)
		want("joining by one", &chatv1.Error{Code: r.joins("eve", "", made.GetToken())}, full)
		_, flt = r.shard.RevokeInvitation(ctx, "ann", &chatv1.RevokeInvitationRequest{Log: club, Id: made.GetInvitation().GetId()})
		want("revoking one", flt, 0)
		_, flt = r.setName("ann", news, "")
		want("giving up a name", flt, 0)
		_, flt = r.setName("ann", news, "")
		want("again", flt, 0)
		r.makePrivate(t, club, true)
		r.stores.set(func(s *stores) { s.full = false })
		_, flt = r.setName("ann", r.stores.create("ann", channel), "daily_news")
		want("the name, for another log", flt, 0)
	})
}

// A request costs over HTTP what it costs in a session, out of one bucket for both.
func TestPricesOverHTTP(t *testing.T) {
	ctx := context.Background()
	for name, ask := range map[string]struct {
		price int
		frame func(log string) *chatv1.ClientFrame
		http  func(sh *shard.Shard, log string) *chatv1.Error
	}{
		"set_name": {5, func(log string) *chatv1.ClientFrame {
			return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SetName{SetName: &chatv1.SetNameRequest{Log: log, Name: "some_name"}}}
		}, func(sh *shard.Shard, log string) *chatv1.Error {
			_, flt := sh.SetName(ctx, "ann", &chatv1.SetNameRequest{Log: log, Name: "some_name"})
			return flt
		}},
		"resolve": {1, func(string) *chatv1.ClientFrame {
			return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Resolve{Resolve: &chatv1.ResolveRequest{Name: "some_name"}}}
		}, func(sh *shard.Shard, _ string) *chatv1.Error {
			_, flt := sh.Resolve(ctx, "ann", &chatv1.ResolveRequest{Name: "some_name"})
			return flt
		}},
		"create_invitation": {1, func(log string) *chatv1.ClientFrame {
			return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_CreateInvitation{CreateInvitation: &chatv1.CreateInvitationRequest{Log: log, RandomId: 1}}}
		}, func(sh *shard.Shard, log string) *chatv1.Error {
			_, flt := sh.CreateInvitation(ctx, "ann", &chatv1.CreateInvitationRequest{Log: log, RandomId: 1})
			return flt
		}},
	} {
		const burst = 40
		tooMany := func(flt *chatv1.Error) bool { return flt.GetCode() == chatv1.Error_CODE_TOO_MANY }
		count := func(inSession bool) (n int) {
			change := func(c *shard.Config) {
				c.UserRequestsPerSecond, c.UserRequestBurst = 0.001, burst
			}
			inBubble(t, change, func(r *rig) {
				log := r.stores.create("ann", channel)
				ann, _ := r.signIn("ann")
				for n = 0; n <= burst; n++ {
					var flt *chatv1.Error
					if inSession {
						flt = ann.ask(ask.frame(log)).GetError()
					} else if flt = r.shard.Charge("ann"); !tooMany(flt) { // which the gateway does for every method
						flt = ask.http(r.shard, log)
					}
					if tooMany(flt) {
						return
					}
				}
			})
			return n
		}
		if here, there := count(true), count(false); here != there || here != burst/ask.price {
			t.Errorf("%s: %d in a session, %d over HTTP, want %d", name, here, there, burst/ask.price)
		}
	}
}

// A shard dies anywhere on the way of a change, again and again. Whoever repeats his request gets what he asked for, every name that a
// log bears leads to that log, nobody holds more names than he may, and a name that is borne by none is to be had after a while.
func TestNamesSurviveDeaths(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawNaming), 1, 15).Draw(rt, "steps")
		var err error
		inBubble(t, nil, func(r *rig) { err = r.nameThrough(steps) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// naming is a request for a name, and what becomes of the shard that it is asked of.
type naming struct {
	Log, Name int
	Dies      death // in 0: it does not
	Repeats   bool
	Then      time.Duration
}

func drawNaming(rt *rapid.T) naming {
	return naming{
		Log: rapid.IntRange(0, 3).Draw(rt, "log"), Name: rapid.IntRange(0, 3).Draw(rt, "name"),
		Dies:    death{rapid.IntRange(0, 9).Draw(rt, "dies in"), rapid.Bool().Draw(rt, "answer lost")},
		Repeats: rapid.Bool().Draw(rt, "repeats"),
		Then:    time.Second * time.Duration(rapid.SampledFrom([]int{0, 0, 20, 61}).Draw(rt, "then")),
	}
}

func (r *rig) nameThrough(steps []naming) error {
	users, names := []string{"ann", "bob"}, []string{"", "first", "second", "third"}
	var logs []string
	for i := range 4 {
		logs = append(logs, r.stores.create(users[i%2], channel))
	}
	for i, s := range steps {
		user, log, name := users[s.Log%2], logs[s.Log], names[s.Name]
		if s.Dies.in > 0 {
			r.stores.set(func(stores *stores) { stores.dies = &s.Dies })
		}
		_, flt := r.setName(user, log, name)
		r.stores.set(func(stores *stores) { stores.dies = nil })
		if flt.GetCode() == chatv1.Error_CODE_UNAVAILABLE && s.Repeats {
			if _, flt = r.setName(user, log, name); flt.GetCode() == chatv1.Error_CODE_UNAVAILABLE {
				return fmt.Errorf("step %d, repeated with nothing in its way: %v", i, flt)
			}
		}
		if flt == nil && r.stores.nameOf(log) != name {
			return fmt.Errorf("step %d: %s was named %q, and is %q", i, log, name, r.stores.nameOf(log))
		}
		if err := r.checkNames(users, logs, names[1:]); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		time.Sleep(s.Then)
	}
	time.Sleep(chatlog.ClaimFor)
	for _, name := range names[1:] {
		if r.bearer(r.t, name) == "" {
			log := r.stores.create("cat", channel)
			if _, flt := r.setName("cat", log, name); flt != nil {
				return fmt.Errorf("%s is nobody's, and not to be had: %v", name, flt)
			}
		}
	}
	return nil
}

func (s *stores) nameOf(log string) (name string) {
	s.set(func(s *stores) { name = s.log(log).state.Info().GetName() })
	return name
}

func (r *rig) checkNames(users, logs, names []string) error {
	borne, held := make(map[string]string), make(map[string]int)
	for i, log := range logs {
		name := r.stores.nameOf(log)
		if name == "" {
			continue
		}
		held[users[i%2]]++
		if other, twice := borne[name]; twice {
			return fmt.Errorf("%s is borne by %s and by %s", name, other, log)
		}
		borne[name] = log
	}
	for _, user := range users {
		slots := 0
		r.stores.set(func(s *stores) { slots = len(s.log(logid.User(user)).state.Snapshot().GetNameSlots()) })
		if held[user] > slots {
			return fmt.Errorf("%s holds %d names in %d slots", user, held[user], slots)
		}
	}
	for _, name := range names {
		if got := r.bearer(r.t, name); got != borne[name] {
			return fmt.Errorf("%s is found at %q, and borne by %q", name, got, borne[name])
		}
	}
	return nil
}
