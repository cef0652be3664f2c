package gateway_test

import (
	"context"
	"fmt"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// asked carries out what a well-behaved user asks.
func asked[Req, Res any](d *door, do func(context.Context, string, *Req) (*Res, *chatv1.Error), user string, r *Req) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, failed := do(ctx, user, r); failed != nil {
		d.t.Errorf("%s asked %v: %v", user, r, failed)
	}
}

// anns is a new log of ann's, which users have joined.
func (d *door) anns(kind chatv1.LogKind, joined ...string) string {
	log, _ := d.create("ann", kind)
	for _, user := range joined {
		asked(d, d.shard.Join, user, &chatv1.JoinRequest{Log: log})
	}
	return log
}

func (d *door) give(log, user string, role chatv1.Role) {
	asked(d, d.shard.SetRole, "ann", &chatv1.SetRoleRequest{Log: log, User: user, Role: role})
}

func (d *door) policy(log string, p *chatv1.Policy) {
	asked(d, d.shard.SetPolicy, "ann", &chatv1.SetPolicyRequest{Log: log, Policy: p})
}

func (d *door) tell(log, text string) {
	asked(d, d.shard.Post, "ann", &chatv1.PostRequest{Log: log, RandomId: d.id.Add(1), Message: &chatv1.Message{Text: text}})
}

// posts is a post by the session.
func (d *door) posts(ref uint32, log, text string) []byte {
	return message(engine.JSON, &chatv1.ClientFrame{Ref: ref, Body: &chatv1.ClientFrame_Post{Post: &chatv1.PostRequest{
		Log: log, RandomId: d.id.Add(1), Message: &chatv1.Message{Text: text}}}})
}

// rights are rows about roles and policies. Each has a log of its own.
func rights() section {
	const (
		invalid  = chatv1.Error_CODE_INVALID
		denied   = chatv1.Error_CODE_DENIED
		member   = chatv1.Error_CODE_NOT_MEMBER
		notFound = chatv1.Error_CODE_NOT_FOUND

		group   = chatv1.LogKind_LOG_KIND_GROUP
		channel = chatv1.LogKind_LOG_KIND_CHANNEL

		admin  = chatv1.Role_ROLE_ADMIN
		banned = chatv1.Role_ROLE_BANNED
	)
	// in sends a request about a log that is made for it; %s is the log.
	in := func(name string, made func(*door) string, body string, w want) refusal {
		return refusal{name: name, at: inJSON, want: w, send: func(d *door) []byte {
			return textFrame(`{"ref":2,` + fmt.Sprintf(body, made(d)) + `}`)
		}}
	}
	of := func(kind chatv1.LogKind, joined ...string) func(*door) string {
		return func(d *door) string { return d.anns(kind, joined...) }
	}
	his := func(d *door) string { return d.his }
	asAdmin := func(d *door) string {
		log := d.anns(group, "mallory", "bob")
		d.give(log, "mallory", admin)
		return log
	}
	isBanned := func(kind chatv1.LogKind) func(*door) string {
		return func(d *door) string {
			log := d.anns(kind, "mallory")
			d.give(log, "mallory", banned)
			return log
		}
	}
	const nobodys = "only the owner and admins give roles"
	noLog := func(*door) string { return logid.Create(group, "nobody", 7) }
	usersLog := func(*door) string { return logid.User("ann") }
	return section{"Roles, bans and policies", "Who may not, and who may no more.", []refusal{
		in("A role, by a member", of(group, "mallory", "bob"), `"setRole":{"log":%q,"user":"bob","role":"ROLE_BANNED"}`, refused(denied, "", nobodys)),
		in("A role for oneself, by a member", of(group, "mallory"), `"setRole":{"log":%q,"user":"mallory","role":"ROLE_ADMIN"}`, refused(denied, "", nobodys)),
		in("A role in a group of others", of(group), `"setRole":{"log":%q,"user":"mallory","role":"ROLE_ADMIN"}`, refused(denied, "", nobodys)),
		in("A role in a channel of others", of(channel), `"setRole":{"log":%q,"user":"mallory","role":"ROLE_ADMIN"}`, refused(denied, "", nobodys)),
		in("A ban of the owner, by an admin", asAdmin, `"setRole":{"log":%q,"user":"ann","role":"ROLE_BANNED"}`, refused(denied, "", "owns the log")),
		in("Another admin, by an admin", asAdmin, `"setRole":{"log":%q,"user":"bob","role":"ROLE_ADMIN"}`, refused(denied, "", "only its owner says who is an admin")),
		in("A ban of another admin, by an admin", func(d *door) string {
			log := asAdmin(d)
			d.give(log, "bob", admin)
			return log
		}, `"setRole":{"log":%q,"user":"bob","role":"ROLE_BANNED"}`, refused(denied, "", "only its owner says who is an admin")),
		in("An admin of a group who is no member of it", his, `"setRole":{"log":%q,"user":"nobody","role":"ROLE_ADMIN"}`, refused(member, "", "an admin must be one")),
		in("A second owner", his, `"setRole":{"log":%q,"user":"bob","role":"ROLE_OWNER"}`, refused(denied, "set_role.role", "keeps its owner")),
		in("No role", his, `"setRole":{"log":%q,"user":"bob"}`, refused(invalid, "set_role.role", "admin, member or banned")),
		in("A role that there is not", his, `"setRole":{"log":%q,"user":"bob","role":99}`, refused(invalid, "set_role.role", "admin, member or banned")),
		in("A role for what is no user's name", his, `"setRole":{"log":%q,"user":"b.>*","role":"ROLE_BANNED"}`, refused(invalid, "set_role.user", "no name")),
		in("A role in a log that there is not", noLog, `"setRole":{"log":%q,"user":"bob","role":"ROLE_BANNED"}`, refused(notFound, "", "there is no log")),
		in("A role in another's user log", usersLog, `"setRole":{"log":%q,"user":"mallory","role":"ROLE_ADMIN"}`, refused(denied, "set_role.log", "")),

		in("A policy, by a member", of(group, "mallory"), `"setPolicy":{"log":%q,"policy":{"slowModeSeconds":3600}}`, refused(denied, "", "only the owner and admins set the policy")),
		in("A policy for a group of others", of(group), `"setPolicy":{"log":%q,"policy":{"adminsPostOnly":true}}`, refused(denied, "", "only the owner and admins set the policy")),
		in("No policy", his, `"setPolicy":{"log":%q}`, refused(invalid, "set_policy.policy", "missing")),
		in("A slow mode of a day", his, `"setPolicy":{"log":%q,"policy":{"slowModeSeconds":86400}}`, refused(invalid, "set_policy.policy.slow_mode_seconds", "3600")),
		in("A slow mode for a channel", of(channel), `"setPolicy":{"log":%q,"policy":{"adminsPostOnly":true,"slowModeSeconds":10}}`, refused(invalid, "set_policy.policy", "in a channel")),
		in("A policy for one's own user log", func(*door) string { return "me" }, `"setPolicy":{"log":%q,"policy":{"adminsPostOnly":true}}`, refused(denied, "set_policy.log", "")),
		in("A post where only admins post", func(d *door) string {
			log := d.anns(group, "mallory")
			d.policy(log, &chatv1.Policy{AdminsPostOnly: true})
			return log
		}, `"post":{"log":%q,"randomId":"1","message":{"text":"hi"}}`, refused(denied, "", "only the owner and admins post")),
		{name: "A second post in slow mode", at: inJSON, want: want{code: chatv1.Error_CODE_TOO_MANY, says: "slow mode", retry: true},
			send: func(d *door) []byte {
				log := d.anns(group, "mallory")
				d.policy(log, &chatv1.Policy{SlowModeSeconds: 3600})
				return append(d.posts(2, log, "one"), d.posts(3, log, "two")...)
			}},

		in("A post by who is banned", isBanned(group), `"post":{"log":%q,"randomId":"1","message":{"text":"hi"}}`, refused(denied, "", "banned")),
		in("Joining a group that one is banned from", isBanned(group), `"join":{"log":%q}`, refused(denied, "", "banned")),
		in("Joining a channel that one is banned from", isBanned(channel), `"join":{"log":%q}`, refused(denied, "", "banned")),
		in("Attaching a channel that one is banned from", isBanned(channel), `"attach":{"cursors":[{"log":%q}]}`, refused(denied, "", "banned")),
		in("Reading a channel that one is banned from", isBanned(channel), `"difference":{"cursor":{"log":%q}}`, refused(denied, "", "banned")),
		in("Attaching a group that one is banned from", isBanned(group), `"attach":{"cursors":[{"log":%q}]}`, refused(member, "", "")),
		bannedMeanwhile("A ban between two posts", group, refused(denied, "", "banned"), func(d *door, log string) []byte { return d.posts(3, log, "two") }),
		bannedMeanwhile("A ban from a group that a session has attached; it is pushed no more, and asks for the rest", group, refused(member, "", ""), readsOn),
		bannedMeanwhile("The same of a channel", channel, refused(denied, "", "banned"), readsOn),
	}}
}

func readsOn(_ *door, log string) []byte {
	return textFrame(fmt.Sprintf(`{"ref":3,"difference":{"cursor":{"log":%q}}}`, log))
}

// bannedMeanwhile: a session attaches a log, posts in it if it is a group, and then its user is banned and the owner goes on posting.
func bannedMeanwhile(name string, kind chatv1.LogKind, w want, after func(d *door, log string) []byte) refusal {
	const secret = "what the banned must not read"
	w.never = secret
	// Each run of the row has a log of its own; doors are one a kind, so the row's last log is what then means.
	logs := make(chan string, 1)
	return refusal{name: name, at: inJSON, want: w,
		send: func(d *door) []byte {
			log := d.anns(kind, "mallory")
			select {
			case logs <- log:
			case <-logs: // of seeds that were made and not sent
				logs <- log
			}
			attach := textFrame(fmt.Sprintf(`{"ref":2,"attach":{"cursors":[{"log":%q}]}}`, log))
			if kind == chatv1.LogKind_LOG_KIND_GROUP {
				return append(attach, d.posts(4, log, "one")...)
			}
			return attach
		},
		then: func(d *door) []byte {
			log := <-logs
			d.give(log, "mallory", chatv1.Role_ROLE_BANNED)
			d.tell(log, secret)
			return after(d, log)
		}}
}
