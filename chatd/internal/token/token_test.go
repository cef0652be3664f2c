package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"math/big"
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

// quiet keeps the log to itself.
var quiet = slog.New(slog.DiscardHandler)

func newSigner(t *testing.T) *token.Signer {
	t.Helper()
	s, err := token.GenerateSigner(rand.Reader, clock)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keySet(t testing.TB, s *token.Signer) *token.KeySet {
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
	got, err := token.NewVerifier(keySet(t, signer), clock).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	want := token.Identity{User: "alice", Expires: now.Add(time.Hour), KeyID: signer.KeyID()}
	if !got.Expires.Equal(want.Expires) || got.User != want.User || got.KeyID != want.KeyID {
		t.Errorf("got %+v, want %+v", got, want)
	}
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
		if _, err := verifier.Verify(t.Context(), raw); (err == nil) != good {
			t.Errorf("%v after it was issued: %v, want good = %v", after, err, good)
		}
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
	if _, err := token.NewVerifier(set, clock).Verify(t.Context(), raw); err != nil {
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
		"weak RSA":      {set(jose.JSONWebKey{Key: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}, KeyID: "k"}), "1024 bits"},
		"slow RSA":      {set(jose.JSONWebKey{Key: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8199), E: 65537}, KeyID: "k"}), "no key for"},
		"another curve": {set(jose.JSONWebKey{Key: p384(t), KeyID: "k"}), "no key for"},
		"huge":          {bytes.Repeat([]byte(" "), 1<<20+1), "more than"},
		"many":          {[]byte(`{"keys":[` + strings.Repeat(`{},`, 256) + `{}]}`), "257 keys"},
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

func p384(t *testing.T) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	signer := newSigner(t)
	for user, ttl := range map[string]time.Duration{"": time.Hour, "a b": time.Hour, "alice": 0, "bob": token.MaxLife + 1} {
		if _, err := signer.Sign(user, ttl); err == nil {
			t.Errorf("signed for user %q with ttl %v", user, ttl)
		}
	}
}
