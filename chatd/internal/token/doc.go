// Package token says who a caller is: it checks the signed tokens (JWT) that sign-in and the HTTP methods carry, and makes
// the ones that developers and tests use.
//
// A token is a JWS in compact form, signed with EdDSA (Ed25519); its header names the key ("kid"), its claims the user
// ("sub", [A-Za-z0-9._-]{1,64}), the audience ("aud", which must hold "chatfleet") and the end of its life ("exp", which must
// be there). Public keys come as a JWK set (RFC 7517) from a file.
//
// The gateway and the shard call Verifier; the commands keygen and token call the rest. The package is not for deciding what
// a user may do: the owner of a log does that.
package token

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// Audience is what the "aud" claim of every token for a fleet must hold.
	Audience = "chatfleet"
	// Leeway is how far the clock of whoever issued a token may be from ours.
	Leeway = 30 * time.Second
	// MaxBytes is the longest token that is looked at.
	MaxBytes = 4096
)

// algorithms that a token may be signed with. A new one is added here and gets its check of the key's type in usableFor;
// an algorithm that is not listed is refused before any key is looked up, "none" with it.
var algorithms = []jose.SignatureAlgorithm{jose.EdDSA}

var userPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ValidUser reports whether user may be the subject of a token.
func ValidUser(user string) bool { return userPattern.MatchString(user) }

// Reasons for which a token is refused, for errors.Is. An Error wraps exactly one of them.
var (
	// ErrMissing: there is no token.
	ErrMissing = errors.New("there is no token")
	// ErrMalformed: not a JWT, or longer than MaxBytes, or a claim of a wrong type.
	ErrMalformed = errors.New("the token is malformed")
	// ErrAlgorithm: signed with an algorithm that is not accepted, or not signed at all.
	ErrAlgorithm = errors.New("the token's algorithm is not accepted")
	// ErrUnknownKey: the header names no key, or one that is not in the key set.
	ErrUnknownKey = errors.New("the token's key is not known")
	// ErrSignature: the signature is not by the key that the header names.
	ErrSignature = errors.New("the token's signature is wrong")
	// ErrExpired: the token was good and is no more. The only reason that getting a new token by the same way mends.
	ErrExpired = errors.New("the token has expired")
	// ErrNotYet: "nbf" or "iat" lies in the future.
	ErrNotYet = errors.New("the token is not valid yet")
	// ErrAudience: the token is for another service.
	ErrAudience = errors.New("the token is for another audience")
	// ErrSubject: the subject is missing, or no user's name.
	ErrSubject = errors.New("the token's subject is not a user name")
	// ErrNoExpiry: the token would be good for ever.
	ErrNoExpiry = errors.New("the token has no expiry")
)

// Error is why a token was refused: the reason, one of the Err values above, and what to do. It never holds the token.
type Error struct {
	Reason error
	Detail string
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Reason.Error()
	}
	return e.Reason.Error() + ": " + e.Detail
}

// Unwrap makes errors.Is(err, ErrExpired) work.
func (e *Error) Unwrap() error { return e.Reason }

func refuse(reason error, format string, args ...any) *Error {
	return &Error{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
