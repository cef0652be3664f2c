package owner

import chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"

// fullRetryMs: room is made by people, or by retention; both take longer.
const fullRetryMs = 5000

// noRoom refuses what would make a log grow. What it repeats is answered as ever, and what takes away (leaving, bans and other roles) is done:
// the part of the volume above the bound is for that, and for snapshots.
func noRoom() *chatv1.Error {
	return &chatv1.Error{Code: chatv1.Error_CODE_FULL, RetryAfterMs: fullRetryMs,
		Message: "the fleet's volumes have no room for more; nothing of this was stored, and the same request may be repeated later"}
}
