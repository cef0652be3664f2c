// Package certstest makes authorities and certificates for tests.
package certstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(template, template, a.key, a.key)
	return a
}

// PEM of its certificate.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.cert.Raw) }

// Leaf is what is asked for in a certificate.
type Leaf struct {
	// URIs such as chatfleet://ns/demo/store, and DNS names besides 127.0.0.1.
	URIs, DNS []string
	// From and Until are relative to now. Default an hour ago and an hour to come.
	From, Until time.Duration
	// Usages default to both ends of a connection.
	Usages []x509.ExtKeyUsage
}

// Issue makes a certificate and its key, PEM.
func (a *Authority) Issue(want Leaf) (certificate, key []byte) {
	a.t.Helper()
	if want.From == 0 {
		want.From = -time.Hour
	}
	if want.Until == 0 {
		want.Until = time.Hour
	}
	if want.Usages == nil {
		want.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	template := &x509.Certificate{
		SerialNumber: serial(a.t), Subject: pkix.Name{CommonName: "a member"}, NotBefore: time.Now().Add(want.From), NotAfter: time.Now().Add(want.Until),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: want.Usages, DNSNames: want.DNS, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, text := range want.URIs {
		u, err := url.Parse(text)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	k := newKey(a.t)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return encode("CERTIFICATE", a.sign(template, a.cert, k, a.key).Raw), encode("PRIVATE KEY", raw)
}

// Directory makes a directory with a certificate for an identity, trusting the authority and others.
func (a *Authority) Directory(identity string, others ...*Authority) string {
	a.t.Helper()
	dir := a.t.TempDir()
	a.Put(dir, Leaf{URIs: []string{identity}}, others...)
	return dir
}

// Put swaps the content of such a directory as the kubelet does with a Secret: files are links through ..data, which moves at once.
func (a *Authority) Put(dir string, want Leaf, others ...*Authority) {
	a.t.Helper()
	certificate, key := a.Issue(want)
	bundle := a.PEM()
	for _, o := range others {
		bundle = append(bundle, o.PEM()...)
	}
	Swap(a.t, dir, map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": bundle})
}

// Swap gives a directory new content.
func Swap(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	version, err := os.MkdirTemp(dir, "..version")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(version, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); os.IsNotExist(err) {
			if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
				t.Fatal(err)
			}
		}
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(version), next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func (a *Authority) sign(template, parent *x509.Certificate, subject, signer *ecdsa.PrivateKey) *x509.Certificate {
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &subject.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func serial(t testing.TB) *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func encode(kind string, raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
}
