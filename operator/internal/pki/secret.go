package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// The entries of an authority's Secret: for each root, oldest first from 0, its certificate, its key, and since when it has been given out.
const (
	rootCertificate = "root-%d.crt"
	rootKey         = "root-%d.key"
	rootSince       = "root-%d.since"
)

// Data is an authority as the entries of a Secret.
func (a Authority) Data() (map[string][]byte, error) {
	data := map[string][]byte{}
	for i, r := range a {
		key, err := encodeKey(r.key)
		if err != nil {
			return nil, err
		}
		data[fmt.Sprintf(rootCertificate, i)] = encode("CERTIFICATE", r.Certificate.Raw)
		data[fmt.Sprintf(rootKey, i)] = key
		data[fmt.Sprintf(rootSince, i)] = []byte(r.Since.UTC().Format(time.RFC3339))
	}
	return data, nil
}

// Read is the opposite. A Secret without entries is no authority yet; one with something else in it is an error that names the entry, for it
// is not to be overwritten.
func Read(data map[string][]byte) (Authority, error) {
	var a Authority
	for i := 0; len(data[fmt.Sprintf(rootCertificate, i)]) > 0; i++ {
		root, err := readRoot(data, i)
		if err != nil {
			return nil, err
		}
		a = append(a, root)
	}
	if 3*len(a) != len(data) {
		return nil, fmt.Errorf("%d entries and %d whole roots: restore the Secret, or delete it to have a new authority made (members then refuse each other until all have it)", len(data), len(a))
	}
	return a, nil
}

func readRoot(data map[string][]byte, i int) (Root, error) {
	name := fmt.Sprintf(rootCertificate, i)
	cert, err := ReadCertificate(data[name])
	if err != nil {
		return Root{}, fmt.Errorf("entry %s: %w", name, err)
	}
	name = fmt.Sprintf(rootKey, i)
	block, _ := pem.Decode(data[name])
	if block == nil {
		return Root{}, fmt.Errorf("entry %s: it holds no PEM block", name)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Root{}, fmt.Errorf("entry %s: %w", name, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return Root{}, fmt.Errorf("entry %s: it is not the key of the certificate beside it", name)
	}
	name = fmt.Sprintf(rootSince, i)
	since, err := time.Parse(time.RFC3339, strings.TrimSpace(string(data[name])))
	if err != nil {
		return Root{}, fmt.Errorf("entry %s: %w", name, err)
	}
	return Root{cert, key, since}, nil
}

// ReadCertificate reads the first certificate of a PEM text.
func ReadCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("it holds no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
