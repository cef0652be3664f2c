package shard

import (
	"fmt"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A fault is what a client is told in place of an answer: *chatv1.Error, nil if all is well. It is data of the protocol, and not Go's error.

func fault(code chatv1.Error_Code, format string, args ...any) *chatv1.Error {
	return &chatv1.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// faultIn is a fault of one field.
func faultIn(field string, code chatv1.Error_Code, format string, args ...any) *chatv1.Error {
	f := fault(code, format, args...)
	f.Field = field
	return f
}

// retryMs is what is said to wait after a failure that passes.
const retryMs = 1000

// elsewhereMs is what is said to wait when only this shard is wrong, and the next one that is asked is right.
const elsewhereMs = 200

// unavailable is the fault when an owner has not answered in time.
func unavailable(err error) *chatv1.Error {
	f := fault(chatv1.Error_CODE_UNAVAILABLE, "the fleet could not say within the deadline (%v); the same request may be repeated, with the same random_id", err)
	f.RetryAfterMs = retryMs
	return f
}

func tooMany(retryAfterMs uint32, format string, args ...any) *chatv1.Error {
	f := fault(chatv1.Error_CODE_TOO_MANY, format, args...)
	f.RetryAfterMs = retryAfterMs
	return f
}

func draining() *chatv1.Error {
	return fault(chatv1.Error_CODE_DRAINING, "this shard is leaving; connect anew")
}

// ownerError is an owner's fault where the shard itself has asked.
type ownerError struct{ fault *chatv1.Error }

func (e *ownerError) Error() string {
	return fmt.Sprintf("the owner says %v: %s", e.fault.GetCode(), e.fault.GetMessage())
}
