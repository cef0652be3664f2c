package pki

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// RoleOperator is the role of the operator itself among the members of a fleet.
const RoleOperator = "operator"

// Identity is the URI in a certificate that says whose it is, as chatd reads it.
func Identity(namespace, cluster, role string) *url.URL {
	return &url.URL{Scheme: "chatfleet", Host: namespace, Path: "/" + cluster + "/" + role}
}

// ClientConfig is for a connection to a member: it shows a certificate and takes one of the same fleet that is for that identity. Members are reached by
// addresses that change, so that host names prove nothing here.
func ClientConfig(certificate, key, authorities []byte, member *url.URL) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("read the operator's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, errors.New("read the fleet's authorities: there is none")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it, by identity instead of by host name
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyMember(s, roots, member)
		},
	}, nil
}

func verifyMember(s tls.ConnectionState, roots *x509.CertPool, member *url.URL) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("it shows no certificate")
	}
	leaf, between := s.PeerCertificates[0], x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return err
	}
	if !slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == member.String() }) {
		return fmt.Errorf("its certificate is for %v, and here must be one for %s", leaf.URIs, member)
	}
	return nil
}

// Entries of the Secret with the key of test users, as `chatd token` and chatd's token.keys read them.
const (
	signingKeyFile = "signing.key"
	keySetFile     = "keys.json"
)

// NewTokenKey makes a key that signs users' tokens, and its public half as a JWK set, as the entries of a Secret.
func NewTokenKey() (map[string][]byte, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for tokens: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key for tokens: %w", err)
	}
	jwk := jose.JSONWebKey{Key: public, Algorithm: string(jose.EdDSA), Use: "sig"}
	thumb, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("name a key for tokens: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk}})
	if err != nil {
		return nil, fmt.Errorf("encode a key set: %w", err)
	}
	return map[string][]byte{signingKeyFile: encode("PRIVATE KEY", raw), keySetFile: set}, nil
}
