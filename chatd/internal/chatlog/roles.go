package chatlog

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Limits of the roles in a log.
const (
	MaxAdmins = 50
	MaxBanned = 10_000
)

// roles of the users who are not plain members. The zero value has none.
type roles struct {
	admins, banned map[string]struct{}
}

func (r *roles) set(user string, role chatv1.Role) {
	delete(r.admins, user)
	delete(r.banned, user)
	switch role {
	case chatv1.Role_ROLE_ADMIN:
		put(&r.admins, user)
	case chatv1.Role_ROLE_BANNED:
		put(&r.banned, user)
	}
}

func put(set *map[string]struct{}, user string) {
	if *set == nil {
		*set = make(map[string]struct{})
	}
	(*set)[user] = struct{}{}
}

func restoreRoles(admins, banned []string) (r roles) {
	for _, user := range admins {
		put(&r.admins, user)
	}
	for _, user := range banned {
		put(&r.banned, user)
	}
	return r
}

// Role is what user may do in the log.
func (s *State) Role(user string) chatv1.Role {
	if user == s.Owner {
		return chatv1.Role_ROLE_OWNER
	}
	if _, ok := s.roles.admins[user]; ok {
		return chatv1.Role_ROLE_ADMIN
	}
	if _, ok := s.roles.banned[user]; ok {
		return chatv1.Role_ROLE_BANNED
	}
	return chatv1.Role_ROLE_MEMBER
}

// Banned are the banned users, sorted.
func (s *State) Banned() []string { return slices.Sorted(maps.Keys(s.roles.banned)) }

// leads reports whether user is the owner or an admin.
func (s *State) leads(user string) bool {
	role := s.Role(user)
	return role == chatv1.Role_ROLE_OWNER || role == chatv1.Role_ROLE_ADMIN
}

func (s *State) decideSetRole(c Command) (Decision, *chatv1.Error) {
	user, role := c.SetRole.GetUser(), c.SetRole.GetRole()
	by, now := s.Role(c.User), s.Role(user)
	switch {
	case s.Kind == chatv1.LogKind_LOG_KIND_USER || !s.leads(c.User):
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "only the owner and admins give roles in the log %s", s.ID)
	case now == chatv1.Role_ROLE_OWNER:
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "%s owns the log %s and keeps his role", user, s.ID)
	case role == now:
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case by != chatv1.Role_ROLE_OWNER && (role == chatv1.Role_ROLE_ADMIN || now == chatv1.Role_ROLE_ADMIN):
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "only its owner says who is an admin of the log %s", s.ID)
	}
	switch role {
	case chatv1.Role_ROLE_ADMIN:
		if s.Kind == chatv1.LogKind_LOG_KIND_GROUP && !s.isMember(user) {
			return Decision{}, fail(chatv1.Error_CODE_NOT_MEMBER, "%s is no member of the group %s; an admin must be one", user, s.ID)
		}
		if len(s.roles.admins) >= MaxAdmins {
			return Decision{}, fail(chatv1.Error_CODE_TOO_MANY, "the log %s has %d admins, the most that may be", s.ID, MaxAdmins)
		}
	case chatv1.Role_ROLE_BANNED:
		if len(s.roles.banned) >= MaxBanned {
			return Decision{}, fail(chatv1.Error_CODE_TOO_MANY, "%d users are banned from the log %s, the most that may be", MaxBanned, s.ID)
		}
	case chatv1.Role_ROLE_MEMBER:
	default:
		return Decision{}, fail(chatv1.Error_CODE_INVALID, "the role must be admin, member or banned")
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_RoleChanged{RoleChanged: &chatv1.RoleChanged{User: user, Role: role}}})
}

func (s *State) decideSetPolicy(c Command) (Decision, *chatv1.Error) {
	policy := s.completed(c.SetPolicy.GetPolicy())
	switch {
	case s.Kind == chatv1.LogKind_LOG_KIND_USER || !s.leads(c.User):
		return Decision{}, fail(chatv1.Error_CODE_DENIED, "only the owner and admins set the policy of the log %s", s.ID)
	case proto.Equal(policy, s.policyInForce()):
		return Decision{Pts: s.Pts, Repeated: true}, nil
	case s.Kind == chatv1.LogKind_LOG_KIND_CHANNEL && (policy.GetSlowModeSeconds() != 0 || !policy.GetAdminsPostOnly()):
		return Decision{}, fail(chatv1.Error_CODE_INVALID, "in a channel only admins post, as often as they like; other policies are for groups")
	case policy.GetByInvitation() && s.naming.name != "":
		return Decision{}, fail(chatv1.Error_CODE_INVALID, "the log %s has the public name @%s; give it up before making the log private", s.ID, s.naming.name)
	}
	return s.event(c, 0, 0, &chatv1.Event{Content: &chatv1.Event_PolicyChanged{PolicyChanged: policy}})
}

// completed is a policy that somebody asks for, with all that stands in one. Whether the log is private stays as it is if he does not say:
// who does not know of it does not make it public.
func (s *State) completed(asked *chatv1.Policy) *chatv1.Policy {
	p := &chatv1.Policy{AdminsPostOnly: asked.GetAdminsPostOnly(), SlowModeSeconds: asked.GetSlowModeSeconds()}
	private := s.policy.GetByInvitation()
	if asked != nil && asked.ByInvitation != nil {
		private = asked.GetByInvitation()
	}
	if private {
		p.ByInvitation = proto.Bool(true)
	}
	return p
}

func (s *State) policyInForce() *chatv1.Policy {
	p := &chatv1.Policy{
		AdminsPostOnly:  s.policy.GetAdminsPostOnly() || s.Kind == chatv1.LogKind_LOG_KIND_CHANNEL,
		SlowModeSeconds: s.policy.GetSlowModeSeconds(),
	}
	if s.policy.GetByInvitation() {
		p.ByInvitation = proto.Bool(true)
	}
	return p
}

// mayPost says why user may not post at all, if so.
func (s *State) mayPost(user string) *chatv1.Error {
	switch {
	case s.Kind == chatv1.LogKind_LOG_KIND_USER:
		return fail(chatv1.Error_CODE_DENIED, "nobody posts in the log %s", s.ID)
	case s.Role(user) == chatv1.Role_ROLE_BANNED:
		return s.failBanned(user)
	case s.Kind == chatv1.LogKind_LOG_KIND_GROUP && !s.isMember(user):
		return fail(chatv1.Error_CODE_NOT_MEMBER, "join the group %s before posting in it", s.ID)
	case s.policyInForce().GetAdminsPostOnly() && !s.leads(user):
		return fail(chatv1.Error_CODE_DENIED, "only the owner and admins post in the log %s", s.ID)
	}
	return nil
}

func (s *State) failBanned(user string) *chatv1.Error {
	return fail(chatv1.Error_CODE_DENIED, "%s is banned from the log %s", user, s.ID)
}

// tooSoon says how long a user has to wait before he posts again, if so. By a clock that ran slow meanwhile he waits for less of its time,
// and so no longer than by another.
func (s *State) tooSoon(c Command) *chatv1.Error {
	last, ok := s.lastPostMs[c.User]
	if !ok || s.leads(c.User) {
		return nil
	}
	pause := s.slowModeMs()
	if c.SlowMs > last {
		pause -= pause / 16
	}
	wait := last + pause - c.NowMs
	if wait <= 0 {
		return nil
	}
	e := fail(chatv1.Error_CODE_TOO_MANY, "the log %s is in slow mode: a member posts once in %v", s.ID, time.Duration(s.slowModeMs())*time.Millisecond)
	e.RetryAfterMs = uint32(wait)
	return e
}

func (s *State) slowModeMs() int64 { return int64(s.policy.GetSlowModeSeconds()) * 1000 }

// posted notes when a user posted, while it matters.
func (s *State) posted(user string, atMs int64) {
	if s.slowModeMs() == 0 {
		return
	}
	if s.lastPostMs == nil {
		s.lastPostMs = make(map[string]int64)
	}
	s.lastPostMs[user] = atMs
	if len(s.lastPostMs) < s.sweepPostsAt {
		return
	}
	// Seldom enough that it costs a constant a post.
	maps.DeleteFunc(s.lastPostMs, func(_ string, at int64) bool { return at+s.slowModeMs() <= atMs })
	s.sweepPostsAt = 2*len(s.lastPostMs) + 64
}

// setPolicy puts a policy in force. Under another slow mode everybody begins anew.
func (s *State) setPolicy(p *chatv1.Policy) {
	if p.GetSlowModeSeconds() != s.policy.GetSlowModeSeconds() {
		s.lastPostMs, s.sweepPostsAt = nil, 0
	}
	s.policy = p
}
