package shard_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// resuming gives a shard the key of resume tokens.
func resuming(c *shard.Config) {
	r, err := token.NewResumer(token.FixedSeal([]byte("sixteen bytes at least")), "test", nil)
	if err != nil {
		panic(err)
	}
	c.Resume = r
}

func signInBy(raw, resume, device string) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{Token: raw, ResumeToken: resume, Device: device}}}
}

func renewOf(raw string) *chatv1.ClientFrame {
	return &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Renew{Renew: &chatv1.RenewRequest{Token: raw}}}
}

// stay keeps a device from being taken for gone.
func (d *device) stay(t time.Duration) {
	for end := time.Now().Add(t); time.Now().Before(end); {
		time.Sleep(min(30*time.Second, time.Until(end)))
		d.ask(pingOf(1))
	}
}

func ended(d *device) bool {
	synctest.Wait()
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

func TestASessionEndsWithItsToken(t *testing.T) {
	inBubble(t, resuming, func(r *rig) {
		began := time.Now()
		d, hello := r.signIn("ann")
		end := time.UnixMilli(hello.GetExpiresMs())
		if end.Sub(began) < time.Hour || end.Sub(began) > time.Hour+token.Leeway {
			t.Errorf("a session by a token of an hour ends after %v", end.Sub(began))
		}
		d.stay(time.Until(end) - time.Second)
		if ended(d) {
			t.Fatal("it has ended before")
		}
		time.Sleep(time.Second)
		code, last := d.closeCode(), d.last()
		if code != engine.CloseFor(chatv1.Error_CODE_TOKEN_EXPIRED) || !time.Now().Equal(end) {
			t.Errorf("closed with %d, %v after its end", code, time.Since(end))
		}
		if e := last.GetError(); last.GetRef() != 0 || e.GetCode() != chatv1.Error_CODE_TOKEN_EXPIRED || e.GetMessage() == "" {
			t.Errorf("the last frame is %v", last)
		}
	})
}

func TestASessionIsRenewedInPlace(t *testing.T) {
	inBubble(t, resuming, func(r *rig) {
		log := r.stores.create("ann", channel)
		d, hello := r.signIn("ann", none(log))
		d.stay(59 * time.Minute)
		got := d.ask(renewOf(r.token("ann"))).GetRenewed()
		if longer := time.Duration(got.GetExpiresMs()-hello.GetExpiresMs()) * time.Millisecond; longer < 58*time.Minute || longer > time.Hour {
			t.Errorf("it lasts %v longer", longer)
		}
		d.stay(30 * time.Minute)
		r.stores.post("ann", log, 1)
		if pts := d.positions(log); ended(d) || len(pts) != 1 {
			t.Errorf("after the end that it had: ended %v, pushed %v", ended(d), pts)
		}
		d.stay(31 * time.Minute)
		if d.closeCode() != engine.CloseFor(chatv1.Error_CODE_TOKEN_EXPIRED) {
			t.Error("it does not end with the new token")
		}
	})
}

func TestRenewalsThatAreRefused(t *testing.T) {
	inBubble(t, resuming, func(r *rig) {
		expired := r.token("ann")
		time.Sleep(2 * time.Hour)
		d, hello := r.signIn("ann")
		for name, c := range map[string]struct {
			raw  string
			code chatv1.Error_Code
		}{
			"garbage":        {"hello", chatv1.Error_CODE_UNAUTHENTICATED},
			"expired":        {expired, chatv1.Error_CODE_TOKEN_EXPIRED},
			"another user's": {r.token("eve"), chatv1.Error_CODE_DENIED},
			"a resume token": {hello.GetResume().GetToken(), chatv1.Error_CODE_UNAUTHENTICATED},
		} {
			got := d.ask(renewOf(c.raw))
			if e := got.GetError(); e.GetCode() != c.code || e.GetField() != "renew.token" || got.GetRef() == 0 {
				t.Errorf("%s: %v, want %v", name, got, c.code)
			}
		}
		if got := d.ask(renewOf("")).GetRenewed(); got.GetExpiresMs() != hello.GetExpiresMs() || got.GetResume().GetToken() == "" {
			t.Errorf("after that: %v", got)
		}
	})
}

func TestAResumedSessionGoesOnAndAsksNoStore(t *testing.T) {
	inBubble(t, resuming, func(r *rig) {
		d, hello := r.signIn("ann")
		d.stay(5 * time.Minute)
		resume := d.ask(renewOf("")).GetRenewed().GetResume()
		if life := time.Until(time.UnixMilli(resume.GetExpiresMs())); life <= 9*time.Minute || life > 10*time.Minute {
			t.Errorf("the resume token is good for %v", life)
		}
		_ = d.conn.Close()
		time.Sleep(9 * time.Minute)
		r.stores.set(func(s *stores) { s.down = true })
		again := r.connect(engine.JSON)
		got := again.ask(signInBy("", resume.GetToken(), "phone")).GetSignedIn()
		if got.GetSession() != hello.GetSession() || got.GetUser() != "ann" || got.GetExpiresMs() != hello.GetExpiresMs() {
			t.Errorf("resumed as %v, was %v", got, hello)
		}
		if got.GetResume().GetToken() == "" {
			t.Error("no resume token for the next time")
		}
		again.stay(time.Until(time.UnixMilli(hello.GetExpiresMs())))
		if again.closeCode() != engine.CloseFor(chatv1.Error_CODE_TOKEN_EXPIRED) {
			t.Error("resuming has made the session longer than its token")
		}
	})
}

func TestResumeTokensThatAreRefused(t *testing.T) {
	inBubble(t, resuming, func(r *rig) {
		_, hello := r.signIn("ann")
		good := hello.GetResume().GetToken()
		try := func(raw, resume, device string) *chatv1.ServerFrame {
			return r.connect(engine.JSON).ask(signInBy(raw, resume, device))
		}
		refused := func(what string, got *chatv1.ServerFrame, code chatv1.Error_Code) {
			t.Helper()
			if e := got.GetError(); e.GetCode() != code || e.GetField() != "sign_in.resume_token" || got.GetRef() != 0 {
				t.Errorf("%s: %v, want %v", what, got, code)
			}
		}
		refused("another device", try("", good, "laptop"), chatv1.Error_CODE_UNAUTHENTICATED)
		refused("altered", try("", good+"A", "phone"), chatv1.Error_CODE_UNAUTHENTICATED)
		refused("a token", try("", r.token("ann"), "phone"), chatv1.Error_CODE_UNAUTHENTICATED)
		if got := try(good, "", "phone").GetError(); got.GetCode() != chatv1.Error_CODE_UNAUTHENTICATED {
			t.Errorf("as a token: %v", got)
		}
		if _, flt := r.shard.Authenticate(good); flt.GetCode() != chatv1.Error_CODE_UNAUTHENTICATED {
			t.Errorf("over HTTP: %v", flt)
		}
		if got := try(r.token("bob"), good, "phone").GetSignedIn(); got.GetUser() != "ann" {
			t.Errorf("beside a token the resume token counts, if it is good: %v", got)
		}
		time.Sleep(10 * time.Minute)
		refused("expired", try("", good, "phone"), chatv1.Error_CODE_TOKEN_EXPIRED)
		if got := try(r.token("ann"), good, "phone").GetSignedIn(); got == nil || got.GetSession() == hello.GetSession() {
			t.Errorf("expired, beside a token: %v", got)
		}
	})
}

func TestWithoutAKeyThereAreNoResumeTokens(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		d, hello := r.signIn("ann")
		if hello.GetResume() != nil || d.ask(renewOf("")).GetRenewed().GetResume() != nil {
			t.Error("there are")
		}
		if got := r.connect(engine.JSON).ask(signInBy("", "r1.x.y", "phone")).GetError(); got.GetCode() != chatv1.Error_CODE_UNAUTHENTICATED {
			t.Errorf("and one is answered %v", got)
		}
	})
}

// refusedSignIns are counts of refused sign-ins, by code and reason; those that are 0 are not in it, but must be there.
func (r *rig) refusedSignIns() map[string]int {
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	counts, all := map[string]int{}, 0
	for _, f := range families {
		if f.GetName() != "chatd_sign_ins_refused_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			all++
			if n := int(m.GetCounter().GetValue()); n > 0 {
				counts[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = n
			}
		}
	}
	if want := len(token.Reasons()) + 2; all < want {
		r.t.Errorf("%d pairs of code and reason are exported, want %d at least from the start", all, want)
	}
	return counts
}

// An operator sees why sign-ins are refused.
func TestRefusedSignInsAreCountedByReason(t *testing.T) {
	inBubble(t, resuming, func(r *rig) {
		if got := r.refusedSignIns(); len(got) != 0 {
			t.Errorf("at first: %v", got)
		}
		good := r.token("ann")
		_, hello := r.signIn("ann")
		for _, c := range []struct{ raw, resume, device, want string }{
			{"", "", "phone", "unauthenticated missing"},
			{"no token", "", "phone", "unauthenticated malformed"},
			{good[:len(good)-6] + "AAAAAA", "", "phone", "unauthenticated signature"},
			{"", "r1.x.y", "phone", "unauthenticated no_resume_token"},
			{"", hello.GetResume().GetToken(), "another", "unauthenticated other_device"},
			{good, "", strings.Repeat("x", 1000), "invalid none"},
		} {
			before := r.refusedSignIns()[c.want]
			r.connect(engine.JSON).ask(signInBy(c.raw, c.resume, c.device))
			if got := r.refusedSignIns(); got[c.want] != before+1 {
				t.Errorf("%q is not counted: %v", c.want, got)
			}
		}
		time.Sleep(2 * time.Hour)
		r.connect(engine.JSON).ask(signInBy(good, "", "phone"))
		r.connect(engine.JSON).ask(signInBy("", hello.GetResume().GetToken(), "phone"))
		if got := r.refusedSignIns(); got["token_expired expired"] != 2 || len(got) != 7 {
			t.Errorf("at the end: %v", got)
		}
	})
}
