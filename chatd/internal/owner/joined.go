package owner

import (
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// maxJoined is how many users one request may ask for.
const maxJoined = 256

// joined answers which of the users have joined the log that it is asked of, once all their own logs are loaded.
func (t *term) joined(r request, j *wire.Joined) {
	users, logs := j.GetUsers(), j.GetLogs()
	if len(users) > maxJoined || len(logs) != len(users) {
		t.reply(r, &wire.OwnerReply{Error: &chatv1.Error{Code: chatv1.Error_CODE_TOO_MANY, Message: "a request for who has joined has at most 256 users, and a log for each"}})
		return
	}
	reply := &wire.OwnerReply{AllJoined: make([]bool, len(users))}
	missing := len(users)
	if missing == 0 {
		t.reply(r, reply)
	}
	for i, user := range users {
		t.withState(logid.User(user), func(e *entry) {
			reply.AllJoined[i] = e.state.HasJoined(user, logs[i])
			if missing--; missing == 0 {
				t.reply(r, reply)
			}
		})
	}
}
