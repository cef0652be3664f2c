package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// keyring is one private key of each kind that may sign tokens, and some that may not.
type keyring struct {
	ed, otherEd ed25519.PrivateKey
	ec, otherEC *ecdsa.PrivateKey
	rsa         *rsa.PrivateKey
}

var keys = sync.OnceValue(func() keyring {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	var k keyring
	var err error
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	_, k.otherEd, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.otherEC, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	k.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return k
})

// object is a JSON object; a nil in a change takes the member away.
type object = map[string]any

func merge(base, change object) object {
	for k, v := range change {
		if v == nil {
			delete(base, k)
			continue
		}
		base[k] = v
	}
	return base
}

func claims(change object) object {
	return merge(object{"iss": "https://id.example", "sub": "alice", "aud": "chatfleet", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}, change)
}

func header(alg, kid string, change object) object {
	return merge(object{"alg": alg, "kid": kid, "typ": "JWT"}, change)
}

// forge signs any header and claims with any key, as an attacker or a careless issuer would; without one, not at all.
func forge(t *testing.T, key any, header, claims object) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	signed := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch key := key.(type) {
	case nil:
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(signed))
	case *ecdsa.PrivateKey:
		r, s, failed := ecdsa.Sign(rand.Reader, key, sum[:])
		err = failed
		if err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	default:
		t.Fatalf("a key of type %T", key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// jwks is the JWK set of some keys.
func jwks(t *testing.T, all ...jose.JSONWebKey) []byte {
	t.Helper()
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: all})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeKeys puts a JWK set into a file.
func writeKeys(t *testing.T, all ...jose.JSONWebKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, jwks(t, all...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openVerifier(t *testing.T, issuers ...token.Issuer) *token.Verifier {
	t.Helper()
	v, err := token.Open(t.Context(), issuers, token.Options{Now: clock, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// twoIssuers is a fleet with an issuer of all algorithms and one that signs with ES256 only, under the same key ids.
func twoIssuers(t *testing.T) *token.Verifier {
	k := keys()
	return openVerifier(t,
		token.Issuer{Name: "https://id.example", Keys: writeKeys(t,
			jose.JSONWebKey{Key: k.ed.Public(), KeyID: "ed"},
			jose.JSONWebKey{Key: k.ec.Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"},
			jose.JSONWebKey{Key: k.rsa.Public(), KeyID: "rsa"},
			jose.JSONWebKey{Key: k.rsa.Public(), KeyID: "pss", Algorithm: "PS256"})},
		token.Issuer{Name: "partner", Audience: "chat", Algorithms: []string{"ES256"}, Leeway: time.Second, Keys: writeKeys(t,
			jose.JSONWebKey{Key: k.otherEC.Public(), KeyID: "ec"},
			jose.JSONWebKey{Key: k.otherEd.Public(), KeyID: "ed"})})
}

func TestGoodTokensOfEachAlgorithmAndIssuer(t *testing.T) {
	k, v := keys(), twoIssuers(t)
	partner := object{"iss": "partner", "aud": []string{"mail", "chat"}}
	for name, raw := range map[string]string{
		"EdDSA":            forge(t, k.ed, header("EdDSA", "ed", nil), claims(nil)),
		"ES256":            forge(t, k.ec, header("ES256", "ec", nil), claims(nil)),
		"RS256":            forge(t, k.rsa, header("RS256", "rsa", nil), claims(nil)),
		"another issuer":   forge(t, k.otherEC, header("ES256", "ec", nil), claims(partner)),
		"the longest":      forge(t, k.ed, header("EdDSA", "ed", nil), claims(object{"exp": now.Add(token.MaxLife).Unix()})),
		"just not yet":     forge(t, k.ed, header("EdDSA", "ed", nil), claims(object{"nbf": now.Add(token.Leeway).Unix()})),
		"no typ":           forge(t, k.ed, header("EdDSA", "ed", object{"typ": nil}), claims(nil)),
		"claims of theirs": forge(t, k.ed, header("EdDSA", "ed", nil), claims(object{"scope": "chat", "roles": []string{"x"}})),
	} {
		got, err := v.Verify(t.Context(), raw)
		if err != nil || got.User != "alice" || !got.Issued.Equal(now) || got.ID == "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestATokensNameDoesNotHangOnItsSignature(t *testing.T) {
	k, v := keys(), twoIssuers(t)
	name := func(raw string) string {
		got, err := v.Verify(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		return got.ID
	}
	// ECDSA signs differently each time.
	a, b := forge(t, k.ec, header("ES256", "ec", nil), claims(nil)), forge(t, k.ec, header("ES256", "ec", nil), claims(nil))
	c := forge(t, k.ec, header("ES256", "ec", nil), claims(object{"jti": "other"}))
	if a == b || name(a) != name(b) || name(a) == name(c) {
		t.Errorf("%s and %s are one token, %s is another", name(a), name(b), name(c))
	}
}

func TestBadTokensAreRefusedWithTheirReason(t *testing.T) {
	k, v := keys(), twoIssuers(t)
	ed := func(change object) string { return forge(t, k.ed, header("EdDSA", "ed", nil), claims(change)) }
	good := ed(nil)
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatalf("the token that others differ from is refused: %v", err)
	}
	flipped := []byte(good)
	flipped[len(good)/2] ^= 1
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	attackers, err := json.Marshal(jose.JSONWebKey{Key: k.otherEd.Public(), KeyID: "ed"})
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		raw  string
		want error
	}{
		"none given":     {"", token.ErrMissing},
		"no JWT":         {"hello", token.ErrMalformed},
		"four parts":     {good + ".x", token.ErrMalformed},
		"too long":       {strings.Repeat("x", token.MaxBytes+1), token.ErrMalformed},
		"not base64":     {strings.Replace(good, ".", ".*", 1), token.ErrMalformed},
		"JSON form":      {`{"payload":"e30","protected":"e30","signature":""}`, token.ErrMalformed},
		"encrypted":      {"e30.e30.e30.e30.e30", token.ErrMalformed},
		"one bit off":    {string(flipped), nil},
		"critical":       {forge(t, k.ed, header("EdDSA", "ed", object{"crit": []string{"x"}, "x": 1}), claims(nil)), token.ErrMalformed},
		"claims of null": {forge(t, k.ed, header("EdDSA", "ed", nil), nil), token.ErrIssuer},

		// The algorithm: none, a symmetric one, one that no key is for, one that the key is not for.
		"alg none":               {forge(t, nil, header("none", "ed", nil), claims(nil)), token.ErrAlgorithm},
		"alg NONE":               {forge(t, nil, header("NONE", "ed", nil), claims(nil)), token.ErrAlgorithm},
		"no alg":                 {forge(t, nil, object{"kid": "ed"}, claims(nil)), token.ErrAlgorithm},
		"no signature":           {unsigned, token.ErrSignature},
		"HS256 by a public key":  {forge(t, []byte(k.ed.Public().(ed25519.PublicKey)), header("HS256", "ed", nil), claims(nil)), token.ErrAlgorithm},
		"ES384":                  {forge(t, k.ec, header("ES384", "ec", nil), claims(nil)), token.ErrAlgorithm},
		"PS256":                  {forge(t, k.rsa, header("PS256", "pss", nil), claims(nil)), token.ErrAlgorithm},
		"an Ed key as RSA":       {forge(t, k.rsa, header("RS256", "ed", nil), claims(nil)), token.ErrUnknownKey},
		"an RSA key as EC":       {forge(t, k.ec, header("ES256", "rsa", nil), claims(nil)), token.ErrUnknownKey},
		"an EC key as Ed":        {forge(t, k.ed, header("EdDSA", "ec", nil), claims(nil)), token.ErrUnknownKey},
		"a PS256 key for RS256":  {forge(t, k.rsa, header("RS256", "pss", nil), claims(nil)), token.ErrUnknownKey},
		"not of this issuer's":   {forge(t, k.otherEd, header("EdDSA", "ed", nil), claims(object{"iss": "partner", "aud": "chat"})), token.ErrAlgorithm},
		"the token's own key":    {forge(t, k.otherEd, header("EdDSA", "ed", object{"jwk": json.RawMessage(attackers)}), claims(nil)), token.ErrSignature},
		"a key's URL":            {forge(t, k.otherEd, header("EdDSA", "x", object{"jku": "https://evil.example/"}), claims(nil)), token.ErrUnknownKey},
		"no kid":                 {forge(t, k.ed, header("EdDSA", "", nil), claims(nil)), token.ErrUnknownKey},
		"another kid":            {forge(t, k.ed, header("EdDSA", "k2", nil), claims(nil)), token.ErrUnknownKey},
		"a kid that is a path":   {forge(t, k.ed, header("EdDSA", "../../dev/null", nil), claims(nil)), token.ErrUnknownKey},
		"another's signature":    {forge(t, k.otherEd, header("EdDSA", "ed", nil), claims(nil)), token.ErrSignature},
		"another's, ES256":       {forge(t, k.otherEC, header("ES256", "ec", nil), claims(nil)), token.ErrSignature},
		"one issuer as another":  {forge(t, k.otherEC, header("ES256", "ec", nil), claims(nil)), token.ErrSignature},
		"other issuer as one":    {forge(t, k.ec, header("ES256", "ec", nil), claims(object{"iss": "partner", "aud": "chat"})), token.ErrSignature},
		"another issuer":         {ed(object{"iss": "https://evil.example"}), token.ErrIssuer},
		"no issuer":              {ed(object{"iss": nil}), token.ErrIssuer},
		"an issuer with a slash": {ed(object{"iss": "https://id.example/"}), token.ErrIssuer},
		"an issuer of no string": {ed(object{"iss": 7}), token.ErrMalformed},

		"no audience":          {ed(object{"aud": nil}), token.ErrAudience},
		"another audience":     {ed(object{"aud": []string{"mail"}}), token.ErrAudience},
		"another's audience":   {ed(object{"aud": "chat"}), token.ErrAudience},
		"no subject":           {ed(object{"sub": ""}), token.ErrSubject},
		"subject with a slash": {ed(object{"sub": "a/b"}), token.ErrSubject},
		"subject too long":     {ed(object{"sub": strings.Repeat("a", 65)}), token.ErrSubject},
		"subject with newline": {ed(object{"sub": "alice\n"}), token.ErrSubject},
		"subject is a number":  {ed(object{"sub": 7}), token.ErrMalformed},
		"no expiry":            {ed(object{"exp": nil}), token.ErrNoExpiry},
		"no issue time":        {ed(object{"iat": nil}), token.ErrNoIssueTime},
		"good for too long":    {ed(object{"exp": now.Add(token.MaxLife + time.Second).Unix()}), token.ErrTooLong},
		"good for ever":        {ed(object{"exp": int64(1) << 60}), token.ErrTooLong},
		"expired":              {ed(object{"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(-token.Leeway).Unix()}), token.ErrExpired},
		"expired, for others":  {ed(object{"exp": 1, "aud": "mail"}), token.ErrAudience},
		"expired, by a strict": {forge(t, k.otherEC, header("ES256", "ec", nil), claims(object{"iss": "partner", "aud": "chat", "exp": now.Add(-2 * time.Second).Unix()})), token.ErrExpired},
		"not yet":              {ed(object{"nbf": now.Add(time.Minute).Unix()}), token.ErrNotYet},
		"from the future":      {ed(object{"iat": now.Add(time.Minute).Unix()}), token.ErrNotYet},
		"expiry is a word":     {ed(object{"exp": "tomorrow"}), token.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), c.raw)
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

func TestClaimsThatAreThereTwiceAreRefused(t *testing.T) {
	k, v := keys(), twoIssuers(t)
	part := base64.RawURLEncoding.EncodeToString
	signed := part([]byte(`{"alg":"EdDSA","kid":"ed"}`)) + "." +
		part([]byte(`{"iss":"https://id.example","aud":"chatfleet","iat":1,"exp":2,"sub":"alice","sub":"mallory"}`))
	raw := signed + "." + part(ed25519.Sign(k.ed, []byte(signed)))
	if _, err := v.Verify(t.Context(), raw); !errors.Is(err, token.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestAnIssuerWithoutANameTakesWhatNoOtherDoes(t *testing.T) {
	k := keys()
	v := openVerifier(t,
		token.Issuer{Keys: writeKeys(t, jose.JSONWebKey{Key: k.ed.Public(), KeyID: "ed"})},
		token.Issuer{Name: "named", Keys: writeKeys(t, jose.JSONWebKey{Key: k.ec.Public(), KeyID: "ec"})})
	for iss, good := range map[any]bool{nil: true, "whoever": true, "named": false} {
		_, err := v.Verify(t.Context(), forge(t, k.ed, header("EdDSA", "ed", nil), claims(object{"iss": iss})))
		if (err == nil) != good {
			t.Errorf("iss %v: %v, want good = %v", iss, err, good)
		}
	}
}
