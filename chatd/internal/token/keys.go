package token

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
)

// maxKeySetBytes bounds a key set: some hundreds of keys.
const maxKeySetBytes = 1 << 20

// KeySet is the public keys of those whose tokens are accepted, by key id. It does not change once made.
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
// private key, a key without an id, two keys of one id, and a set without a usable key are errors.
func ParseKeySet(data []byte) (*KeySet, error) {
	if len(data) > maxKeySetBytes {
		return nil, fmt.Errorf("the key set has %d bytes, more than %d", len(data), maxKeySetBytes)
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("not a JWK set: %w", err)
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
			return nil, fmt.Errorf("keys[%d] (kid %q) holds a private or a symmetric key: keep it secret, and put only its public part here", i, key.KeyID)
		case !usable(key):
			continue
		case key.KeyID == "":
			return nil, fmt.Errorf("keys[%d] has no kid; tokens could not name it", i)
		}
		if _, twice := set.keys[key.KeyID]; twice {
			return nil, fmt.Errorf("keys[%d]: the kid %q is there twice", i, key.KeyID)
		}
		set.keys[key.KeyID] = key
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("no key for %v among %d; make one with `chatd keygen`", algorithms, len(raw.Keys))
	}
	return set, nil
}

// Len is the number of usable keys.
func (s *KeySet) Len() int { return len(s.keys) }

// find returns the key that a token's header names, if it may be used with the token's algorithm.
func (s *KeySet) find(kid string, alg jose.SignatureAlgorithm) (jose.JSONWebKey, bool) {
	key, ok := s.keys[kid]
	return key, ok && usableFor(key, alg)
}

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
	}
	return false
}
