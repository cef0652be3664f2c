package token_test

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// A Memo says of each token what a Verifier says, whatever happens to keys and clocks after the token was first shown.
func TestAMemoSaysWhatAVerifierSays(t *testing.T) {
	k := keys()
	ed, other := jose.JSONWebKey{Key: k.ed.Public(), KeyID: "ed"}, jose.JSONWebKey{Key: k.otherEd.Public(), KeyID: "other"}
	synctest.Test(t, func(t *testing.T) {
		p := new(publisher)
		p.publish(jwks(t, ed, other))
		v := follow(t, p)
		m := token.NewMemo(v)
		lives := func(change object) object {
			return claims(merge(object{"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}, change))
		}
		good := forge(t, k.ed, header("EdDSA", "ed", nil), lives(nil))
		tokens := map[string]string{
			"good":           good,
			"of another key": forge(t, k.otherEd, header("EdDSA", "other", nil), lives(nil)),
			"of ten minutes": forge(t, k.ed, header("EdDSA", "ed", nil), lives(object{"exp": time.Now().Add(10 * time.Minute).Unix()})),
			"not yet":        forge(t, k.ed, header("EdDSA", "ed", nil), lives(object{"nbf": time.Now().Add(15 * time.Minute).Unix()})),
			"audience":       forge(t, k.ed, header("EdDSA", "ed", nil), lives(object{"aud": "mail"})),
			"stolen name":    forge(t, k.otherEd, header("EdDSA", "ed", nil), lives(nil)),
			"altered":        good[:len(good)-8] + "AAAAAAAA",
			"not one":        "token",
			"none":           "",
			"too long":       strings.Repeat("a", token.MaxBytes+1),
		}
		reasons := map[string]bool{}
		for _, step := range []struct {
			name string
			do   func()
		}{
			{"first", func() {}},
			{"again", func() {}},
			{"20 minutes on", func() { time.Sleep(20 * time.Minute) }},
			{"one is withdrawn", func() { p.publish(jwks(t, ed)); time.Sleep(6 * time.Minute) }},
			{"its name is another's", func() {
				p.publish(jwks(t, jose.JSONWebKey{Key: k.otherEd.Public(), KeyID: "ed"}))
				time.Sleep(6 * time.Minute)
			}},
			{"and back", func() { p.publish(jwks(t, ed, other)); time.Sleep(6 * time.Minute) }},
			{"past the hour", func() { time.Sleep(time.Hour) }},
			{"keys are away", func() { p.fail(errors.New("no way there")); time.Sleep(48 * time.Hour) }},
		} {
			step.do()
			for name, raw := range tokens {
				want, wantErr := v.Verify(t.Context(), raw)
				got, err := m.Verify(t.Context(), raw)
				if !reflect.DeepEqual(got, want) || token.ReasonOf(err) != token.ReasonOf(wantErr) {
					t.Errorf("%s, %s: %+v, %v; a Verifier says %+v, %v", step.name, name, got, err, want, wantErr)
				}
				reasons[token.ReasonOf(err)] = true
			}
		}
		if len(reasons) < 8 {
			t.Errorf("what happened brought but %v", reasons)
		}
	})
}

// What a Memo has seen costs it no signature.
func TestAMemoRemembers(t *testing.T) {
	k, v := keys(), twoIssuers(t)
	m := token.NewMemo(v)
	raw := forge(t, k.ed, header("EdDSA", "ed", nil), claims(nil))
	check := func(verify func() (token.Identity, error)) float64 {
		return testing.AllocsPerRun(100, func() {
			if _, err := verify(); err != nil {
				t.Fatal(err)
			}
		})
	}
	whole := check(func() (token.Identity, error) { return v.Verify(t.Context(), raw) })
	known := check(func() (token.Identity, error) { return m.Verify(t.Context(), raw) })
	if known > whole/10 {
		t.Errorf("a token that is known takes %.0f allocations, one that is not %.0f", known, whole)
	}
}

// BenchmarkVerify is one check of a token, whole and of one that is known.
func BenchmarkVerify(b *testing.B) {
	signer, err := token.GenerateSigner(rand.Reader, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := signer.Sign("alice", time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	v := token.NewVerifier(keySet(b, signer), time.Now)
	for name, verify := range map[string]func(context.Context, string) (token.Identity, error){"whole": v.Verify, "known": token.NewMemo(v).Verify} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verify(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
