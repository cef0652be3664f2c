package token

import (
	"context"
	"crypto"
	"crypto/sha256"

	lru "github.com/hashicorp/golang-lru/v2"
)

// memoSize is how many tokens a Memo remembers, of less than a kilobyte each.
const memoSize = 4096

// Memo is a Verifier that remembers the tokens it has found to be signed well, for callers that show the same one with every request: most of
// what a check costs is the signature. What may change is looked at each time: the clock, and whether the issuer still has the key.
// It may be used by many goroutines at once.
type Memo struct {
	v    *Verifier
	good *lru.Cache[[sha256.Size]byte, signed]
}

// NewMemo makes one over a Verifier.
func NewMemo(v *Verifier) *Memo {
	good, err := lru.New[[sha256.Size]byte, signed](memoSize)
	if err != nil { // only a size below one is an error
		panic(err)
	}
	return &Memo{v, good}
}

// Verify is as Verifier.Verify.
func (m *Memo) Verify(ctx context.Context, raw string) (Identity, error) {
	name := sha256.Sum256([]byte(raw))
	known, ok := m.good.Get(name)
	if !ok {
		return m.learn(ctx, name, raw)
	}
	key, err := known.issuer.keyFor(ctx, known.header)
	if err != nil {
		return Identity{}, err
	}
	if !sameKey(key.Key, known.key.Key) {
		return m.learn(ctx, name, raw)
	}
	if err := known.issuer.check(known.claims, m.v.now()); err != nil {
		return Identity{}, err
	}
	return known.identity(), nil
}

// learn checks a token whole, and remembers it if it is good.
func (m *Memo) learn(ctx context.Context, name [sha256.Size]byte, raw string) (Identity, error) {
	good, err := m.v.verify(ctx, raw)
	if err != nil {
		return Identity{}, err
	}
	m.good.Add(name, good)
	return good.identity(), nil
}

// sameKey reports whether two public keys are one: an issuer may give another the name of one that it has withdrawn.
func sameKey(a, b any) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
