package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// CloseCode is the status in a WebSocket close frame (RFC 6455 section 7.4). The protocol uses 4000 + Error.Code after an
// error frame, the two below for the server's own reasons, and the RFC's own codes for violations of WebSocket itself.
type CloseCode uint16

const (
	// CloseNormal answers the client's own close.
	CloseNormal CloseCode = 1000
	// CloseGoingAway: the process ends without time for more.
	CloseGoingAway CloseCode = 1001
	// CloseProtocol: not WebSocket as RFC 6455 has it.
	CloseProtocol CloseCode = 1002
	// CloseWrongType: text where the sub-protocol has binary messages, or the other way round.
	CloseWrongType CloseCode = 1003
	// CloseNotUTF8: a text message that is not UTF-8.
	CloseNotUTF8 CloseCode = 1007
	// CloseSilent: the client sent nothing for longer than it may.
	CloseSilent CloseCode = 1008
	// CloseTooBig: a message above the limit.
	CloseTooBig CloseCode = 1009
	// CloseComeBack follows a come_back frame: connect anew.
	CloseComeBack CloseCode = 1012
)

// CloseFor is the close code that follows an error frame.
func CloseFor(code chatv1.Error_Code) CloseCode { return CloseCode(4000 + int(code)) }

// Causes with which sessions end, for errors.Is.
var (
	// ErrShutDown: the engine has been shut down.
	ErrShutDown = errors.New("the engine is shut down")
	// ErrSilent: nothing was heard from the client for longer than Config.IdleAfter, or a message did not get on.
	ErrSilent = errors.New("the client was silent")
	// ErrNoFirstMessage: nothing came within Config.FirstMessageWithin.
	ErrNoFirstMessage = errors.New("no first message")
	// ErrStuck: the client took nothing off its socket for Config.WriteTimeout.
	ErrStuck = errors.New("the client does not read")
	// ErrPeerClosed: the client closed the session.
	ErrPeerClosed = errors.New("closed by the client")
	// ErrClosed: Session.Close was called.
	ErrClosed = errors.New("closed by the server")
)

// ViolationError is a breach of the WebSocket protocol, or of a limit, by the client.
type ViolationError struct {
	Code   CloseCode
	Reason string
}

func (e *ViolationError) Error() string { return fmt.Sprintf("close %d: %s", e.Code, e.Reason) }

// Violation makes a ViolationError.
func Violation(code CloseCode, format string, args ...any) *ViolationError {
	return &ViolationError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// ParseClose reads the payload of a client's close frame. Codes are checked against those that RFC 6455 and its registry at IANA let
// an endpoint send.
func ParseClose(payload []byte) (CloseCode, error) {
	switch len(payload) {
	case 0:
		return CloseNormal, nil
	case 1:
		return 0, Violation(CloseProtocol, "a close frame of one byte")
	}
	code := CloseCode(binary.BigEndian.Uint16(payload))
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
	default:
		return 0, Violation(CloseProtocol, "the close code %d is not for use", code)
	}
	if !utf8.Valid(payload[2:]) {
		return 0, Violation(CloseProtocol, "a close reason that is not UTF-8")
	}
	return code, nil
}

// ErrorFrame is the frame of an error that closes a session.
func ErrorFrame(code chatv1.Error_Code, format string, args ...any) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Error{Error: &chatv1.Error{Code: code, Message: fmt.Sprintf(format, args...)}}}
}

// maxReason is what is left of a control frame's 125 bytes after the code.
const maxReason = ws.MaxControlFramePayloadSize - 2

// CloseFrame is the WebSocket close frame with a code and a reason, which is cut to what fits.
func CloseFrame(code CloseCode, reason string) []byte {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	body := ws.NewCloseFrameBody(ws.StatusCode(code), reason)
	return append(header(ws.OpClose, len(body)), body...)
}
