package shard_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func TestSignIn(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		_, got := r.signIn("ann")
		if got.GetUser() != "ann" || got.GetRegion() != "test" || !strings.HasPrefix(got.GetSession(), "shard-0/") ||
			got.GetServerTimeMs() != time.Now().UnixMilli() {
			t.Errorf("signed in: %v", got)
		}
		if l := got.GetLimits(); l.GetMaxFrameBytes() != 128<<10 || l.GetMaxMessageBytes() != 32<<10 || l.GetMaxAttachedLogs() != 1000 || l.GetPingWithinMs() != 60_000 {
			t.Errorf("limits: %v", l)
		}
	})
}

func TestFirstFramesThatEndTheSession(t *testing.T) {
	signIn := func(change func(*chatv1.SignInRequest)) func(*rig) *chatv1.ClientFrame {
		return func(r *rig) *chatv1.ClientFrame {
			req := &chatv1.SignInRequest{Token: r.token("ann"), Device: "phone"}
			change(req)
			return &chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: req}}
		}
	}
	for name, c := range map[string]struct {
		frame func(*rig) *chatv1.ClientFrame
		code  chatv1.Error_Code
		field string
	}{
		"no sign-in":   {func(*rig) *chatv1.ClientFrame { f := pingOf(1); f.Ref = 1; return f }, chatv1.Error_CODE_UNSUPPORTED, ""},
		"nothing":      {func(*rig) *chatv1.ClientFrame { return &chatv1.ClientFrame{Ref: 1} }, chatv1.Error_CODE_UNSUPPORTED, ""},
		"no ref":       {func(*rig) *chatv1.ClientFrame { return pingOf(1) }, chatv1.Error_CODE_INVALID, "ref"},
		"no token":     {signIn(func(r *chatv1.SignInRequest) { r.Token = "" }), chatv1.Error_CODE_UNAUTHENTICATED, ""},
		"a bad token":  {signIn(func(r *chatv1.SignInRequest) { r.Token += "x" }), chatv1.Error_CODE_UNAUTHENTICATED, ""},
		"no device":    {signIn(func(r *chatv1.SignInRequest) { r.Device = "" }), chatv1.Error_CODE_INVALID, "sign_in.device"},
		"a bad device": {signIn(func(r *chatv1.SignInRequest) { r.Device = "a b" }), chatv1.Error_CODE_INVALID, "sign_in.device"},
		"a long client": {signIn(func(r *chatv1.SignInRequest) { r.Client = strings.Repeat("x", 65) }),
			chatv1.Error_CODE_INVALID, "sign_in.client"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				for _, enc := range []engine.Encoding{engine.Protobuf, engine.JSON} {
					d := r.connect(enc)
					d.send(c.frame(r))
					code, last := d.closeCode(), d.last()
					if e := last.GetError(); e.GetCode() != c.code || e.GetField() != c.field || e.GetMessage() == "" || last.GetRef() != 0 {
						t.Errorf("%v: the last frame is %v, want %v of field %q", enc, last, c.code, c.field)
					}
					if code != engine.CloseFor(c.code) {
						t.Errorf("%v: closed with %d, want %d", enc, code, engine.CloseFor(c.code))
					}
				}
				synctest.Wait()
				if r.shard.Sessions() != 0 {
					t.Error("a session is left")
				}
			})
		})
	}
}

// A cursor that makes no sense is refused by itself, in its place; the others are attached.
func TestACursorThatMakesNoSense(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		channel := r.stores.create("ann", chatv1.LogKind_LOG_KIND_CHANNEL)
		cursors := []*chatv1.Cursor{{}, none("c.>"), none("me"), none(logid.User("ann")), none(logid.User("eve")), none(channel)}
		codes := []chatv1.Error_Code{chatv1.Error_CODE_INVALID, chatv1.Error_CODE_INVALID, 0, chatv1.Error_CODE_INVALID, chatv1.Error_CODE_DENIED, 0}
		check := func(field string, states []*chatv1.LogState) {
			t.Helper()
			if len(states) != len(cursors) {
				t.Fatalf("%d states for %d cursors", len(states), len(cursors))
			}
			for i, state := range states {
				if state.GetError().GetCode() != codes[i] || (codes[i] == 0) != (state.GetStatus() == chatv1.LogState_STATUS_LIVE) {
					t.Errorf("%s, cursor %d: %v, want %v", field, i, state, codes[i])
				}
				if want := fmt.Sprintf("%s.cursors[%d].log", field, i); codes[i] != 0 && state.GetError().GetField() != want {
					t.Errorf("the field is %q, want %q", state.GetError().GetField(), want)
				}
			}
		}
		d, got := r.signIn("ann", cursors...)
		check("sign_in", got.GetLogs())
		check("attach", d.attach(cursors...))
		r.stores.post("ann", channel, 1)
		if pts := d.positions(channel); !slices.Equal(pts, []int{2}) {
			t.Errorf("pushed of the channel: %v", pts)
		}
	})
}

func TestAnExpiredTokenIsSaidToBe(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		raw := r.token("ann")
		time.Sleep(2 * time.Hour)
		d := r.connect(engine.JSON)
		got := d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{Token: raw, Device: "d"}}})
		if got.GetError().GetCode() != chatv1.Error_CODE_TOKEN_EXPIRED || d.closeCode() != engine.CloseFor(chatv1.Error_CODE_TOKEN_EXPIRED) {
			t.Errorf("the last frame is %v", got)
		}
		if _, flt := r.shard.Authenticate(raw); flt.GetCode() != chatv1.Error_CODE_TOKEN_EXPIRED {
			t.Errorf("over HTTP it is %v", flt)
		}
	})
}

func TestGarbageEndsTheSession(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		for enc, garbage := range map[engine.Encoding]string{engine.Protobuf: "\xff\xff\xff", engine.JSON: `{"ref": 1, "ping": 7}`} {
			d := r.connect(enc)
			d.sendRaw([]byte(garbage))
			if code := d.closeCode(); code != engine.CloseFor(chatv1.Error_CODE_INVALID) {
				t.Errorf("%v: closed with %d", enc, code)
			}
		}
	})
}

func TestRequestsThatAreRefused(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		mine := logid.User("ann")
		log := r.stores.create("ann", channel)
		d, _ := r.signIn("ann")
		create := func(kind chatv1.LogKind, title string, id uint64) *chatv1.ClientFrame {
			return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Create{Create: &chatv1.CreateRequest{Kind: kind, Title: title, RandomId: id}}}
		}
		for name, c := range map[string]struct {
			frame *chatv1.ClientFrame
			code  chatv1.Error_Code
			field string
		}{
			"nothing":                 {&chatv1.ClientFrame{}, chatv1.Error_CODE_UNSUPPORTED, ""},
			"a second sign-in":        {&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{}}}, chatv1.Error_CODE_UNSUPPORTED, ""},
			"a post without an id":    {postOf(log, 0, "x"), chatv1.Error_CODE_INVALID, "post.random_id"},
			"a post without a log":    {postOf("", 1, "x"), chatv1.Error_CODE_INVALID, "post.log"},
			"a post to me":            {postOf("me", 1, "x"), chatv1.Error_CODE_DENIED, "post.log"},
			"a post to my log":        {postOf(mine, 1, "x"), chatv1.Error_CODE_DENIED, "post.log"},
			"a post to a subject":     {postOf("c.>", 1, "x"), chatv1.Error_CODE_INVALID, "post.log"},
			"a post without content":  {postOf(log, 1, ""), chatv1.Error_CODE_INVALID, "post.message"},
			"a post too large":        {postOf(log, 1, strings.Repeat("x", 32<<10+1)), chatv1.Error_CODE_TOO_LARGE, "post.message"},
			"a log of no kind":        {create(0, "x", 1), chatv1.Error_CODE_INVALID, "create.kind"},
			"a user log":              {create(chatv1.LogKind_LOG_KIND_USER, "x", 1), chatv1.Error_CODE_INVALID, "create.kind"},
			"a log without a title":   {create(channel, "", 1), chatv1.Error_CODE_INVALID, "create.title"},
			"a title too long":        {create(channel, strings.Repeat("é", 129), 1), chatv1.Error_CODE_INVALID, "create.title"},
			"a title with a newline":  {create(channel, "a\nb", 1), chatv1.Error_CODE_INVALID, "create.title"},
			"a log without an id":     {create(channel, "x", 0), chatv1.Error_CODE_INVALID, "create.random_id"},
			"joining me":              {&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Join{Join: &chatv1.JoinRequest{Log: "me"}}}, chatv1.Error_CODE_DENIED, "join.log"},
			"leaving nothing":         {&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Leave{Leave: &chatv1.LeaveRequest{}}}, chatv1.Error_CODE_INVALID, "leave.log"},
			"a difference of nothing": {differenceOf("", 1, 1, 0), chatv1.Error_CODE_INVALID, "difference.cursor.log"},
		} {
			got := d.ask(c.frame)
			if e := got.GetError(); e.GetCode() != c.code || e.GetField() != c.field || e.GetMessage() == "" || got.GetRef() == 0 {
				t.Errorf("%s was answered %v, want %v of field %q", name, got, c.code, c.field)
			}
		}
		if got := d.ask(create(channel, strings.Repeat("é", 128), 1)).GetCreated(); got == nil {
			t.Error("a title of 128 characters is refused")
		}
	})
}

func TestPostsOfOneSessionKeepTheirOrder(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log, other := r.stores.create("ann", channel), r.stores.create("ann", channel)
		d, _ := r.signIn("ann", none(log))
		r.stores.set(func(s *stores) { s.delay = 200 * time.Millisecond })
		var answers []<-chan *chatv1.ServerFrame
		for i := range uint64(20) {
			answers = append(answers, d.begin(postOf(log, i+1, fmt.Sprint("post ", i))))
		}
		began := time.Now()
		if d.ask(pingOf(1)).GetPong() == nil || time.Since(began) > 0 {
			t.Error("a ping waits for posts")
		}
		if d.ask(postOf(other, 1, "elsewhere")).GetPosted() == nil || time.Since(began) > time.Second {
			t.Error("a post waits for posts to another log")
		}
		for i, a := range answers {
			if got := (<-a).GetPosted().GetPts(); got != uint64(i+2) {
				t.Errorf("post %d is at %d", i, got)
			}
		}
	})
}

// While posts are on their way, the sockets of the log's readers are told that there is more to come; not when they have arrived, nor when they never will.
func TestPostsOnTheirWayAreExpected(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log, unread := r.stores.create("ann", channel), r.stores.create("ann", channel)
		r.signIn("ben", none(log))
		expected := map[string]int{}
		r.engine.mu.Lock()
		r.engine.expecting = func(log string, n int) {
			r.engine.mu.Lock()
			defer r.engine.mu.Unlock()
			expected[log] += n
		}
		r.engine.mu.Unlock()
		want := func(when string, n int) {
			t.Helper()
			synctest.Wait()
			r.engine.mu.Lock()
			defer r.engine.mu.Unlock()
			if expected[log] != n || expected[unread] != 0 {
				t.Errorf("%s, %v are expected, want %d", when, expected, n)
			}
		}
		r.stores.set(func(s *stores) { s.delay = 200 * time.Millisecond })
		var answers []<-chan *chatv1.ServerFrame
		for i := range uint64(3) {
			d, _ := r.signIn("ann")
			answers = append(answers, d.begin(postOf(log, i+1, "x")), d.begin(postOf(unread, i+1, "x")))
		}
		want("on their way", 3)
		for _, a := range answers {
			<-a
		}
		want("arrived", 0)
		r.stores.set(func(s *stores) { s.down = true })
		d, _ := r.signIn("ann")
		a := d.begin(postOf(log, 9, "x"))
		want("without an owner", 1)
		<-a
		want("given up", 0)
	})
}

func TestRequestsAreAnsweredWhenNoOwnerIs(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		d, _ := r.signIn("ann")
		r.stores.set(func(s *stores) { s.down = true })
		var answers []<-chan *chatv1.ServerFrame
		for i := range uint64(31) {
			answers = append(answers, d.begin(postOf(log, i+1, "x")))
		}
		answers = append(answers, d.begin(differenceOf(log, 1, 1, 0)))
		if got := d.ask(postOf(log, 99, "x")).GetError(); got.GetCode() != chatv1.Error_CODE_TOO_MANY || got.GetRetryAfterMs() == 0 {
			t.Errorf("the 33rd request was answered %v", got)
		}
		began := time.Now()
		for i, a := range answers {
			if got := (<-a).GetError(); got.GetCode() != chatv1.Error_CODE_UNAVAILABLE || got.GetRetryAfterMs() == 0 {
				t.Errorf("request %d was answered %v", i, got)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("answered after %v: a post's deadline counts from when it came, not from the one before it", took)
		}
		r.stores.set(func(s *stores) { s.down = false })
		if d.ask(postOf(log, 100, "x")).GetPosted() == nil {
			t.Error("a post was refused when the owner was back")
		}
	})
}

func TestRequestsAreBoundedInRate(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RequestsPerSecond, c.RequestBurst = 10, 20 }, func(r *rig) {
		d, _ := r.signIn("ann")
		for i := range uint64(20) {
			if d.ask(pingOf(i)).GetPong() == nil {
				t.Fatalf("request %d of a burst is refused", i)
			}
		}
		got := d.ask(pingOf(21)).GetError()
		if got.GetCode() != chatv1.Error_CODE_TOO_MANY || got.GetRetryAfterMs() == 0 {
			t.Fatalf("one too many was answered %v", got)
		}
		time.Sleep(time.Duration(got.GetRetryAfterMs()) * time.Millisecond)
		if d.ask(pingOf(22)).GetPong() == nil {
			t.Error("refused after the wait that was asked for")
		}
	})
}

func TestAttachedLogsAreBounded(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.MaxAttachedLogs = 3 }, func(r *rig) {
		var logs []string
		for range 5 {
			logs = append(logs, r.stores.create("ann", channel))
		}
		d, signedIn := r.signIn("bob", none(logs[0]), none(logs[1]), none(logs[2]), none(logs[3]))
		for i, s := range signedIn.GetLogs() {
			if i < 3 {
				wantState(t, fmt.Sprint("log ", i), s, live, 0)
			} else {
				wantState(t, "one too many", s, refused, chatv1.Error_CODE_TOO_MANY)
			}
		}
		wantState(t, "one that is attached already", d.attach(none(logs[1]))[0], live, 0)
		wantState(t, "one too many", d.attach(none(logs[4]))[0], refused, chatv1.Error_CODE_TOO_MANY)
		d.ask(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{logs[0]}}}})
		wantState(t, "one in place of another", d.attach(none(logs[4]))[0], live, 0)
	})
}

func TestAckHasNoAnswer(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		d, _ := r.signIn("ann")
		d.send(&chatv1.ClientFrame{Ref: 77, Body: &chatv1.ClientFrame_Ack{Ack: &chatv1.AckRequest{Cursors: []*chatv1.Cursor{at("c1", 1, 1)}}}})
		if got := d.ask(pingOf(5)).GetPong(); got.GetNonce() != 5 || got.GetServerTimeMs() != time.Now().UnixMilli() {
			t.Errorf("got %v", got)
		}
		if len(d.all) != 2 {
			t.Errorf("got %v, want signed_in and pong", d.all)
		}
	})
}

func TestASlowReaderIsToldAndOthersAreNot(t *testing.T) {
	inBubble(t, func(c *shard.Config) { c.RingEvents = 8 }, func(r *rig) {
		log := r.stores.create("ann", channel)
		readers := r.readers(3, log)
		slow := readers[0]
		slow.pause()
		r.stores.post("ann", log, 1) // which it reads still, as it was waiting for it
		for range 20 {
			synctest.Wait()
			r.stores.post("ann", log, 1)
		}
		synctest.Wait()
		slow.resume()
		wantPushed(t, "who reads", readers[1:], log, upTo(2, 22))
		got := slow.positions(log)
		if i := slices.IndexFunc(got, func(p int) bool { return p < 0 }); i < 0 || -got[i] != 22 || !slices.Equal(got[:i], upTo(2, i+1)) {
			t.Errorf("who did not was pushed %v", got)
		}
		if r.metric("chatd_too_long_total") != 1 {
			t.Errorf("%v times too long counted", r.metric("chatd_too_long_total"))
		}
	})
}

func TestSilentSessionsEnd(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		never := r.connect(engine.Protobuf)
		pinging, _ := r.signIn("ann")
		silent, _ := r.signIn("bob")
		for range 10 {
			time.Sleep(30 * time.Second)
			pinging.ask(pingOf(1))
		}
		if code := never.closeCode(); code != engine.CloseFor(chatv1.Error_CODE_UNAUTHENTICATED) {
			t.Errorf("who never signed in was closed with %d", code)
		}
		if code := silent.closeCode(); code != engine.CloseSilent {
			t.Errorf("who said nothing was closed with %d", code)
		}
		if r.shard.Sessions() != 1 {
			t.Errorf("%d sessions, want the one that pings", r.shard.Sessions())
		}
	})
}
