package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// wire is what TLS of a subscriber speaks over: its socket, until it has come in; from then on what the loop has read.
type wire struct {
	fd     int
	inLoop bool
	come   []byte // and not taken yet
}

// errNothing says that nothing more has come. crypto/tls goes on after it, as it is temporary.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing has come" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

func (w *wire) Read(p []byte) (int, error) {
	if !w.inLoop {
		for {
			n, err := unix.Read(w.fd, p)
			switch {
			case errors.Is(err, unix.EINTR):
			case err == nil && n == 0:
				return 0, net.ErrClosed
			default:
				return max(n, 0), err
			}
		}
	}
	if len(w.come) == 0 {
		return 0, errNothing
	}
	n := copy(p, w.come)
	w.come = w.come[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error)      { return len(p), writeAll(w.fd, p) }
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return nil }
func (w *wire) RemoteAddr() net.Addr             { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// trusting is how the swarm and the author speak TLS: the certificate is of this very run.
func trusting() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
}

// certificate makes one for this machine, in files of a directory.
func certificate(dir string) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for _, file := range []struct {
		name, kind string
		content    []byte
	}{{certFile, "CERTIFICATE", cert}, {keyFile, "PRIVATE KEY", private}} {
		if err := os.WriteFile(file.name, pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.content}), 0o600); err != nil {
			return "", "", err
		}
	}
	return certFile, keyFile, nil
}
