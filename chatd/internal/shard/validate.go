package shard

import (
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// What a client's request may say, checked before anybody is asked: each fault names the field.

const (
	maxTitle       = 128 // characters
	maxClientBytes = 64
)

var devicePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// resolveLog checks a log's id, and puts the user's own log in place of its alias. Another user's log is refused here.
func resolveLog(user, log, field string) (string, *chatv1.Error) {
	if log == logid.Me {
		return logid.User(user), nil
	}
	switch logid.Kind(log) {
	case chatv1.LogKind_LOG_KIND_UNSPECIFIED:
		if log == "" {
			return "", faultIn(field, chatv1.Error_CODE_INVALID, "the log is missing")
		}
		return "", faultIn(field, chatv1.Error_CODE_INVALID, "no id of a log; ids are as Create and the user's own log give them")
	case chatv1.LogKind_LOG_KIND_USER:
		if log != logid.User(user) {
			return "", faultIn(field, chatv1.Error_CODE_DENIED, "the log is another user's; your own is %q", logid.Me)
		}
	}
	return log, nil
}

// sharedLog checks the id of a channel or group.
func sharedLog(log, field, what string) *chatv1.Error {
	switch logid.Kind(log) {
	case chatv1.LogKind_LOG_KIND_CHANNEL, chatv1.LogKind_LOG_KIND_GROUP:
		return nil
	case chatv1.LogKind_LOG_KIND_USER:
		return faultIn(field, chatv1.Error_CODE_DENIED, "a user's own log cannot be %s", what)
	}
	switch log {
	case "":
		return faultIn(field, chatv1.Error_CODE_INVALID, "the log is missing")
	case logid.Me:
		return faultIn(field, chatv1.Error_CODE_DENIED, "a user's own log cannot be %s", what)
	}
	return faultIn(field, chatv1.Error_CODE_INVALID, "no id of a log; ids are as Create gives them")
}

func (sh *Shard) checkSignIn(req *chatv1.SignInRequest) *chatv1.Error {
	switch {
	case !devicePattern.MatchString(req.GetDevice()):
		return faultIn("sign_in.device", chatv1.Error_CODE_INVALID, "the device must match %s", devicePattern)
	case len(req.GetClient()) > maxClientBytes:
		return faultIn("sign_in.client", chatv1.Error_CODE_INVALID, "%d bytes, at most %d may be", len(req.GetClient()), maxClientBytes)
	}
	return nil
}

func checkCreate(req *chatv1.CreateRequest) *chatv1.Error {
	switch req.GetKind() {
	case chatv1.LogKind_LOG_KIND_CHANNEL, chatv1.LogKind_LOG_KIND_GROUP:
	default:
		return faultIn("create.kind", chatv1.Error_CODE_INVALID, "the kind must be a channel or a group")
	}
	title := req.GetTitle()
	switch n := utf8.RuneCountInString(title); {
	case n == 0:
		return faultIn("create.title", chatv1.Error_CODE_INVALID, "the title is missing")
	case n > maxTitle:
		return faultIn("create.title", chatv1.Error_CODE_INVALID, "%d characters, at most %d may be", n, maxTitle)
	}
	for _, r := range title {
		if unicode.IsControl(r) {
			return faultIn("create.title", chatv1.Error_CODE_INVALID, "the title has a control character, %U", r)
		}
	}
	if req.GetRandomId() == 0 {
		return faultIn("create.random_id", chatv1.Error_CODE_INVALID, "the random_id must not be 0, so that a repeat can be told")
	}
	return nil
}

func checkSetRole(req *chatv1.SetRoleRequest) *chatv1.Error {
	if flt := sharedLog(req.GetLog(), "set_role.log", "given roles"); flt != nil {
		return flt
	}
	if !token.ValidUser(req.GetUser()) {
		return faultIn("set_role.user", chatv1.Error_CODE_INVALID, "no name of a user")
	}
	switch req.GetRole() {
	case chatv1.Role_ROLE_ADMIN, chatv1.Role_ROLE_MEMBER, chatv1.Role_ROLE_BANNED:
		return nil
	case chatv1.Role_ROLE_OWNER:
		return faultIn("set_role.role", chatv1.Error_CODE_DENIED, "a log keeps its owner")
	}
	return faultIn("set_role.role", chatv1.Error_CODE_INVALID, "the role must be admin, member or banned")
}

// maxSlowMode is in seconds.
const maxSlowMode = 3600

func checkSetPolicy(req *chatv1.SetPolicyRequest) *chatv1.Error {
	if flt := sharedLog(req.GetLog(), "set_policy.log", "given a policy"); flt != nil {
		return flt
	}
	switch p := req.GetPolicy(); {
	case p == nil:
		return faultIn("set_policy.policy", chatv1.Error_CODE_INVALID, "the policy is missing")
	case p.GetSlowModeSeconds() > maxSlowMode:
		return faultIn("set_policy.policy.slow_mode_seconds", chatv1.Error_CODE_INVALID, "%d seconds, at most %d may be", p.GetSlowModeSeconds(), maxSlowMode)
	case logid.Kind(req.GetLog()) == chatv1.LogKind_LOG_KIND_CHANNEL && (p.GetSlowModeSeconds() > 0 || !p.GetAdminsPostOnly()):
		return faultIn("set_policy.policy", chatv1.Error_CODE_INVALID, "in a channel only admins post, as often as they like; other policies are for groups")
	}
	return nil
}

func (sh *Shard) checkPost(req *chatv1.PostRequest) *chatv1.Error {
	if flt := sharedLog(req.GetLog(), "post.log", "posted to"); flt != nil {
		return flt
	}
	size := len(req.GetMessage().GetText()) + len(req.GetMessage().GetData())
	switch {
	case req.GetRandomId() == 0:
		return faultIn("post.random_id", chatv1.Error_CODE_INVALID, "the random_id must not be 0, so that a repeat can be told")
	case size == 0:
		return faultIn("post.message", chatv1.Error_CODE_INVALID, "the message has neither text nor data")
	case size > sh.cfg.MaxMessageBytes:
		return faultIn("post.message", chatv1.Error_CODE_TOO_LARGE, "%d bytes of text and data, at most %d may be", size, sh.cfg.MaxMessageBytes)
	case req.GetFirstSentMs() < 0:
		return faultIn("post.first_sent_ms", chatv1.Error_CODE_INVALID, "the time must not be before 1970")
	}
	return nil
}
