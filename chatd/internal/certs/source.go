package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often files are read again. Kubernetes swaps a link when it brings a Secret's new content, a minute or so after it
// changed; reading a few kilobytes says all that a watch on the link, the directory behind it and the files would, and misses nothing.
const lookEvery = 10 * time.Second

// Files of a certificate, PEM.
type Files struct {
	// Certificate with its intermediates behind it, and its Key.
	Certificate, Key string
	// Authorities that others' certificates are checked by; empty where nobody's are.
	Authorities string
}

// Directory is the files as a Secret of the type kubernetes.io/tls has them, as cert-manager makes it.
func Directory(dir string) Files {
	return Files{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
}

// material is what stood in the files at one moment.
type material struct {
	certificate *tls.Certificate
	authorities *x509.CertPool
	identity    Identity // of a member's; else empty
	sum         [sha256.Size]byte
}

// Source is a certificate that may change.
type Source struct {
	use     string
	files   Files
	log     *slog.Logger
	accept  func(*material) error
	current atomic.Pointer[material]
	// broken: what stands in the files now is not what is in use.
	broken atomic.Bool

	mu   sync.Mutex // of Look
	said string
}

// Open reads a server's certificate. use says whom it is shown to, for logs and metrics.
func Open(use string, files Files, log *slog.Logger) (*Source, error) {
	return open(use, files, log, func(*material) error { return nil })
}

func open(use string, files Files, log *slog.Logger, accept func(*material) error) (*Source, error) {
	s := &Source{use: use, files: files, log: log, accept: accept}
	m, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("the certificate for %s: %w", use, err)
	}
	s.take(m, "certificate")
	return s, nil
}

// Run looks for new files until ctx ends.
func (s *Source) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Look()
		}
	}
}

// Look takes up what stands in the files, if it is new and good.
func (s *Source) Look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.read()
	s.broken.Store(err != nil)
	switch {
	case err != nil:
		if err.Error() != s.said {
			s.log.Error("a new certificate is of no use, and the old one stays", "for", s.use, "err", err, "until", s.expires())
		}
		s.said = err.Error()
		return
	case m.sum != s.current.Load().sum:
		s.take(m, "new certificate")
	case s.said != "":
		s.log.Info("the old certificate stands in the files again", "for", s.use)
	}
	s.said = ""
	if left := time.Until(s.expires()); left < 0 {
		s.log.Warn("the certificate is over; others refuse it", "for", s.use, "since", s.expires())
	}
}

func (s *Source) take(m *material, what string) {
	s.current.Store(m)
	leaf := m.certificate.Leaf
	attrs := []any{"for", s.use, "serial", leaf.SerialNumber.Text(16), "until", leaf.NotAfter, "issuer", leaf.Issuer.String()}
	if m.identity.Role != "" {
		attrs = append(attrs, "identity", m.identity.String())
	}
	s.log.Info(what, attrs...)
}

func (s *Source) expires() time.Time { return s.current.Load().certificate.Leaf.NotAfter }

// read reads the files, and says which of them is wrong and how.
func (s *Source) read() (*material, error) {
	hash := sha256.New()
	text := func(file string) ([]byte, error) {
		data, err := os.ReadFile(file) // the error names the file
		fmt.Fprintf(hash, "%d ", len(data))
		hash.Write(data)
		return data, err
	}
	certificate, err := text(s.files.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := text(s.files.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", s.files.Certificate, s.files.Key, err)
	}
	m := &material{certificate: &pair}
	if s.files.Authorities != "" {
		bundle, err := text(s.files.Authorities)
		if err != nil {
			return nil, err
		}
		if m.authorities, err = readAuthorities(bundle); err != nil {
			return nil, fmt.Errorf("%s: %w", s.files.Authorities, err)
		}
	}
	if err := s.accept(m); err != nil {
		return nil, fmt.Errorf("%s: %w", s.files.Certificate, err)
	}
	m.sum = [sha256.Size]byte(hash.Sum(nil))
	return m, nil
}

// readAuthorities is strict, where CertPool.AppendCertsFromPEM passes over what it cannot read.
func readAuthorities(text []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 {
				return nil, errors.New("it holds no certificate in PEM")
			}
			if len(bytes.TrimSpace(rest)) > 0 && bytes.Contains(rest, []byte("-----BEGIN")) {
				return nil, errors.New("it ends within a certificate")
			}
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s; only certificates belong there", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it: %w", n+1, err)
		}
		pool.AddCert(c)
		n++
	}
}

// ServerConfig shows the certificate to whoever connects, and asks nobody for his.
func (s *Source) ServerConfig(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols,
		DynamicRecordSizingDisabled: true, // events that go out together are one record, and not one for each packet
		GetCertificate:              func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load().certificate, nil },
	}
}
