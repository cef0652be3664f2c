package worker

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

// plan is one worker's part of a swarm: a swarm.Config that can travel.
type plan struct {
	Run              uint64             `json:"run"`
	StartNs          int64              `json:"startNs"`
	FirstSession     int                `json:"firstSession"`
	Sessions         int                `json:"sessions"`
	Endpoints        []string           `json:"endpoints"`
	SourceAddresses  []string           `json:"sourceAddresses,omitempty"`
	JSONShare        float64            `json:"jsonShare"`
	Logs             []string           `json:"logs"`
	Attach           []swarm.Attachment `json:"attach"`
	ConnectPerSecond float64            `json:"connectPerSecond"`
	MaxConnecting    int                `json:"maxConnecting"`
	Groups           []swarm.Group      `json:"groups"`
	Posts            []swarm.PostRange  `json:"posts"`
	Loops            int                `json:"loops"`
	Seed             uint64             `json:"seed"`
	Behaviour        swarm.Behaviour    `json:"behaviour"`
	// SigningKey makes the sessions' tokens: PKCS#8 in PEM, Ed25519. They are good until Expires.
	SigningKey []byte    `json:"signingKey"`
	Expires    time.Time `json:"expires"`
}

// planFor cuts the k-th of n parts out of a whole swarm.
func planFor(c swarm.Config, key []byte, expires time.Time, k, n int) *plan {
	first, end := c.Sessions*k/n, c.Sessions*(k+1)/n
	p := &plan{
		Run: c.Run, StartNs: c.StartNs, FirstSession: c.FirstSession + first, Sessions: end - first,
		Endpoints: c.Endpoints, SourceAddresses: c.SourceAddresses, JSONShare: c.JSONShare,
		Logs: c.Logs, Attach: c.Attach,
		ConnectPerSecond: c.ConnectPerSecond * float64(end-first) / float64(c.Sessions),
		Groups:           c.Groups, Posts: c.Posts, Loops: c.Loops, Seed: c.Seed, Behaviour: c.Behaviour,
		SigningKey: key, Expires: expires,
	}
	if c.MaxConnecting > 0 {
		p.MaxConnecting = max(c.MaxConnecting/n, 1)
	}
	return p
}

// config is the plan as the swarm takes it.
func (p *plan) config() (swarm.Config, error) {
	mint, err := minter(p.SigningKey, p.Expires)
	if err != nil {
		return swarm.Config{}, err
	}
	return swarm.Config{
		Run: p.Run, StartNs: p.StartNs, FirstSession: p.FirstSession, Sessions: p.Sessions,
		Endpoints: p.Endpoints, SourceAddresses: p.SourceAddresses, JSONShare: p.JSONShare, Token: mint,
		Logs: p.Logs, Attach: p.Attach, ConnectPerSecond: p.ConnectPerSecond, MaxConnecting: p.MaxConnecting,
		Groups: p.Groups, Posts: p.Posts, Loops: p.Loops, Seed: p.Seed, Behaviour: p.Behaviour,
	}, nil
}

// audience is whom users' tokens are for.
const audience = "chatfleet"

// minter returns what makes a user's token. The key's id is its RFC 7638 thumbprint, as `chatd keygen` writes it.
func minter(signingKey []byte, expires time.Time) (func(user string) (string, error), error) {
	key, err := parseKey(signingKey)
	if err != nil {
		return nil, fmt.Errorf("token key: %w; `chatd keygen` makes one", err)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	id := base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return func(user string) (string, error) {
		return jwt.Signed(signer).Claims(jwt.Claims{
			Subject: user, Audience: jwt.Audience{audience}, Expiry: jwt.NewNumericDate(expires), IssuedAt: jwt.NewNumericDate(time.Now()),
		}).Serialize()
	}, nil
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
