package live

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

// minter makes users' tokens, as the issuer that a fleet trusts would.
type minter struct {
	pem     []byte
	signer  jose.Signer
	expires time.Time
}

// loadMinter reads the private key (PKCS#8 in PEM, Ed25519) whose public half the fleet has. The key's id is its RFC 7638
// thumbprint, as `chatd keygen` writes it.
func loadMinter(path string, expires time.Time) (*minter, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the token key: %w", err)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("token key %s: %w; `chatd keygen` makes one", path, err)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("token key %s: %w", path, err)
	}
	id := base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("token key %s: %w", path, err)
	}
	return &minter{text, signer, expires}, nil
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

// mint makes a token for a user. It may be called from any goroutine.
func (m *minter) mint(user string) (string, error) {
	token, err := jwt.Signed(m.signer).Claims(jwt.Claims{
		Subject: user, Audience: jwt.Audience{audience}, Expiry: jwt.NewNumericDate(m.expires),
		IssuedAt: jwt.NewNumericDate(time.Now()),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("make a token for %s: %w", user, err)
	}
	return token, nil
}
