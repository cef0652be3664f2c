package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootsModule is where the certificate authorities come from, and rootsPath where Go programs look for them first. A cluster that has
// its own mounts a bundle over the file, or names one in SSL_CERT_FILE.
const (
	rootsModule = "golang.org/x/crypto/x509roots/fallback"
	rootsPath   = "etc/ssl/certs/ca-certificates.crt"
)

// roots is Mozilla's list as PEM. A file, and not the same list compiled into the programs: it serves every program without a line in
// it, anybody can read and replace it, and a program that needs no authority never parses it. A PEM file has no room for "only what was issued
// before": authorities with such a limit, which Mozilla is on its way to drop, are left out, and that is the strict way.
func roots() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read a certificate authority: %w", err)
		}
		fmt.Fprintf(&out, "# %s\n# sha256 %x\n", cert.Subject, sha256.Sum256(cert.Raw))
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
