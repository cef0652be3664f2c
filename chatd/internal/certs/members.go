package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Members is mutual TLS between the members of a fleet, and with who operates it.
type Members struct {
	*Source
	refusals *refusals
}

// OpenMembers reads the certificate of a bearer of one of the roles, and the authorities of its fleet.
func OpenMembers(dir string, log *slog.Logger, roles ...Role) (*Members, error) {
	accept := func(m *material) error { return acceptOwn(m, roles) }
	s, err := open("members", Directory(dir), log, accept)
	if err != nil {
		return nil, err
	}
	return &Members{s, newRefusals(log)}, nil
}

// acceptOwn says what is wrong with one's own certificate. That it is over is none of it: it will be renewed, and the others' clocks decide.
func acceptOwn(m *material, roles []Role) (err error) {
	leaf := m.certificate.Leaf
	if m.identity, err = identityOf(leaf); err != nil {
		return err
	}
	if !slices.Contains(roles, m.identity.Role) {
		return fmt.Errorf("it is for %s, and this needs one for %s", m.identity, oneOf(roles))
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := chain(leaf, intermediates(m.certificate), m.authorities, usage, time.Now()); err != nil && !isExpired(err) {
			return fmt.Errorf("the authorities beside it would not have it: %w", err)
		}
	}
	return nil
}

func intermediates(c *tls.Certificate) (all []*x509.Certificate) {
	for _, raw := range c.Certificate[1:] {
		if parsed, err := x509.ParseCertificate(raw); err == nil {
			all = append(all, parsed)
		}
	}
	return all
}

func chain(leaf *x509.Certificate, between []*x509.Certificate, authorities *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) error {
	pool := x509.NewCertPool()
	for _, c := range between {
		pool.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: authorities, Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func isExpired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// ServerConfig is for a port that takes certain roles of this fleet. self says that it takes whoever shows the member's own
// certificate, too: that is the member itself.
func (m *Members) ServerConfig(port string, self bool, roles []Role, protocols ...string) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols,
		// A session taken up again would carry on what was checked by authorities of yesterday.
		SessionTicketsDisabled: true,
		// Whoever shows none is refused below, where it is said and counted. VerifyConnection is part of every handshake.
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return m.current.Load().certificate, nil },
	}
	check := func(from string) func(tls.ConnectionState) error {
		return func(s tls.ConnectionState) error {
			return m.refusals.note(port, from, m.check(s, x509.ExtKeyUsageClientAuth, self, roles))
		}
	}
	c.VerifyConnection = check("")
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		known := c.Clone()
		known.GetConfigForClient, known.VerifyConnection = nil, check(hello.Conn.RemoteAddr().String())
		return known, nil
	}
	return c
}

// ClientConfig is for connections to members of certain roles of this fleet.
func (m *Members) ClientConfig(port string, roles ...Role) *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.current.Load().certificate, nil },
		// The library's own check knows the authorities of the start alone, and goes by host names. VerifyConnection is the whole check.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection: func(s tls.ConnectionState) error {
			return m.refusals.note(port, s.ServerName, m.check(s, x509.ExtKeyUsageServerAuth, false, roles))
		},
	}
}

// BothConfig is for a port whose members connect to each other by one configuration.
func (m *Members) BothConfig(port string, roles ...Role) *tls.Config {
	c, server := m.ClientConfig(port, roles...), m.ServerConfig(port, false, roles)
	// As a server, a connection goes by what this gives, and by nothing else.
	c.GetConfigForClient, c.GetCertificate = server.GetConfigForClient, server.GetCertificate
	c.ClientAuth, c.SessionTicketsDisabled = server.ClientAuth, true
	return c
}

// check is nil if the other end of a connection may be there.
func (m *Members) check(s tls.ConnectionState, usage x509.ExtKeyUsage, self bool, roles []Role) *refusal {
	if len(s.PeerCertificates) == 0 {
		return &refusal{"missing", "it shows no certificate"}
	}
	own, leaf := m.current.Load(), s.PeerCertificates[0]
	if err := chain(leaf, s.PeerCertificates[1:], own.authorities, usage, time.Now()); err != nil {
		return chainRefusal(err, leaf)
	}
	who, err := identityOf(leaf)
	switch {
	case err != nil:
		return &refusal{"identity", "its certificate is none of a fleet: " + err.Error()}
	case who.fleet() != own.identity.fleet():
		return &refusal{"fleet", fmt.Sprintf("its certificate is for %s, which is another fleet than %s", who, own.identity.fleet())}
	case slices.Contains(roles, who.Role), self && bytes.Equal(leaf.Raw, own.certificate.Leaf.Raw):
		return nil
	}
	return &refusal{"role", fmt.Sprintf("its certificate is for %s, and here must be one for %s", who, oneOf(roles))}
}

func chainRefusal(err error, leaf *x509.Certificate) *refusal {
	switch {
	case isExpired(err) && time.Now().Before(leaf.NotBefore):
		return &refusal{"early", fmt.Sprintf("its certificate is good from %s on; is a clock wrong?", leaf.NotBefore.Format(time.RFC3339))}
	case isExpired(err):
		return &refusal{"expired", fmt.Sprintf("its certificate, or one that vouches for it, is over (its own since %s): renew it, or look at the clocks", leaf.NotAfter.Format(time.RFC3339))}
	}
	return &refusal{"untrusted", fmt.Sprintf("its certificate (of %q, by %q) is of no authority in ca.crt: %v", leaf.Subject, leaf.Issuer, err)}
}

// RoleOf is the role in a connection's certificate, once the handshake has taken it.
func RoleOf(s *tls.ConnectionState) Role {
	if s == nil || len(s.PeerCertificates) == 0 {
		return ""
	}
	who, err := identityOf(s.PeerCertificates[0])
	if err != nil {
		return ""
	}
	return who.Role
}

func oneOf(roles []Role) string {
	text := ""
	for i, r := range roles {
		if i > 0 {
			text += " or "
		}
		text += string(r)
	}
	return text
}
