package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

var grant = token.Grant{
	User: "alice", Device: "phone", Session: "shard-0/x1", Token: "t1", Issued: now.Add(-time.Minute), Ends: now.Add(time.Hour),
}

func newResumer(t *testing.T, secret, region string, after time.Duration) *token.Resumer {
	t.Helper()
	r, err := token.NewResumer(token.FixedSeal([]byte(secret)), region, func() time.Time { return now.Add(after) })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const secret = "sixteen bytes at least"

func issue(t *testing.T, g token.Grant) (string, time.Time) {
	t.Helper()
	raw, expires, err := newResumer(t, secret, "eu", 0).Issue(g)
	if err != nil {
		t.Fatal(err)
	}
	return raw, expires
}

func TestEveryShardChecksWhatOneHasIssued(t *testing.T) {
	raw, expires := issue(t, grant)
	got, err := newResumer(t, secret, "eu", token.ResumeLife-time.Millisecond).Check(raw, "phone")
	if err != nil || got.User != grant.User || got.Session != grant.Session || got.Token != grant.Token ||
		!got.Ends.Equal(grant.Ends) || !got.Issued.Equal(grant.Issued) {
		t.Errorf("got %+v, %v", got, err)
	}
	if life := expires.Sub(now); life > 10*time.Minute {
		t.Errorf("it is good for %v", life)
	}
}

func TestAResumeTokenEndsWithWhatItIsOf(t *testing.T) {
	short := grant
	short.Ends = now.Add(time.Minute)
	raw, expires := issue(t, short)
	if !expires.Equal(short.Ends) {
		t.Errorf("it ends at %v, the token at %v", expires, short.Ends)
	}
	if _, err := newResumer(t, secret, "eu", time.Minute).Check(raw, "phone"); !errors.Is(err, token.ErrExpired) {
		t.Errorf("after its token has expired: %v", err)
	}
}

func TestBadResumeTokensAreRefused(t *testing.T) {
	good, _ := issue(t, grant)
	body := good[:strings.LastIndexByte(good, '.')]
	signer := newSigner(t)
	issuers, err := signer.Sign("alice", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw, secret, region, device string
		after                       time.Duration
		want                        error
	}{
		"nothing":          {raw: "", want: token.ErrResume},
		"a word":           {raw: "hello", want: token.ErrResume},
		"the prefix":       {raw: "r1.", want: token.ErrResume},
		"two dots":         {raw: "r1..", want: token.ErrResume},
		"an issuer's":      {raw: issuers, want: token.ErrResume},
		"too long":         {raw: good + strings.Repeat("A", 2000), want: token.ErrResume},
		"not sealed":       {raw: body + ".", want: token.ErrResume},
		"half a seal":      {raw: good[:len(good)-20], want: token.ErrResume},
		"another form":     {raw: "r2." + good[3:], want: token.ErrResume},
		"a changed grant":  {raw: strings.Replace(good, body[10:14], "AAAA", 1), want: token.ErrResume},
		"not base64":       {raw: good + "!", want: token.ErrResume},
		"another cluster":  {secret: "another sixteen bytes", want: token.ErrResume},
		"another region":   {region: "us", want: token.ErrResume},
		"another device":   {device: "laptop", want: token.ErrDevice},
		"no device":        {device: "-", want: token.ErrDevice},
		"expired":          {after: token.ResumeLife, want: token.ErrExpired},
		"a clock set back": {after: -time.Minute - time.Second, want: token.ErrNotYet},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "nothing" {
				// as it is
			} else if c.raw == "" {
				c.raw = good
			}
			if c.secret == "" {
				c.secret = secret
			}
			if c.region == "" {
				c.region = "eu"
			}
			if c.device == "" {
				c.device = "phone"
			}
			_, err := newResumer(t, c.secret, c.region, c.after).Check(c.raw, c.device)
			var typed *token.Error
			if !errors.Is(err, c.want) || !errors.As(err, &typed) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
