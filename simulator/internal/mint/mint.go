// Package mint makes users' tokens, as the issuer that a fleet trusts would. It shares no code with the fleet that checks them.
package mint

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// audience is whom users' tokens are for.
const audience = "chatfleet"

// Minter makes tokens.
type Minter struct {
	// Key is the signing key: PKCS#8 in PEM, Ed25519.
	Key []byte
	// Issued is when the tokens say that they were made, Expires until when they are good.
	Issued, Expires time.Time
	signer          jose.Signer
}

// Load is New with a key from a file.
func Load(path string, issued, expires time.Time) (*Minter, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the token key: %w", err)
	}
	m, err := New(key, issued, expires)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// New takes the private key (PKCS#8 in PEM, Ed25519) whose public half the fleet has. The key's id is its RFC 7638 thumbprint, as
// `chatd keygen` writes it.
func New(key []byte, issued, expires time.Time) (*Minter, error) {
	private, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("token key: %w; `chatd keygen` makes one", err)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	id := base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return &Minter{key, issued, expires, signer}, nil
}

func parseKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it is not in PKCS#8: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an Ed25519 key")
	}
	return key, nil
}

// Mint makes a token for a user. It may be called from any goroutine.
func (m *Minter) Mint(user string) (string, error) {
	token, err := jwt.Signed(m.signer).Claims(jwt.Claims{
		Subject: user, Audience: jwt.Audience{audience}, Expiry: jwt.NewNumericDate(m.Expires),
		IssuedAt: jwt.NewNumericDate(m.Issued),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("make a token for %s: %w", user, err)
	}
	return token, nil
}
