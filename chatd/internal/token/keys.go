package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeySetBytes and maxKeys bound a key set.
	maxKeySetBytes = 1 << 20
	maxKeys        = 256
	// minRSABits is what RFC 7518 section 3.3 wants. Keys that are so large as to make every check slow go-jose leaves out.
	minRSABits = 2048
)

// KeySet is the public keys of one issuer, by key id. It does not change once made.
type KeySet struct {
	keys map[string]jose.JSONWebKey
}

// LoadKeySet reads a JWK set from a file.
func LoadKeySet(path string) (*KeySet, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the token keys: %w", err)
	}
	set, err := ParseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("token keys in %s: %w", path, err)
	}
	return set, nil
}

// ParseKeySet reads a JWK set. Keys of kinds that no accepted algorithm uses are left out, as RFC 7517 section 5 wants; a
// private key, a weak one, a key without an id, two keys of one id, and a set without a usable key are errors.
func ParseKeySet(data []byte) (*KeySet, error) {
	if len(data) > maxKeySetBytes {
		return nil, fmt.Errorf("the key set has more than %d bytes", maxKeySetBytes)
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("not a JWK set: %w", err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, more than %d", len(raw.Keys), maxKeys)
	}
	set := &KeySet{keys: make(map[string]jose.JSONWebKey, len(raw.Keys))}
	for i, r := range raw.Keys {
		var key jose.JSONWebKey
		err := key.UnmarshalJSON(r)
		switch {
		case errors.Is(err, jose.ErrUnsupportedKeyType):
			continue
		case err != nil:
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		case !key.IsPublic():
			return nil, fmt.Errorf("keys[%d] (kid %q) holds a private or a symmetric key: keep it secret, and put only its public part here", i, clip(key.KeyID))
		case !usable(key):
			continue
		case key.KeyID == "":
			return nil, fmt.Errorf("keys[%d] has no kid; tokens could not name it", i)
		}
		if rsaKey, ok := key.Key.(*rsa.PublicKey); ok && rsaKey.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("keys[%d] (kid %q) is an RSA key of %d bits: want at least %d", i, clip(key.KeyID), rsaKey.N.BitLen(), minRSABits)
		}
		if _, twice := set.keys[key.KeyID]; twice {
			return nil, fmt.Errorf("keys[%d]: the kid %q is there twice", i, clip(key.KeyID))
		}
		set.keys[key.KeyID] = key
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("no key for %v among %d; `chatd keygen` makes one for development", algorithms, len(raw.Keys))
	}
	return set, nil
}

// Len is the number of usable keys.
func (s *KeySet) Len() int { return len(s.keys) }

func usable(key jose.JSONWebKey) bool {
	for _, alg := range algorithms {
		if usableFor(key, alg) {
			return true
		}
	}
	return false
}

// usableFor ties an algorithm to a type of key, so that a token cannot choose how a key is used.
func usableFor(key jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}
	if key.Algorithm != "" && key.Algorithm != string(alg) {
		return false
	}
	switch alg {
	case jose.EdDSA:
		pub, ok := key.Key.(ed25519.PublicKey)
		return ok && len(pub) == ed25519.PublicKeySize
	case jose.ES256:
		pub, ok := key.Key.(*ecdsa.PublicKey)
		return ok && pub.Curve == elliptic.P256()
	case jose.RS256:
		_, ok := key.Key.(*rsa.PublicKey)
		return ok
	}
	return false
}
