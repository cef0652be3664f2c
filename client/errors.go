package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Code says what kind of error a fleet answered with; docs/protocol.md has the table of what to do about each.
type Code = chatv1.Error_Code

var (
	// ErrClosed is returned by what is called on, or interrupted by the end of, a closed Client.
	ErrClosed = errors.New("chatfleet: the client is closed")
	// ErrDetached is the reason of a log that the application, or the user on another device, has left.
	ErrDetached = errors.New("chatfleet: the log was detached")
	// ErrAttached is returned for a second Attach of a log that is attached.
	ErrAttached = errors.New("chatfleet: the log is attached already; detach it first, and wait for Done")
)

// Error is an error that the fleet answered with.
type Error struct {
	// Code is 0 where something between the fleet and the client has answered.
	Code Code
	// Message says, for people, what is wrong, where, and what to do.
	Message string
	// Field is the field of the request that is wrong, as "post.message.text"; empty if no one field is.
	Field string
	// RetryAfter is how long to wait before the same again, where the server knows.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	if e.Code == chatv1.Error_CODE_UNSPECIFIED {
		return "chatfleet: " + e.Message
	}
	s := fmt.Sprintf("chatfleet: %s: %s", codeName(e.Code), e.Message)
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	return s
}

// OutcomeUnknownError is returned by Post and Create when time ran out after the request had been sent and before it was
// answered: it may have been carried out. The same Request given again later, also by another run of the program, is
// answered as the first one would have been, and is never carried out twice.
type OutcomeUnknownError[Request any] struct {
	Request Request
	// Err is what ended the waiting, and the last thing that went wrong.
	Err error
}

func (e *OutcomeUnknownError[Request]) Error() string {
	return "chatfleet: it is not known whether the request was carried out; give the same request again to learn it: " + e.Err.Error()
}

func (e *OutcomeUnknownError[Request]) Unwrap() error { return e.Err }

// ComeBackError is why a session has ended that the fleet has sent away, for a reason of its own: a shard leaves, or has more sessions than others. It is
// Status.Err then; the Client comes back by itself.
type ComeBackError struct {
	// After is what the shard asked to wait for.
	After time.Duration
	// Reason is the shard's, for people.
	Reason string
}

func (e *ComeBackError) Error() string {
	return fmt.Sprintf("chatfleet: the shard asks to come back in %v: %s", e.After, e.Reason)
}

func newError(e *chatv1.Error) *Error {
	return &Error{
		Code:       e.GetCode(),
		Message:    e.GetMessage(),
		Field:      e.GetField(),
		RetryAfter: time.Duration(e.GetRetryAfterMs()) * time.Millisecond,
	}
}

func codeName(c Code) string {
	if name, ok := strings.CutPrefix(c.String(), "CODE_"); ok {
		return name
	}
	return "code " + c.String() // of a newer server
}

// maxInternal is how many answers of CODE_INTERNAL a request is repeated after. A defect that one process has, another may not; one that
// all have must not be asked for ever.
const maxInternal = 4

// internal says whether the answer is of a server that has a defect. The request may have been carried out.
func (e *Error) internal() bool {
	_, known := chatv1.Error_Code_name[int32(e.Code)]
	return e.Code == chatv1.Error_CODE_INTERNAL || !known
}

// passes says whether the same request may succeed later without anybody doing anything.
func (e *Error) passes() bool {
	switch e.Code {
	case chatv1.Error_CODE_UNAVAILABLE, chatv1.Error_CODE_DRAINING, chatv1.Error_CODE_TOO_MANY, chatv1.Error_CODE_TOKEN_EXPIRED:
		return true
	}
	return false
}

// retryAfter is the server's hint in err, or 0.
func retryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// hasCode says whether err is an answer of the fleet with one of the codes.
func hasCode(err error, codes ...Code) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}
