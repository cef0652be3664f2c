package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// ResumeLife is how long a resume token is good. With clocks that are Leeway apart, that is 10 minutes at most.
	ResumeLife = 10*time.Minute - Leeway
	// maxResumeBytes is the longest resume token that is looked at; ours have at most some 500.
	maxResumeBytes = 1024
	// resumePrefix names the form, for the day on which there is another.
	resumePrefix = "r1."
)

// Reasons for which a resume token is refused, besides ErrExpired and ErrNotYet.
var (
	// ErrResume: not a resume token of this fleet, or altered.
	ErrResume = errors.New("the resume token is none of this fleet's")
	// ErrDevice: good, but of another device.
	ErrDevice = errors.New("the resume token is another device's")
)

// Grant is what a session may: who signed in, from which device, by which token, and until when.
type Grant struct {
	User    string `json:"u"`
	Device  string `json:"d"`
	Session string `json:"s"`
	// Token names the token that was shown, Issued is when it was made.
	Token  string    `json:"t"`
	Issued time.Time `json:"i"`
	// Ends is when that token is not good any more.
	Ends time.Time `json:"e"`
}

// Resumer makes and checks resume tokens: a Grant, sealed by a key that every shard derives from the region's first seal, and opened by those
// of all. It may be used by many goroutines at once.
type Resumer struct {
	keys func() [][]byte // as the seals are
	now  func() time.Time
}

// NewResumer makes a Resumer for a region. now is the clock; nil means time.Now.
func NewResumer(seals *Seals, region string, now func() time.Time) (*Resumer, error) {
	if now == nil {
		now = time.Now
	}
	keys, err := seals.Keys("chatfleet resume tokens v1 " + region)
	if err != nil {
		return nil, err
	}
	return &Resumer{keys: keys, now: now}, nil
}

// sealed is what a resume token holds.
type sealed struct {
	Grant
	// Expires in milliseconds since 1970.
	Expires int64 `json:"x"`
}

// Issue makes a resume token of a grant, and says until when it is good: ResumeLife, or as long as the grant.
func (r *Resumer) Issue(g Grant) (raw string, expires time.Time, err error) {
	expires = r.now().Add(ResumeLife)
	if g.Ends.Before(expires) {
		expires = g.Ends
	}
	body, err := json.Marshal(sealed{g, expires.UnixMilli()})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("make a resume token: %w", err)
	}
	signed := resumePrefix + base64.RawURLEncoding.EncodeToString(body)
	return signed + "." + base64.RawURLEncoding.EncodeToString(seal(signed, r.keys()[0])), expires, nil
}

// Check says what a resume token grants to a device. Its error is an *Error. That it was not revoked, Revoked tells.
func (r *Resumer) Check(raw, device string) (Grant, error) {
	if len(raw) > maxResumeBytes {
		return Grant{}, refuse(ErrResume, "it has %d bytes", len(raw))
	}
	at := strings.LastIndexByte(raw, '.')
	if !strings.HasPrefix(raw, resumePrefix) || at < len(resumePrefix) {
		return Grant{}, refuse(ErrResume, "sign in with a token")
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(raw[at+1:])
	if err != nil || !slices.ContainsFunc(r.keys(), func(key []byte) bool { return hmac.Equal(mac, seal(raw[:at], key)) }) {
		return Grant{}, refuse(ErrResume, "sign in with a token")
	}
	// From here on it is what we wrote.
	body, err := base64.RawURLEncoding.DecodeString(raw[len(resumePrefix):at])
	var s sealed
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	now, expires := r.now(), time.UnixMilli(s.Expires)
	switch {
	case err != nil:
		return Grant{}, refuse(ErrResume, "sign in with a token")
	case s.Device != device:
		return Grant{}, refuse(ErrDevice, "sign in with a token")
	case !now.Before(expires):
		return Grant{}, refuse(ErrExpired, "%v ago; sign in with a token", now.Sub(expires).Round(time.Second))
	case expires.Sub(now) > ResumeLife+Leeway: // some clock was set back
		return Grant{}, refuse(ErrNotYet, "this server's clock is behind that of the one which made it; sign in with a token")
	}
	return s.Grant, nil
}

func seal(signed string, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return mac.Sum(nil)
}
