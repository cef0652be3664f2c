package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"
)

const (
	// AuthorityLife is how long an authority's certificate is good for. It is renewed after two thirds of it.
	AuthorityLife = 365 * 24 * time.Hour
	// LeafLife is how long a member's is. It is renewed after two thirds of it, too.
	LeafLife = 30 * 24 * time.Hour
	// Spread is how long it takes at most until every member has what was written to a Secret: the kubelet's sync period and cache (up to
	// about two minutes), chatd's look at its files (seconds), and as much again for a node that is slow.
	Spread = 10 * time.Minute
	// skew is how far a clock may be behind the one that signed.
	skew = 5 * time.Minute
)

// Root is one authority: a self-signed certificate and its key.
type Root struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// Since is when it was first given out to be trusted.
	Since time.Time
}

// Authority is the roots of a fleet, oldest first. There is one, but for the time of a change.
type Authority []Root

// Due is what an authority is at a moment: with a new root if one is due or wanted, without those that nothing needs any more. The
// certificates are those that members have; they say which roots are still needed. Changed says whether it has to be kept anew; Next is when to
// look again.
func (a Authority) Due(now time.Time, wanted bool, leaves []*x509.Certificate) (due Authority, changed bool, next time.Time, err error) {
	due = slices.Clone(a)
	if len(due) == 0 || wanted || now.After(renewal(due[len(due)-1].Certificate)) {
		root, err := newRoot(now)
		if err != nil {
			return nil, false, time.Time{}, err
		}
		due, changed = append(due, root), true
	}
	signer := due.signer(now)
	for len(due) > 1 && signer > 0 && !needed(due[0], due[signer], leaves, now) {
		due, changed = due[1:], true
		signer--
	}
	next = renewal(due[len(due)-1].Certificate)
	if len(due) > 1 {
		next = now.Add(Spread / 5)
	}
	return due, changed, next, nil
}

// signer is the place of the newest root that everybody trusts by now.
func (a Authority) signer(now time.Time) int {
	for i := len(a) - 1; i > 0; i-- {
		if now.Sub(a[i].Since) >= Spread {
			return i
		}
	}
	return 0
}

// needed says whether some member may still show a certificate of an old root: until a while after all have one of the newer.
func needed(old, signer Root, leaves []*x509.Certificate, now time.Time) bool {
	if now.After(old.Certificate.NotAfter) {
		return false
	}
	if now.Sub(signer.Since) < 2*Spread {
		return true
	}
	return slices.ContainsFunc(leaves, func(leaf *x509.Certificate) bool {
		return leaf.CheckSignatureFrom(signer.Certificate) != nil || now.Sub(leaf.NotBefore.Add(skew)) < Spread
	})
}

// Bundle is the certificates of all roots, PEM.
func (a Authority) Bundle() []byte {
	var out []byte
	for _, r := range a {
		out = append(out, encode("CERTIFICATE", r.Certificate.Raw)...)
	}
	return out
}

// Leaf is a member's certificate and key.
type Leaf struct {
	Certificate    *x509.Certificate
	CertificatePEM []byte
	KeyPEM         []byte
}

// Names are what a certificate is for.
type Names struct {
	// Identity says which role of which fleet shows it, as a URI.
	Identity *url.URL
	// DNS are the host names that it is reached by.
	DNS []string
}

// Fresh says whether a leaf may go on being used: it is of the root that signs, for these names, and not to be renewed yet. The time says until
// when.
func (a Authority) Fresh(leaf *x509.Certificate, names Names, now time.Time) (bool, time.Time) {
	if leaf == nil || len(a) == 0 {
		return false, time.Time{}
	}
	until := renewal(leaf)
	same := slices.Equal(leaf.DNSNames, names.DNS) && len(leaf.URIs) == 1 && leaf.URIs[0].String() == names.Identity.String()
	return same && now.Before(until) && leaf.CheckSignatureFrom(a[a.signer(now)].Certificate) == nil, until
}

// Issue makes a leaf for both ends of a connection.
func (a Authority) Issue(names Names, now time.Time) (Leaf, error) {
	if len(a) == 0 {
		return Leaf{}, errors.New("issue a certificate: there is no authority yet")
	}
	root := a[a.signer(now)]
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Leaf{}, fmt.Errorf("make a key: %w", err)
	}
	template, err := certificate(names.Identity.String(), now, LeafLife)
	if err != nil {
		return Leaf{}, err
	}
	template.URIs, template.DNSNames = []*url.URL{names.Identity}, names.DNS
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	raw, err := x509.CreateCertificate(rand.Reader, template, root.Certificate, &key.PublicKey, root.key)
	if err != nil {
		return Leaf{}, fmt.Errorf("issue a certificate for %s: %w", names.Identity, err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		return Leaf{}, fmt.Errorf("read the certificate that was issued for %s: %w", names.Identity, err)
	}
	keyPEM, err := encodeKey(key)
	return Leaf{made, encode("CERTIFICATE", raw), keyPEM}, err
}

func newRoot(now time.Time) (Root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Root{}, fmt.Errorf("make a key: %w", err)
	}
	template, err := certificate("chatfleet members "+now.UTC().Format(time.RFC3339), now, AuthorityLife)
	if err != nil {
		return Root{}, err
	}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return Root{}, fmt.Errorf("make an authority: %w", err)
	}
	made, err := x509.ParseCertificate(raw)
	return Root{made, key, now.UTC().Truncate(time.Second)}, err
}

// certificate is what all have in common. Its life begins a little earlier, for clocks that are behind.
func certificate(name string, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life),
	}, nil
}

// renewal is when a certificate is to be replaced: two thirds through its life.
func renewal(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3)
}

func encode(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return encode("PRIVATE KEY", raw), nil
}
