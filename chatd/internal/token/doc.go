// Package token says who a caller is: it checks the signed tokens (JWT) that sign-in and the HTTP methods carry, hands out and checks
// the resume tokens that spare a device that comes back the whole check, knows which tokens were revoked, and makes the tokens that
// developers and tests use.
//
// A token is a JWS in compact form, signed with EdDSA (Ed25519), ES256 or RS256 by a key of an Issuer; its header names the key
// ("kid"), its claims the issuer ("iss"), the user ("sub", [A-Za-z0-9._-]{1,64}), the audience ("aud"), when it was made ("iat") and
// the end of its life ("exp"). Public keys come as a JWK set (RFC 7517) from a file or a URL, and are read again as they change.
//
// The gateway and the shard call Verifier, Resumer and Revoked; package node runs the Verifier's refresh; the commands keygen and
// token call the rest. The package is not for deciding what a user may do: the owner of a log does that. Nor does it know how a
// revocation comes here: package bus does.
package token

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

const (
	// Audience is what the "aud" claim of a token must hold, if its Issuer says nothing else.
	Audience = "chatfleet"
	// Leeway is how far the clock of whoever issued a token may be from ours, if its Issuer says nothing else.
	Leeway = 30 * time.Second
	// MaxLeeway bounds what an Issuer may say.
	MaxLeeway = 5 * time.Minute
	// MaxLife is the longest that a token may be good for, from "iat" to "exp". A revocation is kept for as long.
	MaxLife = 31 * 24 * time.Hour
	// MaxBytes is the longest token that is looked at.
	MaxBytes = 4096
)

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
	// ErrIssuer: "iss" is nobody whose tokens are accepted.
	ErrIssuer = errors.New("the token's issuer is not known")
	// ErrKeysAway: the issuer's keys could not be fetched. It passes, and says nothing about the token.
	ErrKeysAway = errors.New("the keys of the token's issuer cannot be had at the moment")
	// ErrUnknownKey: the header names no key, or one that is not in the key set for this algorithm.
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
	// ErrNoIssueTime: it is not known when the token was made, so it could not be revoked.
	ErrNoIssueTime = errors.New("the token does not say when it was issued")
	// ErrNoExpiry: the token would be good for ever.
	ErrNoExpiry = errors.New("the token has no expiry")
	// ErrTooLong: the token would be good for longer than MaxLife.
	ErrTooLong = errors.New("the token is good for too long")
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
