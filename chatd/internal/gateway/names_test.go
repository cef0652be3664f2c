package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// named is a new channel of ann's with a name.
func (d *door) named(name string) string {
	log := d.anns(chatv1.LogKind_LOG_KIND_CHANNEL)
	asked(d, d.shard.SetName, "ann", &chatv1.SetNameRequest{Log: log, Name: name})
	return log
}

// private is a new private log of ann's.
func (d *door) private(kind chatv1.LogKind) string {
	log := d.anns(kind)
	d.policy(log, &chatv1.Policy{ByInvitation: proto.Bool(true), AdminsPostOnly: kind == chatv1.LogKind_LOG_KIND_CHANNEL})
	return log
}

func (d *door) invite(r *chatv1.CreateInvitationRequest) *chatv1.CreateInvitationResponse {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	made, failed := d.shard.CreateInvitation(ctx, "ann", r)
	if failed != nil {
		d.t.Errorf("an invitation: %v", failed)
	}
	return made
}

// namesAndInvitations are rows about how a log is found, and who gets into a private one.
func namesAndInvitations() section {
	const (
		invalid  = chatv1.Error_CODE_INVALID
		denied   = chatv1.Error_CODE_DENIED
		notFound = chatv1.Error_CODE_NOT_FOUND
		over     = chatv1.Error_CODE_INVITATION_OVER
		group    = chatv1.LogKind_LOG_KIND_GROUP
		channel  = chatv1.LogKind_LOG_KIND_CHANNEL
	)
	row := func(name string, body func(*door) string, w want) refusal {
		return refusal{name: name, at: inJSON, send: func(d *door) []byte { return textFrame(d.fill(`{"ref":2,` + body(d) + `}`)) }, want: w}
	}
	plain := func(body string) func(*door) string { return func(*door) string { return body } }
	join := func(name string, token func(*door) string, w want) refusal {
		return row(name, func(d *door) string { return fmt.Sprintf(`"join":{"invitation":%q}`, token(d)) }, w)
	}
	return section{"Names and invitations", "A public name is one log's in the region; a private log is joined by invitation.", []refusal{
		row("A name that is none", plain(`"setName":{"log":"@his","name":"news!"}`), refused(invalid, "set_name.name", "letters, digits and _")),
		row("A name of four letters", plain(`"setName":{"log":"@his","name":"news"}`), refused(invalid, "set_name.name", "5 to 32")),
		row("A name for another's channel", plain(`"setName":{"log":"@channel","name":"mallory"}`), refused(denied, "set_name.log", "only its owner")),
		row("A name for a user's own log", plain(`"setName":{"log":"me","name":"mallory"}`), refused(denied, "set_name.log", "cannot be named")),
		row("A name that another log has", func(d *door) string {
			d.named("world_news")
			return `"setName":{"log":"@his","name":"World_News"}`
		}, refused(chatv1.Error_CODE_TAKEN, "", "another log's")),
		row("Looking for a name that no log has", plain(`"resolve":{"name":"no_such_name"}`), refused(notFound, "resolve.name", "no log has")),
		row("Looking for nothing", plain(`"resolve":{}`), refused(invalid, "resolve", "either")),
		row("Joining a private group without an invitation", func(d *door) string { return fmt.Sprintf(`"join":{"log":%q}`, d.private(group)) },
			refused(denied, "join.invitation", "needs an invitation")),
		row("Attaching a private channel that one has not joined", func(d *door) string { return fmt.Sprintf(`"attach":{"cursors":[{"log":%q}]}`, d.private(channel)) },
			refused(chatv1.Error_CODE_NOT_MEMBER, "", "private")),
		row("The difference of a private channel that one has not joined", func(d *door) string {
			return fmt.Sprintf(`"difference":{"cursor":{"log":%q,"epoch":1}}`, d.private(channel))
		}, refused(chatv1.Error_CODE_NOT_MEMBER, "", "private")),
		join("An invitation that is none", func(*door) string { return "come in" }, refused(invalid, "join.invitation", "no token")),
		join("An invitation that nobody made", func(d *door) string { return d.private(group) + "." + strings.Repeat("a", 26) }, refused(notFound, "join.invitation", "no such invitation")),
		row("An invitation to another log", func(d *door) string {
			return fmt.Sprintf(`"join":{"log":%q,"invitation":%q}`, d.private(group), d.invite(&chatv1.CreateInvitationRequest{Log: d.private(group)}).GetToken())
		}, refused(invalid, "join.invitation", "another log")),
		join("An invitation that was revoked", func(d *door) string {
			log := d.private(group)
			made := d.invite(&chatv1.CreateInvitationRequest{Log: log})
			asked(d, d.shard.RevokeInvitation, "ann", &chatv1.RevokeInvitationRequest{Log: log, Id: made.GetInvitation().GetId()})
			return made.GetToken()
		}, refused(over, "join.invitation", "revoked")),
		join("An invitation that is used up", func(d *door) string {
			made := d.invite(&chatv1.CreateInvitationRequest{Log: d.private(group), MaxUses: 1})
			asked(d, d.shard.Join, "bob", &chatv1.JoinRequest{Invitation: made.GetToken()})
			return made.GetToken()
		}, refused(over, "join.invitation", "used")),
		join("An invitation that has expired", func(d *door) string {
			made := d.invite(&chatv1.CreateInvitationRequest{Log: d.private(group), ExpiresMs: time.Now().Add(300 * time.Millisecond).UnixMilli()})
			time.Sleep(time.Until(time.UnixMilli(made.GetInvitation().GetExpiresMs() + 1)))
			return made.GetToken()
		}, refused(over, "join.invitation", "expired")),
		row("An invitation to another's log", plain(`"createInvitation":{"log":"@channel"}`), refused(denied, "", "only the owner and admins")),
		row("An invitation that has ended before it begins", plain(`"createInvitation":{"log":"@channel","expiresMs":"@yesterday"}`), refused(invalid, "create_invitation.expires_ms", "not in the future")),
		row("An invitation with uses, to a channel", plain(`"createInvitation":{"log":"@channel","maxUses":3}`), refused(invalid, "create_invitation.max_uses", "in groups")),
		row("The list of another's invitations", plain(`"listInvitations":{"log":"@channel"}`), refused(denied, "", "only the owner and admins")),
		row("The list of joined logs after what is no log", plain(`"listJoined":{"after":"Nonsense!"}`), refused(invalid, "list_joined.after", "")),
		row("Revoking another's invitation", plain(`"revokeInvitation":{"log":"@channel","id":"x"}`), refused(denied, "", "only the owner and admins")),
		row("A named log made private", func(d *door) string {
			log := d.named("open_house")
			asked(d, d.shard.SetRole, "ann", &chatv1.SetRoleRequest{Log: log, User: "mallory", Role: chatv1.Role_ROLE_ADMIN})
			return fmt.Sprintf(`"setPolicy":{"log":%q,"policy":{"adminsPostOnly":true,"byInvitation":true}}`, log)
		}, refused(invalid, "", "public name")),
	}}
}
