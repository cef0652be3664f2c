package token_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

var now = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func newSigner(t *testing.T) *token.Signer {
	t.Helper()
	s, err := token.GenerateSigner(rand.Reader, clock)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keySet(t *testing.T, s *token.Signer) *token.KeySet {
	t.Helper()
	data, err := s.KeySetJSON()
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.ParseKeySet(data)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestSignedTokenIsGood(t *testing.T) {
	signer := newSigner(t)
	raw, err := signer.Sign("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got, err := token.NewVerifier(keySet(t, signer), clock).Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := token.Identity{User: "alice", Expires: now.Add(time.Hour), KeyID: signer.KeyID()}
	if !got.Expires.Equal(want.Expires) || got.User != want.User || got.KeyID != want.KeyID {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// forge signs any header and claims with a key, as an attacker or a careless issuer would.
func forge(t *testing.T, key ed25519.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := part(header) + "." + part(claims)
	if header["alg"] == "none" {
		return signed + "."
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(signed)))
}

func TestBadTokensAreRefusedWithTheirReason(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "k1"}}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.ParseKeySet(data)
	if err != nil {
		t.Fatal(err)
	}
	verifier := token.NewVerifier(set, clock)

	header := func(change map[string]any) map[string]any {
		return merge(map[string]any{"alg": "EdDSA", "kid": "k1", "typ": "JWT"}, change)
	}
	claims := func(change map[string]any) map[string]any {
		return merge(map[string]any{"sub": "alice", "aud": "chatfleet", "exp": now.Add(time.Hour).Unix()}, change)
	}
	good := forge(t, private, header(nil), claims(nil))
	if _, err := verifier.Verify(good); err != nil {
		t.Fatalf("the token that all others differ from is refused: %v", err)
	}
	flipped := []byte(good)
	flipped[len(good)/2] ^= 1

	for name, c := range map[string]struct {
		raw  string
		want error
	}{
		"none given":           {"", token.ErrMissing},
		"no JWT":               {"hello", token.ErrMalformed},
		"too long":             {strings.Repeat("x", token.MaxBytes+1), token.ErrMalformed},
		"alg none":             {forge(t, private, header(map[string]any{"alg": "none"}), claims(nil)), token.ErrAlgorithm},
		"alg HS256":            {forge(t, private, header(map[string]any{"alg": "HS256"}), claims(nil)), token.ErrAlgorithm},
		"no kid":               {forge(t, private, header(map[string]any{"kid": ""}), claims(nil)), token.ErrUnknownKey},
		"another kid":          {forge(t, private, header(map[string]any{"kid": "k2"}), claims(nil)), token.ErrUnknownKey},
		"another's signature":  {forge(t, other, header(nil), claims(nil)), token.ErrSignature},
		"no audience":          {forge(t, private, header(nil), claims(map[string]any{"aud": nil})), token.ErrAudience},
		"another audience":     {forge(t, private, header(nil), claims(map[string]any{"aud": []string{"mail"}})), token.ErrAudience},
		"no subject":           {forge(t, private, header(nil), claims(map[string]any{"sub": ""})), token.ErrSubject},
		"subject with a slash": {forge(t, private, header(nil), claims(map[string]any{"sub": "a/b"})), token.ErrSubject},
		"subject too long":     {forge(t, private, header(nil), claims(map[string]any{"sub": strings.Repeat("a", 65)})), token.ErrSubject},
		"subject with newline": {forge(t, private, header(nil), claims(map[string]any{"sub": "alice\n"})), token.ErrSubject},
		"no expiry":            {forge(t, private, header(nil), claims(map[string]any{"exp": nil})), token.ErrNoExpiry},
		"expired":              {forge(t, private, header(nil), claims(map[string]any{"exp": now.Add(-token.Leeway).Unix()})), token.ErrExpired},
		"expired, for others":  {forge(t, private, header(nil), claims(map[string]any{"exp": 1, "aud": "mail"})), token.ErrAudience},
		"not yet":              {forge(t, private, header(nil), claims(map[string]any{"nbf": now.Add(time.Minute).Unix()})), token.ErrNotYet},
		"from the future":      {forge(t, private, header(nil), claims(map[string]any{"iat": now.Add(time.Minute).Unix()})), token.ErrNotYet},
		"expiry is a word":     {forge(t, private, header(nil), claims(map[string]any{"exp": "tomorrow"})), token.ErrMalformed},
		"one bit flipped":      {string(flipped), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verifier.Verify(c.raw)
			if err == nil {
				t.Fatal("accepted")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("refused with %q, want %q", err, c.want)
			}
			var typed *token.Error
			if !errors.As(err, &typed) {
				t.Errorf("a %T, not a *token.Error", err)
			}
		})
	}
}

func merge(base, change map[string]any) map[string]any {
	for k, v := range change {
		if v == nil {
			delete(base, k)
			continue
		}
		base[k] = v
	}
	return base
}

func TestLeewayForgivesClocksThatDiffer(t *testing.T) {
	signer := newSigner(t)
	raw, err := signer.Sign("alice", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for after, good := range map[time.Duration]bool{
		-token.Leeway:                            true,
		-token.Leeway - time.Second:              false,
		time.Minute + token.Leeway:               false,
		time.Minute + token.Leeway - time.Second: true,
	} {
		verifier := token.NewVerifier(keySet(t, signer), func() time.Time { return now.Add(after) })
		if _, err := verifier.Verify(raw); (err == nil) != good {
			t.Errorf("%v after it was issued: %v, want good = %v", after, err, good)
		}
	}
}

func TestReplacedKeysAreOutOfForce(t *testing.T) {
	old, young := newSigner(t), newSigner(t)
	raw, err := old.Sign("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	verifier := token.NewVerifier(keySet(t, old), clock)
	verifier.Replace(keySet(t, young))
	if _, err := verifier.Verify(raw); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("a token of a key that was taken away: %v, want %v", err, token.ErrUnknownKey)
	}
}

func TestKeyPairRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := newSigner(t).WriteKeyPair(dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, token.SigningKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, want 0600", info.Mode().Perm())
	}
	signer, err := token.LoadSigner(filepath.Join(dir, token.SigningKeyFile), clock)
	if err != nil {
		t.Fatal(err)
	}
	set, err := token.LoadKeySet(filepath.Join(dir, token.KeySetFile))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signer.Sign("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.NewVerifier(set, clock).Verify(raw); err != nil {
		t.Errorf("signed with the private half, refused by the public half: %v", err)
	}
	if err := signer.WriteKeyPair(dir); err == nil {
		t.Error("a second key pair overwrote the first")
	}
}

func TestKeySetsSayWhatIsWrongWithThem(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := func(keys ...jose.JSONWebKey) []byte {
		data, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no JSON":       {[]byte("-----BEGIN"), "not a JWK set"},
		"empty":         {[]byte(`{"keys":[]}`), "chatd keygen"},
		"another kind":  {[]byte(`{"keys":[{"kty":"quantum","kid":"q"}]}`), "no key for"},
		"private":       {set(jose.JSONWebKey{Key: private, KeyID: "k"}), "private"},
		"symmetric":     {set(jose.JSONWebKey{Key: []byte("secret"), KeyID: "k"}), "symmetric"},
		"without a kid": {set(jose.JSONWebKey{Key: public}), "kid"},
		"twice":         {set(jose.JSONWebKey{Key: public, KeyID: "k"}, jose.JSONWebKey{Key: public, KeyID: "k"}), "twice"},
		"for sealing":   {set(jose.JSONWebKey{Key: public, KeyID: "k", Use: "enc"}), "no key for"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := token.ParseKeySet(c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	signer := newSigner(t)
	for user, ttl := range map[string]time.Duration{"": time.Hour, "a b": time.Hour, "alice": 0} {
		if _, err := signer.Sign(user, ttl); err == nil {
			t.Errorf("signed for user %q with ttl %v", user, ttl)
		}
	}
}
