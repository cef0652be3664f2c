package command

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuing is somebody who signs tokens.
type issuing struct {
	t    *testing.T
	name string
	aud  string
}

// key makes a key of an algorithm, with a name.
func (i issuing) key(alg jose.SignatureAlgorithm, id string) jose.JSONWebKey {
	i.t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(alg), Use: "sig"}
}

// token is one by a key that expires in a while; change makes another of it.
func (i issuing) token(key jose.JSONWebKey, expires time.Duration, change func(*jwt.Claims)) string {
	i.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	now := time.Now()
	claims := jwt.Claims{Issuer: i.name, Subject: "ann", Audience: jwt.Audience{i.aud}, IssuedAt: jwt.NewNumericDate(now.Add(-time.Minute)), Expiry: jwt.NewNumericDate(now.Add(expires))}
	if change != nil {
		change(&claims)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return raw
}

// set is the public part of some keys.
func (i issuing) set(keys ...jose.JSONWebKey) []byte {
	i.t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	data, err := json.Marshal(set)
	if err != nil {
		i.t.Fatal(err)
	}
	return data
}

// output is what a command writes, to be read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

var startedAt = regexp.MustCompile(`msg=started .*clients=(\S+)`)

// serve runs `chatd serve` with a file until the test ends, and returns where clients find it.
func serve(t *testing.T, file string) string {
	t.Helper()
	var out output
	cmd := serveCommand()
	cmd.SilenceUsage = true
	cmd.SetArgs([]string{"--config", file})
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve ended with %v\n%s", err, out.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if at := startedAt.FindStringSubmatch(out.String()); at != nil {
			return "http://" + at[1]
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("serve ended with %v\n%s", err, out.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("serve has not started:\n%s", out.String())
		}
	}
}

// ask makes a request by a token, and returns what is wrong with the token; "" if nothing is.
func ask(t *testing.T, at, token string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodPost, at+"/chatfleet.chat.v1.ChatService/Join", strings.NewReader(`{"log":"c1"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case res.StatusCode == http.StatusUnauthorized:
			return string(body)
		case res.StatusCode != http.StatusServiceUnavailable: // else it has no list of what was revoked yet
			return ""
		case time.Now().After(end):
			t.Fatalf("asked in vain: %s", body)
		}
	}
}

// await asks until the answer is as it should be.
func await(t *testing.T, at, token, want string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		got := ask(t, at, token)
		if (got == "") == (want == "") && strings.Contains(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("in the end the answer is %q, want %q", got, want)
		}
	}
}

// A member with two issuers in its file, each with all its fields, takes the tokens that it should and no others; and follows both sets
// of keys while they change.
func TestServeWithTwoIssuers(t *testing.T) {
	mine, web := issuing{t, "https://mine.example", "chat"}, issuing{t, "https://web.example", "chatfleet"}
	ed, es, rs := mine.key(jose.EdDSA, "ed"), mine.key(jose.ES256, "es"), web.key(jose.RS256, "rs")
	webES := web.key(jose.ES256, "web-es") // in the set, and not among the issuer's algorithms
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.json")
	put(t, keys, mine.set(ed, es))
	var mu sync.Mutex
	served := web.set(rs, webES)
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = w.Write(served)
	}))
	t.Cleanup(jwks.Close)
	put(t, filepath.Join(dir, "secret"), []byte("the secret of this cluster"))
	file := filepath.Join(dir, "chatd.yaml")
	put(t, file, fmt.Appendf(nil, `
role: combined
name: m
listen: 127.0.0.1:0
admin: 127.0.0.1:0
replicas: 1
partitions: 1
data: %q
cluster: {secretFile: %q}
limits: {failureBurst: 1000000}
token:
  issuers:
    - iss=%s keys=%s aud=%s alg=EdDSA+ES256 leeway=2m
    - iss=%s keys=%s aud=%s alg=RS256 leeway=1s
`, filepath.Join(dir, "data"), filepath.Join(dir, "secret"), mine.name, keys, mine.aud, web.name, jwks.URL, web.aud))
	at := serve(t, file)

	claim := func(change func(*jwt.Claims)) string { return mine.token(ed, time.Hour, change) }
	for _, c := range []struct{ name, token, want string }{
		{"EdDSA, by the file", mine.token(ed, time.Hour, nil), ""},
		{"ES256, by the file", mine.token(es, time.Hour, nil), ""},
		{"RS256, by the URL", web.token(rs, time.Hour, nil), ""},
		{"an algorithm that is not the issuer's", web.token(webES, time.Hour, nil), "algorithm"},
		{"over by less than the issuer's leeway", mine.token(ed, -30*time.Second, nil), ""},
		{"over by more than the issuer's leeway", mine.token(ed, -3*time.Minute, func(c *jwt.Claims) { c.IssuedAt = jwt.NewNumericDate(time.Now().Add(-time.Hour)) }), "expired"},
		{"over by more than the other issuer's leeway", web.token(rs, -30*time.Second, nil), "expired"},
		{"ahead by less than the leeway", claim(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(30 * time.Second)) }), ""},
		{"the other issuer's audience", claim(func(c *jwt.Claims) { c.Audience = jwt.Audience{web.aud} }), "audience"},
		{"two audiences", claim(func(c *jwt.Claims) { c.Audience = append(c.Audience, "other") }), ""},
		{"the other issuer's name", claim(func(c *jwt.Claims) { c.Issuer = web.name }), "algorithm"},
		{"the other issuer's name and algorithm", mine.token(mine.key(jose.RS256, "rs"), time.Hour, func(c *jwt.Claims) { c.Issuer, c.Audience = web.name, jwt.Audience{web.aud} }), "signature"},
		{"nobody's name", claim(func(c *jwt.Claims) { c.Issuer = "https://nobody.example" }), "iss"},
		{"no name", claim(func(c *jwt.Claims) { c.Issuer = "" }), "iss"},
	} {
		if got := ask(t, at, c.token); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}

	// New keys come beside the old ones: both are good. Then the old ones go.
	ed2, rs2, rs3 := mine.key(jose.EdDSA, "ed2"), web.key(jose.RS256, "rs2"), web.key(jose.RS256, "rs3")
	serveKeys := func(set []byte) { mu.Lock(); served = set; mu.Unlock() }
	put(t, keys, mine.set(ed, ed2))
	serveKeys(web.set(rs, rs2))
	for _, token := range []string{mine.token(ed2, time.Hour, nil), web.token(rs2, time.Hour, nil), mine.token(ed, time.Hour, nil), web.token(rs, time.Hour, nil)} {
		await(t, at, token, "")
	}
	put(t, keys, mine.set(ed2))
	serveKeys(web.set(rs2, rs3))
	await(t, at, web.token(rs3, time.Hour, nil), "") // has the URL read again
	for _, token := range []string{mine.token(ed, time.Hour, nil), web.token(rs, time.Hour, nil), mine.token(es, time.Hour, nil)} {
		await(t, at, token, "key")
	}
	for _, token := range []string{mine.token(ed2, time.Hour, nil), web.token(rs2, time.Hour, nil)} {
		await(t, at, token, "")
	}
}

// put writes a file in one piece, as whoever rotates keys should.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
