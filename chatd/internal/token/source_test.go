package token_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// publisher is an issuer's web server, without the web.
type publisher struct {
	mu      sync.Mutex
	body    []byte
	status  int
	asked   int
	failing error
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.failing != nil {
		return nil, p.failing
	}
	w := httptest.NewRecorder()
	w.WriteHeader(p.status)
	w.Write(p.body)
	res := w.Result()
	res.Request = r
	return res, nil
}

func (p *publisher) publish(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.status, p.failing = data, http.StatusOK, nil
}

func (p *publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = err
}

func (p *publisher) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// follow opens a Verifier of a publisher's keys, which follows them until the test ends. It must be called in a bubble.
func follow(t *testing.T, p *publisher) *token.Verifier {
	t.Helper()
	v, err := token.Open(t.Context(), []token.Issuer{{Keys: "https://id.example/jwks.json"}}, token.Options{Logger: quiet, Client: &http.Client{Transport: p}})
	if err != nil {
		t.Fatal(err)
	}
	go v.Run(t.Context())
	return v
}

// fresh is a token that was made just now.
func fresh(t *testing.T, key ed25519.PrivateKey, kid string) string {
	return forge(t, key, header("EdDSA", kid, nil), claims(object{"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}))
}

func TestKeysRotateWithOverlap(t *testing.T) {
	k := keys()
	old, young := jose.JSONWebKey{Key: k.ed.Public(), KeyID: "old"}, jose.JSONWebKey{Key: k.otherEd.Public(), KeyID: "young"}
	synctest.Test(t, func(t *testing.T) {
		p := new(publisher)
		p.publish(jwks(t, old))
		v := follow(t, p)
		good := func(kid string, key ed25519.PrivateKey) bool {
			_, err := v.Verify(t.Context(), fresh(t, key, kid))
			return err == nil
		}
		time.Sleep(time.Minute)
		p.publish(jwks(t, old, young))
		if !good("young", k.otherEd) {
			t.Error("a key that was published just now is not looked for")
		}
		if !good("old", k.ed) {
			t.Error("the key of before is out of force while it is published still")
		}
		p.publish(jwks(t, young))
		time.Sleep(6 * time.Minute)
		if good("old", k.ed) {
			t.Error("a key is in force that is not published any more")
		}
		if !good("young", k.otherEd) {
			t.Error("the new key is out of force")
		}
	})
}

func TestUnknownKeysDoNotMakeUsAskAllTheTime(t *testing.T) {
	k := keys()
	synctest.Test(t, func(t *testing.T) {
		p := new(publisher)
		p.publish(jwks(t, jose.JSONWebKey{Key: k.ed.Public(), KeyID: "ed"}))
		v := follow(t, p)
		time.Sleep(30 * time.Second)
		before := p.times()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for range 20 {
					if _, err := v.Verify(t.Context(), fresh(t, k.ed, "nobody's")); !errors.Is(err, token.ErrUnknownKey) {
						t.Errorf("got %v", err)
					}
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		if asked := p.times() - before; asked < 1 || asked > 3 {
			t.Errorf("the keys were fetched %d times in 20 s", asked)
		}
	})
}

func TestKeysStayWhileTheirURLIsAway(t *testing.T) {
	k := keys()
	set := jose.JSONWebKey{Key: k.ed.Public(), KeyID: "ed"}
	synctest.Test(t, func(t *testing.T) {
		p := new(publisher)
		p.publish(jwks(t, set))
		v := follow(t, p)
		for what, broken := range map[string]func(){
			"no answer":     func() { p.fail(errors.New("no route")) },
			"no JWK set":    func() { p.publish([]byte("<html>")) },
			"a private key": func() { p.publish(jwks(t, jose.JSONWebKey{Key: k.ed, KeyID: "ed"})) },
			"an error": func() {
				p.publish(jwks(t))
				p.mu.Lock()
				p.status = http.StatusBadGateway
				p.mu.Unlock()
			},
		} {
			broken()
			time.Sleep(time.Hour)
			if _, err := v.Verify(t.Context(), fresh(t, k.ed, "ed")); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			p.publish(jwks(t, set))
			time.Sleep(11 * time.Second)
		}
		p.fail(errors.New("no route"))
		time.Sleep(25 * time.Hour)
		if _, err := v.Verify(t.Context(), fresh(t, k.ed, "ed")); !errors.Is(err, token.ErrKeysAway) {
			t.Errorf("after a day: %v", err)
		}
		p.publish(jwks(t, set))
		time.Sleep(11 * time.Second)
		if _, err := v.Verify(t.Context(), fresh(t, k.ed, "ed")); err != nil {
			t.Errorf("once it is back: %v", err)
		}
	})
}

func TestAnIssuerThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	k := keys()
	synctest.Test(t, func(t *testing.T) {
		p := new(publisher)
		p.fail(errors.New("connection refused"))
		v := follow(t, p)
		if _, err := v.Verify(t.Context(), fresh(t, k.ed, "ed")); !errors.Is(err, token.ErrKeysAway) || strings.Contains(err.Error(), "refused:") {
			t.Errorf("got %v", err)
		}
		p.publish(jwks(t, jose.JSONWebKey{Key: k.ed.Public(), KeyID: "ed"}))
		time.Sleep(11 * time.Second)
		if _, err := v.Verify(t.Context(), fresh(t, k.ed, "ed")); err != nil {
			t.Error(err)
		}
	})
}

func TestAFileOfKeysIsReadAgain(t *testing.T) {
	k := keys()
	path := writeKeys(t, jose.JSONWebKey{Key: k.ed.Public(), KeyID: "ed"})
	synctest.Test(t, func(t *testing.T) {
		v, err := token.Open(t.Context(), []token.Issuer{{Keys: path}}, token.Options{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go v.Run(ctx)
		if err := os.WriteFile(path, jwks(t, jose.JSONWebKey{Key: k.otherEd.Public(), KeyID: "other"}), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if _, err := v.Verify(t.Context(), fresh(t, k.ed, "ed")); !errors.Is(err, token.ErrUnknownKey) {
			t.Errorf("the old key: %v", err)
		}
		if _, err := v.Verify(t.Context(), fresh(t, k.otherEd, "other")); err != nil {
			t.Errorf("the new key: %v", err)
		}
	})
}

func TestARedirectOfTheKeysIsNotFollowed(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("https://evil.example/", http.StatusFound))
	defer server.Close()
	v, err := token.Open(t.Context(), []token.Issuer{{Keys: server.URL}}, token.Options{Now: clock, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), forge(t, keys().ed, header("EdDSA", "ed", nil), claims(nil))); !errors.Is(err, token.ErrKeysAway) {
		t.Errorf("got %v", err)
	}
}

func TestIssuersSayWhatIsWrongWithThem(t *testing.T) {
	for line, want := range map[string]string{
		"iss=a":                                   "no keys",
		"keys=http://id.example/k":                "https",
		"keys=https://":                           "no host",
		"keys=k.json alg=ES256+HS256":             `"HS256"`,
		"keys=k.json alg=none":                    `"none"`,
		"keys=k.json leeway=1h":                   "leeway",
		"keys=k.json leeway=-1s":                  "leeway",
		"keys=k.json leeway=soon":                 "duration",
		"keys=k.json audience=x":                  `"audience"`,
		"k.json":                                  "name=value",
		"iss=a keys=k.json aud=x alg=ES256+EdDSA": "",
		"keys=http://127.0.0.1:8000/k":            "",
		"keys=http://localhost/k":                 "",
	} {
		_, err := token.ParseIssuer(line)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	if err := token.ValidateIssuers(nil); err == nil || !strings.Contains(err.Error(), "keygen") {
		t.Errorf("no issuer: %v", err)
	}
	if err := token.ValidateIssuers([]token.Issuer{{Name: "a", Keys: "k"}, {Name: "a", Keys: "l"}}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one twice: %v", err)
	}
	if _, err := token.Open(t.Context(), []token.Issuer{{Keys: "/nowhere/keys.json"}}, token.Options{Logger: quiet}); err == nil {
		t.Error("a file that is not there is no error")
	}
}
