package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// shake has the operator connect to a member that shows a leaf, and gives what the operator thinks of it.
func shake(t *testing.T, authority Authority, leaf Leaf, want string) error {
	t.Helper()
	operator, err := authority.Issue(Names{Identity: Identity("chat", "eu", RoleOperator)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	config, err := ClientConfig(operator.CertificatePEM, operator.KeyPEM, authority.Bundle(), Identity("chat", "eu", want))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(leaf.CertificatePEM, leaf.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() {
		_ = tls.Server(far, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}).Handshake()
	}()
	_ = near.SetDeadline(time.Now().Add(20 * time.Second))
	return tls.Client(near, config).Handshake()
}

// The operator speaks to members of the one fleet alone, and to each as what it is.
func TestWhoTheOperatorSpeaksTo(t *testing.T) {
	now := time.Now()
	ours, theirs := authority(t, now), authority(t, now)
	for _, tt := range []struct {
		name string
		by   Authority
		as   Names
		when time.Time
		says string // none: it does
	}{
		{name: "a shard", by: ours, as: Names{Identity: Identity("chat", "eu", "shard")}},
		{name: "a store in a shard's place", by: ours, as: Names{Identity: Identity("chat", "eu", "store")}, says: "here must be one for chatfleet://chat/eu/shard"},
		{name: "a shard of another fleet", by: ours, as: Names{Identity: Identity("chat", "us", "shard")}, says: "here must be one for"},
		{name: "a shard of another namespace", by: ours, as: Names{Identity: Identity("other", "eu", "shard")}, says: "here must be one for"},
		{name: "a shard of another authority", by: theirs, as: Names{Identity: Identity("chat", "eu", "shard")}, says: "unknown authority"},
		{name: "one whose certificate is over", by: ours, as: Names{Identity: Identity("chat", "eu", "shard")}, when: now.Add(-2 * LeafLife), says: "expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			when := tt.when
			if when.IsZero() {
				when = now
			}
			leaf, err := tt.by.Issue(tt.as, when)
			if err != nil {
				t.Fatal(err)
			}
			err = shake(t, ours, leaf, "shard")
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%v; want %q", err, tt.says)
			}
		})
	}
}

func authority(t *testing.T, now time.Time) Authority {
	t.Helper()
	a, _, _, err := Authority{}.Due(now, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBadIdentity(t *testing.T) {
	a := authority(t, time.Now())
	leaf, err := a.Issue(Names{Identity: Identity("chat", "eu", RoleOperator)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	member := Identity("chat", "eu", "shard")
	if _, err := ClientConfig(nil, nil, a.Bundle(), member); err == nil {
		t.Error("no certificate is taken")
	}
	if _, err := ClientConfig(leaf.CertificatePEM, leaf.KeyPEM, []byte("none"), member); err == nil {
		t.Error("no authority is taken")
	}
}

// The key of test users signs what its public half verifies.
func TestTokenKey(t *testing.T) {
	data, err := NewTokenKey()
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data[keySetFile], &set); err != nil || len(set.Keys) != 1 || set.Keys[0].KeyID == "" || !set.Keys[0].IsPublic() {
		t.Fatalf("%v: %s", err, data[keySetFile])
	}
	key, err := parseKey(data[signingKeyFile])
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(set.Keys[0]); err != nil {
		t.Error(err)
	}
}

func parseKey(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}
