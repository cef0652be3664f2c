package token

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Identity is what a good token says.
type Identity struct {
	User    string
	Expires time.Time
	// KeyID names the key that signed the token.
	KeyID string
}

// Verifier checks tokens. It may be used by many goroutines at once.
type Verifier struct {
	keys atomic.Pointer[KeySet]
	now  func() time.Time
}

// NewVerifier makes a Verifier of tokens signed by one of keys. now is the clock; nil means time.Now.
func NewVerifier(keys *KeySet, now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	v := &Verifier{now: now}
	v.keys.Store(keys)
	return v
}

// Replace puts another set of keys in force, for tokens checked from now on.
func (v *Verifier) Replace(keys *KeySet) { v.keys.Store(keys) }

// Verify says who the bearer of a token is. Its error is an *Error.
func (v *Verifier) Verify(raw string) (Identity, error) {
	if raw == "" {
		return Identity{}, refuse(ErrMissing, "get one from whoever runs your accounts")
	}
	if len(raw) > MaxBytes {
		return Identity{}, refuse(ErrMalformed, "it has %d bytes, at most %d are read", len(raw), MaxBytes)
	}
	parsed, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
			return Identity{}, refuse(ErrAlgorithm, "it says %q, accepted are %v", clip(string(unexpected.Got)), algorithms)
		}
		return Identity{}, refuse(ErrMalformed, "it is no signed JWT in compact form")
	}
	header := parsed.Headers[0]
	if header.KeyID == "" {
		return Identity{}, refuse(ErrUnknownKey, "its header has no kid")
	}
	key, ok := v.keys.Load().find(header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	if !ok {
		return Identity{}, refuse(ErrUnknownKey, "no key %q for %s in this fleet's key set", clip(header.KeyID), header.Algorithm)
	}
	var claims jwt.Claims
	if err := parsed.Claims(key.Key, &claims); err != nil {
		if errors.Is(err, jose.ErrCryptoFailure) {
			return Identity{}, refuse(ErrSignature, "it is not by the key %q, or was altered", clip(header.KeyID))
		}
		return Identity{}, refuse(ErrMalformed, "its claims cannot be read")
	}
	if err := v.check(claims); err != nil {
		return Identity{}, err
	}
	return Identity{User: claims.Subject, Expires: claims.Expiry.Time(), KeyID: header.KeyID}, nil
}

// check looks at the claims of a token whose signature is good. Expiry comes last: only a token that is right in all else
// "was good and is no more".
func (v *Verifier) check(c jwt.Claims) error {
	now := v.now()
	switch {
	case !c.Audience.Contains(Audience):
		return refuse(ErrAudience, "its aud must hold %q", Audience)
	case !ValidUser(c.Subject):
		return refuse(ErrSubject, "its sub must match %s", userPattern)
	case c.Expiry == nil:
		return refuse(ErrNoExpiry, "its exp must be set")
	case c.NotBefore != nil && now.Add(Leeway).Before(c.NotBefore.Time()):
		return refuse(ErrNotYet, "its nbf is %v ahead of this server's clock", c.NotBefore.Time().Sub(now).Round(time.Second))
	case c.IssuedAt != nil && now.Add(Leeway).Before(c.IssuedAt.Time()):
		return refuse(ErrNotYet, "its iat is %v ahead of this server's clock", c.IssuedAt.Time().Sub(now).Round(time.Second))
	case !now.Add(-Leeway).Before(c.Expiry.Time()):
		return refuse(ErrExpired, "%v ago; get a new one", now.Sub(c.Expiry.Time()).Round(time.Second))
	}
	return nil
}

// clip keeps what a stranger wrote from filling an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
