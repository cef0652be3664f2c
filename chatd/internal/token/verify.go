package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Identity is what a good token says.
type Identity struct {
	User    string
	Issued  time.Time
	Expires time.Time
	// Leeway is for how long after Expires the token is still good, since clocks differ.
	Leeway time.Duration
	// ID names the token: it is a hash of what was signed.
	ID string
	// Issuer and KeyID name the key that signed the token.
	Issuer, KeyID string
}

// End is when the token is not good any more, by this server's clock.
func (i Identity) End() time.Time { return i.Expires.Add(i.Leeway) }

// Options of a Verifier. The zero value of a field means its default.
type Options struct {
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger. Default slog.Default().
	Logger *slog.Logger
	// Client fetches key sets. Default one that follows no redirect.
	Client *http.Client
}

// Verifier checks tokens. It may be used by many goroutines at once.
type Verifier struct {
	issuers map[string]*accepted
	now     func() time.Time
}

// NewVerifier makes a Verifier of tokens signed by one of keys, whoever their issuer says he is. now is the clock; nil means
// time.Now.
func NewVerifier(keys *KeySet, now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{now: now, issuers: map[string]*accepted{"": accept(Issuer{}, fixed(keys))}}
}

// Open makes a Verifier of the tokens of some issuers, and reads their keys. A file that cannot be read is an error. A URL that does
// not answer is not: it is tried again, and until then that issuer's tokens are refused with ErrKeysAway. Run keeps the keys new.
func Open(ctx context.Context, issuers []Issuer, o Options) (*Verifier, error) {
	if err := ValidateIssuers(issuers); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Client == nil {
		o.Client = defaultClient()
	}
	v := &Verifier{now: o.Now, issuers: make(map[string]*accepted, len(issuers))}
	var all sync.WaitGroup
	for _, i := range issuers {
		a := accept(i, newSource(i.Keys, o))
		v.issuers[i.Name] = a
		all.Go(func() { a.source.refresh(ctx) })
	}
	all.Wait()
	for _, a := range v.issuers {
		if err := a.source.failure(); err != nil && !isURL(a.Keys) {
			return nil, err
		}
	}
	return v, nil
}

// Run reads the issuers' keys again as they change, until ctx ends.
func (v *Verifier) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, a := range v.issuers {
		if a.source.read != nil {
			all.Go(func() { a.source.follow(ctx) })
		}
	}
	all.Wait()
}

// KeysRead says when each issuer's keys were last read, by the issuer's name. One whose keys could never be read has the zero time.
func (v *Verifier) KeysRead() map[string]time.Time {
	read := make(map[string]time.Time, len(v.issuers))
	for name, a := range v.issuers {
		a.source.mu.Lock()
		read[name] = a.source.good
		a.source.mu.Unlock()
	}
	return read
}

// Verify says who the bearer of a token is. Its error is an *Error. It waits, for some seconds at most, only when the token names a key
// that may be new.
func (v *Verifier) Verify(ctx context.Context, raw string) (Identity, error) {
	good, err := v.verify(ctx, raw)
	if err != nil {
		return Identity{}, err
	}
	return good.identity(), nil
}

// verify is Verify with all that was found.
func (v *Verifier) verify(ctx context.Context, raw string) (signed, error) {
	if raw == "" {
		return signed{}, refuse(ErrMissing, "get one from whoever runs your accounts")
	}
	if len(raw) > MaxBytes {
		return signed{}, refuse(ErrMalformed, "it has %d bytes, at most %d are read", len(raw), MaxBytes)
	}
	good, err := v.parse(ctx, raw)
	if err != nil {
		return signed{}, err
	}
	return good, good.issuer.check(good.claims, v.now())
}

// signed is a token whose signature is good, whatever its claims are and whether its key is still in use.
type signed struct {
	issuer *accepted
	header jose.Header
	key    jose.JSONWebKey
	claims jwt.Claims
	id     string
}

func (g signed) identity() Identity {
	return Identity{
		User: g.claims.Subject, Issued: g.claims.IssuedAt.Time(), Expires: g.claims.Expiry.Time(), Leeway: g.issuer.Leeway,
		ID: g.id, Issuer: g.issuer.Name, KeyID: g.key.KeyID,
	}
}

// parse reads a token and checks its signature.
func (v *Verifier) parse(ctx context.Context, raw string) (signed, error) {
	parsed, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
			return signed{}, refuse(ErrAlgorithm, "it says %q, accepted are %v", clip(string(unexpected.Got)), algorithms)
		}
		return signed{}, refuse(ErrMalformed, "it is no signed JWT in compact form")
	}
	issuer, err := v.issuerOf(parsed)
	if err != nil {
		return signed{}, err
	}
	key, err := issuer.keyFor(ctx, parsed.Headers[0])
	if err != nil {
		return signed{}, err
	}
	var claims jwt.Claims
	if err := parsed.Claims(key.Key, &claims); err != nil {
		if errors.Is(err, jose.ErrCryptoFailure) {
			return signed{}, refuse(ErrSignature, "it is not by the key %q, or was altered", clip(key.KeyID))
		}
		return signed{}, refuse(ErrMalformed, "its claims cannot be read")
	}
	return signed{issuer, parsed.Headers[0], key, claims, nameOf(raw)}, nil
}

// issuerOf finds the issuer that a token says it is of. That it is so, the signature by one of that issuer's own keys shows.
func (v *Verifier) issuerOf(parsed *jwt.JSONWebToken) (*accepted, error) {
	var said struct {
		Issuer string `json:"iss"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&said); err != nil {
		return nil, refuse(ErrMalformed, "its claims cannot be read")
	}
	if a := v.issuers[said.Issuer]; a != nil {
		return a, nil
	}
	if a := v.issuers[""]; a != nil {
		return a, nil
	}
	if said.Issuer == "" {
		return nil, refuse(ErrIssuer, "its iss must be set")
	}
	return nil, refuse(ErrIssuer, "its iss is %q, and this fleet takes no tokens of it", clip(said.Issuer))
}

// keyFor finds the issuer's key that a token's header names, if it may be used with the header's algorithm.
func (a *accepted) keyFor(ctx context.Context, h jose.Header) (jose.JSONWebKey, error) {
	alg := jose.SignatureAlgorithm(h.Algorithm)
	if !slices.Contains(a.algorithms, alg) {
		return jose.JSONWebKey{}, refuse(ErrAlgorithm, "it says %s, accepted of its issuer are %v", alg, a.algorithms)
	}
	if h.KeyID == "" {
		return jose.JSONWebKey{}, refuse(ErrUnknownKey, "its header has no kid")
	}
	key, found, err := a.source.find(ctx, h.KeyID)
	switch {
	case err != nil:
		return jose.JSONWebKey{}, refuse(ErrKeysAway, "try again in a while")
	case !found:
		return jose.JSONWebKey{}, refuse(ErrUnknownKey, "no key %q in its issuer's key set", clip(h.KeyID))
	case !usableFor(key, alg):
		return jose.JSONWebKey{}, refuse(ErrUnknownKey, "the key %q in its issuer's key set is not for %s", clip(h.KeyID), alg)
	}
	return key, nil
}

// check looks at the claims of a token whose signature is good. Expiry comes last: only a token that is right in all else
// "was good and is no more".
func (a *accepted) check(c jwt.Claims, now time.Time) error {
	switch {
	case !c.Audience.Contains(a.Audience):
		return refuse(ErrAudience, "its aud must hold %q", a.Audience)
	case !ValidUser(c.Subject):
		return refuse(ErrSubject, "its sub must match %s", userPattern)
	case c.Expiry == nil:
		return refuse(ErrNoExpiry, "its exp must be set")
	case c.IssuedAt == nil:
		return refuse(ErrNoIssueTime, "its iat must be set, so that it can be revoked")
	case c.Expiry.Time().Sub(c.IssuedAt.Time()) > MaxLife:
		return refuse(ErrTooLong, "from its iat to its exp are %v, at most %v may be", c.Expiry.Time().Sub(c.IssuedAt.Time()), MaxLife)
	case c.NotBefore != nil && now.Add(a.Leeway).Before(c.NotBefore.Time()):
		return refuse(ErrNotYet, "its nbf is %v ahead of this server's clock", c.NotBefore.Time().Sub(now).Round(time.Second))
	case now.Add(a.Leeway).Before(c.IssuedAt.Time()):
		return refuse(ErrNotYet, "its iat is %v ahead of this server's clock", c.IssuedAt.Time().Sub(now).Round(time.Second))
	case !now.Add(-a.Leeway).Before(c.Expiry.Time()):
		return refuse(ErrExpired, "%v ago; get a new one", now.Sub(c.Expiry.Time()).Round(time.Second))
	}
	return nil
}

// nameOf names a token by what was signed, and not by the signature, which has more than one good form in some algorithms.
func nameOf(raw string) string {
	signed := raw[:strings.LastIndexByte(raw, '.')]
	sum := sha256.Sum256([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// clip keeps what a stranger wrote from filling an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
