package gateway_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

type object = map[string]any

// forge makes a token of a header and claims; nil values leave a member out.
func (w *world) forge(header, claims object, sign func(signed []byte) []byte) string {
	h := object{"alg": "EdDSA", "kid": w.signer.KeyID(), "typ": "JWT"}
	c := object{"sub": "mallory", "aud": "chatfleet", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	signed := encode(h, header) + "." + encode(c, claims)
	if sign == nil {
		sign = func(signed []byte) []byte { return ed25519.Sign(w.key, signed) }
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(signed)))
}

func encode(o, change object) string {
	for k, v := range change {
		if o[k] = v; v == nil {
			delete(o, k)
		}
	}
	data, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// tokenKind is a token that is not good.
type tokenKind struct {
	name  string
	token func(*world) string
	says  string
	code  chatv1.Error_Code
}

func tokenKinds() []tokenKind {
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	unsigned := func([]byte) []byte { return nil }
	keyed := func(w *world) func([]byte) []byte {
		return func(signed []byte) []byte {
			mac := hmac.New(sha256.New, w.key.Public().(ed25519.PublicKey))
			mac.Write(signed)
			return mac.Sum(nil)
		}
	}
	stranger := func(w *world) func([]byte) []byte {
		return func(signed []byte) []byte { return ed25519.Sign(w.other, signed) }
	}
	kinds := []tokenKind{
		{name: "no token", token: func(*world) string { return "" }, says: "no token"},
		{name: "what is no token", token: func(*world) string { return "hunter2" }, says: "malformed"},
		{name: "a token of 5,000 bytes", token: func(*world) string { return strings.Repeat("x", 5000) }, says: "4096"},
		{name: "alg: none", token: func(w *world) string { return w.forge(object{"alg": "none"}, nil, unsigned) }, says: "algorithm"},
		{name: "alg: nOnE", token: func(w *world) string { return w.forge(object{"alg": "nOnE"}, nil, unsigned) }, says: "algorithm"},
		{name: "alg: HS256, with the public key as the secret (key confusion)", token: func(w *world) string { return w.forge(object{"alg": "HS256"}, nil, keyed(w)) }, says: "algorithm"},
		{name: "an algorithm that is not the key's", token: func(w *world) string { return w.forge(object{"alg": "ES256"}, nil, nil) }},
		{name: "no signature", token: func(w *world) string { return w.forge(nil, nil, unsigned) }, says: "signature"},
		{name: "a signature by another's key, under the name of ours", token: func(w *world) string { return w.forge(nil, nil, stranger(w)) }, says: "signature"},
		{name: "another user put into a good token", says: "signature",
			token: func(w *world) string {
				good, other := strings.Split(w.token("mallory"), "."), strings.Split(w.forge(nil, object{"sub": "ann"}, nil), ".")
				return good[0] + "." + other[1] + "." + good[2]
			}},
		{name: "a key that is not known", token: func(w *world) string { return w.forge(object{"kid": "2019-01"}, nil, stranger(w)) }, says: "2019-01"},
		{name: "no kid", token: func(w *world) string { return w.forge(object{"kid": nil}, nil, nil) }, says: "kid"},
		{name: "a key that the token brings along", says: "key",
			token: func(w *world) string {
				x := base64.RawURLEncoding.EncodeToString(w.other.Public().(ed25519.PublicKey))
				return w.forge(object{"kid": "mine", "jwk": object{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "mine"}}, nil, stranger(w))
			}},
		{name: "a header that wants to be understood (crit)", token: func(w *world) string { return w.forge(object{"crit": []string{"b64"}, "b64": false}, nil, nil) }},
		{name: "an expired token", code: chatv1.Error_CODE_TOKEN_EXPIRED, says: "expired",
			token: func(w *world) string {
				return w.forge(nil, object{"exp": in(-time.Hour), "iat": in(-2 * time.Hour)}, nil)
			}},
		{name: "no expiry", token: func(w *world) string { return w.forge(nil, object{"exp": nil}, nil) }, says: "exp"},
		{name: "a token of tomorrow", token: func(w *world) string {
			return w.forge(nil, object{"nbf": in(24 * time.Hour), "exp": in(48 * time.Hour)}, nil)
		}, says: "nbf"},
		{name: "a token that was issued in the future", token: func(w *world) string { return w.forge(nil, object{"iat": in(time.Hour)}, nil) }, says: "iat"},
		{name: "a token for another audience", token: func(w *world) string { return w.forge(nil, object{"aud": "payroll"}, nil) }, says: "aud"},
		{name: "no audience", token: func(w *world) string { return w.forge(nil, object{"aud": nil}, nil) }, says: "aud"},
		{name: "no user", token: func(w *world) string { return w.forge(nil, object{"sub": nil}, nil) }, says: "sub"},
		{name: "a user whose name is a path", token: func(w *world) string { return w.forge(nil, object{"sub": "../ann"}, nil) }, says: "sub"},
		{name: "a user whose name has 65 letters", token: func(w *world) string { return w.forge(nil, object{"sub": strings.Repeat("a", 65)}, nil) }, says: "sub"},
		{name: "a user who is a number", token: func(w *world) string { return w.forge(nil, object{"sub": 7}, nil) }, says: "claims"},
	}
	for i := range kinds {
		if kinds[i].code == 0 {
			kinds[i].code = chatv1.Error_CODE_UNAUTHENTICATED
		}
	}
	return kinds
}

func tokens() section {
	s := section{title: "Tokens", about: "The same over a session, which ends, and over HTTP."}
	for _, k := range tokenKinds() {
		s.rows = append(s.rows, refusal{name: "A sign-in with " + k.name, at: openedJSON, want: ends(k.code, k.says),
			send: func(d *door) []byte { return message(engine.JSON, signIn(k.token(d.world))) }})
	}
	for _, k := range tokenKinds() {
		s.rows = append(s.rows, refusal{name: "A request over HTTP with " + k.name, want: want{status: 401, code: k.code, says: k.says},
			send: func(d *door) []byte {
				return request(d, "POST", "/chatfleet.chat.v1.ChatService/Join", "{}", "Content-Type: application/json", "Authorization: Bearer "+k.token(d.world))
			}})
	}
	return s
}
