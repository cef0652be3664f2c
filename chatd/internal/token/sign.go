package token

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Names of the files that WriteKeyPair makes.
const (
	SigningKeyFile = "signing.key"
	KeySetFile     = "keys.json"
)

const pemType = "PRIVATE KEY"

// Signer issues tokens. It is for development and tests: real users' tokens come from their own issuer.
type Signer struct {
	key   ed25519.PrivateKey
	keyID string
	sign  jose.Signer
	now   func() time.Time
}

// NewSigner makes a Signer. The key's id is its RFC 7638 thumbprint. now is the clock; nil means time.Now.
func NewSigner(key ed25519.PrivateKey, now func() time.Time) (*Signer, error) {
	if now == nil {
		now = time.Now
	}
	public := jose.JSONWebKey{Key: key.Public()}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("name the signing key: %w", err)
	}
	keyID := base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("use the signing key: %w", err)
	}
	return &Signer{key: key, keyID: keyID, sign: signer, now: now}, nil
}

// GenerateSigner makes a Signer with a new key. random nil means the system's.
func GenerateSigner(random io.Reader, now func() time.Time) (*Signer, error) {
	_, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return NewSigner(key, now)
}

// LoadSigner reads a private key (PKCS#8, PEM) from a file.
func LoadSigner(path string, now func() time.Time) (*Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("signing key %s: no PEM block %q in it; make a key with `chatd keygen`", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key %s is a %T; only Ed25519 signs tokens", path, parsed)
	}
	return NewSigner(key, now)
}

// KeyID names the key, in the tokens that it signs and in the key set.
func (s *Signer) KeyID() string { return s.keyID }

// Sign issues a token for user that is good for ttl.
func (s *Signer) Sign(user string, ttl time.Duration) (string, error) {
	if !ValidUser(user) {
		return "", fmt.Errorf("%q is no user name: it must match %s", clip(user), userPattern)
	}
	if ttl <= 0 || ttl > MaxLife {
		return "", fmt.Errorf("a token's time to live of %v: want more than 0, at most %v", ttl, MaxLife)
	}
	now := s.now()
	raw, err := jwt.Signed(s.sign).Claims(jwt.Claims{
		Subject: user, Audience: jwt.Audience{Audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(ttl)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return raw, nil
}

// KeySetJSON is the JWK set that holds the public key and nothing else.
func (s *Signer) KeySetJSON() ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: s.keyID, Algorithm: string(jose.EdDSA), Use: "sig"}}}
	data, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the key set: %w", err)
	}
	return append(data, '\n'), nil
}

// WriteKeyPair writes the private key to dir/signing.key, readable by its owner only, and the public one to dir/keys.json. It
// makes dir if need be, and overwrites no key: tokens of the old one would be refused from then on.
func (s *Signer) WriteKeyPair(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the key directory: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return fmt.Errorf("encode the signing key: %w", err)
	}
	set, err := s.KeySetJSON()
	if err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	if err := writeNew(filepath.Join(dir, SigningKeyFile), private, 0o600); err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, KeySetFile), set, 0o644)
}

func writeNew(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists and is not overwritten; remove it or choose another directory", path)
	}
	if err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = fmt.Errorf("write a key: %w", closed)
		}
	}()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write a key: %w", err)
	}
	return nil
}
