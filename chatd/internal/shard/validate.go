package shard

import (
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

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
