package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// revoke puts a revocation on the region's list, and waits until this door has heard of it.
func (d *door) revoke(r token.Revocation, g token.Grant) {
	r.Until = time.Now().Add(time.Hour)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := d.link.Revoke(ctx, r); err != nil {
		d.t.Errorf("revoke: %v", err)
		return
	}
	await(d.t, "the revocation comes to the door", func() bool { return d.revoked.Check(g) != nil })
}

// revokeUser revokes all tokens of a user that there are.
func (d *door) revokeUser(user string) {
	before := time.Now()
	d.revoke(token.Revocation{User: user, Before: before}, token.Grant{User: user, Issued: before.Truncate(time.Second)})
}

// grant is what a session of a user's phone may, for an hour. Tokens say in whole seconds when they were made.
func grant(user, session string) token.Grant {
	return token.Grant{User: user, Device: "phone", Session: session, Token: "t-" + session, Issued: time.Now().Truncate(time.Second), Ends: time.Now().Add(time.Hour)}
}

func (d *door) resumeToken(r *token.Resumer, g token.Grant) string {
	raw, _, err := r.Issue(g)
	if err != nil {
		d.t.Errorf("a resume token: %v", err)
	}
	return raw
}

// resumes is a sign-in by resume token alone, from a device.
func resumes(raw, device string) []byte {
	return message(engine.JSON, &chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{ResumeToken: raw, Device: device}}})
}

func renews(raw string) []byte {
	return message(engine.JSON, &chatv1.ClientFrame{Ref: 2, Body: &chatv1.ClientFrame_Renew{Renew: &chatv1.RenewRequest{Token: raw}}})
}

// resumption are rows about what comes after the first sign-in: resume tokens, renewals, and what was revoked.
func resumption() section {
	const unauthenticated, expired = chatv1.Error_CODE_UNAUTHENTICATED, chatv1.Error_CODE_TOKEN_EXPIRED
	shows := func(name string, code chatv1.Error_Code, words string, raw func(*door) string) refusal {
		w := ends(code, words)
		w.field = "sign_in.resume_token"
		return refusal{name: name, at: openedJSON, want: w, send: func(d *door) []byte { return resumes(raw(d), "phone") }}
	}
	renew := func(name string, code chatv1.Error_Code, words string, raw func(*door) string) refusal {
		return refusal{name: name, at: inJSON, want: refused(code, "renew.token", words), send: func(d *door) []byte { return renews(raw(d)) }}
	}
	good := func(d *door) string { return d.resumeToken(d.resume, grant("mallory", "s")) }
	sign := func(user string) func(*door) []byte {
		return func(d *door) []byte { return message(engine.JSON, signIn(d.token(user))) }
	}
	return section{"Resume tokens, renewals, and what was revoked", "Whoever shows a token beside a resume token that is no good comes in by the token.", []refusal{
		{name: "A good resume token", at: openedJSON, want: want{fine: true}, send: func(d *door) []byte { return resumes(good(d), "phone") }},
		{name: "A bad resume token, beside a good token", at: openedJSON, want: want{fine: true}, send: func(d *door) []byte {
			return message(engine.JSON, &chatv1.ClientFrame{Ref: 1, Body: &chatv1.ClientFrame_SignIn{SignIn: &chatv1.SignInRequest{
				Token: d.token("mallory"), ResumeToken: "r1.x.y", Device: "phone"}}})
		}},
		shows("A resume token that is none", unauthenticated, "none of this fleet's", func(*door) string { return "r1.hello.world" }),
		shows("A resume token of 5,000 bytes", unauthenticated, "bytes", func(*door) string { return "r1." + strings.Repeat("x", 5000) }),
		shows("A resume token that was altered", unauthenticated, "none of this fleet's", func(d *door) string {
			raw := good(d)
			return raw[:10] + "A" + raw[11:]
		}),
		shows("A resume token without its seal", unauthenticated, "none of this fleet's", func(d *door) string { raw := good(d); return raw[:strings.LastIndexByte(raw, '.')+1] }),
		shows("A resume token in which another user was put", unauthenticated, "none of this fleet's", func(d *door) string {
			hers, his := d.resumeToken(d.world.resumer("of mallory's own", 0), grant("ann", "s")), good(d)
			return hers[:strings.LastIndexByte(hers, '.')] + his[strings.LastIndexByte(his, '.'):]
		}),
		shows("A resume token of another cluster", unauthenticated, "none of this fleet's", func(d *door) string {
			return d.resumeToken(d.world.resumer("the secret of another cluster", 0), grant("mallory", "s"))
		}),
		shows("A resume token that has expired", expired, "sign in with a token", func(d *door) string {
			return d.resumeToken(d.world.resumer(clusterSecret, -time.Hour), grant("mallory", "s"))
		}),
		shows("A resume token of tomorrow", unauthenticated, "not valid yet", func(d *door) string {
			g := grant("mallory", "s")
			g.Ends = g.Ends.Add(48 * time.Hour)
			return d.resumeToken(d.world.resumer(clusterSecret, 24*time.Hour), g)
		}),
		shows("A token in place of a resume token", unauthenticated, "none of this fleet's", func(d *door) string { return d.token("mallory") }),
		{name: "A resume token of another device", at: openedJSON, want: want{close: engine.CloseFor(unauthenticated), code: unauthenticated, field: "sign_in.resume_token", says: "another device's"},
			send: func(d *door) []byte { return resumes(good(d), "laptop") }},
		{name: "A resume token in place of a token", at: openedJSON, want: ends(unauthenticated, "malformed"),
			send: func(d *door) []byte { return message(engine.JSON, signIn(good(d))) }},
		{name: "A request over HTTP with a resume token", want: want{status: 401, code: unauthenticated, says: "malformed"},
			send: func(d *door) []byte {
				return request(d, "POST", "/chatfleet.chat.v1.ChatService/Join", "{}", "Content-Type: application/json", "Authorization: Bearer "+good(d))
			}},

		{name: "A renewal with a good token", at: inJSON, want: want{fine: true}, send: func(d *door) []byte { return renews(d.token("mallory")) }},
		renew("A renewal with what is no token", unauthenticated, "malformed", func(*door) string { return "hunter2" }),
		renew("A renewal with an expired token", expired, "expired", func(d *door) string {
			return d.forge(nil, object{"exp": time.Now().Add(-time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()}, nil)
		}),
		renew("A renewal with another user's token", chatv1.Error_CODE_DENIED, "another user's", func(d *door) string { return d.token("bob") }),
		renew("A renewal with a resume token", unauthenticated, "malformed", good),

		{name: "A sign-in with a revoked token", at: openedJSON, want: ends(unauthenticated, "revoked"), send: func(d *door) []byte {
			data := sign("eve1")(d)
			d.revokeUser("eve1")
			return data
		}},
		{name: "A request over HTTP with a revoked token", want: want{status: 401, code: unauthenticated, says: "revoked"}, send: func(d *door) []byte {
			raw := d.token("eve2")
			d.revokeUser("eve2")
			return request(d, "POST", "/chatfleet.chat.v1.ChatService/Join", "{}", "Content-Type: application/json", "Authorization: Bearer "+raw)
		}},
		shows("A resume token of a user whose tokens were revoked", unauthenticated, "revoked", func(d *door) string {
			raw := d.resumeToken(d.resume, grant("eve3", "s3"))
			d.revokeUser("eve3")
			return raw
		}),
		shows("A resume token of a session that was revoked", unauthenticated, "revoked", func(d *door) string {
			g := grant("eve4", fmt.Sprint("s4-", d.id.Add(1)))
			d.revoke(token.Revocation{Session: g.Session}, g)
			return d.resumeToken(d.resume, g)
		}),
		{name: "A live session whose user's tokens are revoked", at: openedJSON, want: ends(unauthenticated, "revoked"),
			send: sign("eve5"), then: func(d *door) []byte { d.revokeUser("eve5"); return nil }},
	}}
}
