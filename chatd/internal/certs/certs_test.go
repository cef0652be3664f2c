package certs_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/certs/certstest"
)

const (
	store    = "chatfleet://ns/demo/store"
	shard    = "chatfleet://ns/demo/shard"
	operator = "chatfleet://ns/demo/operator"
)

func openMembers(t *testing.T, dir string, log io.Writer, role certs.Role) *certs.Members {
	t.Helper()
	m, err := certs.OpenMembers(dir, slog.New(slog.NewTextHandler(log, nil)), role)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shake has a client and a server shake hands and say a word to each other, and returns each one's error.
func shake(t *testing.T, client, server *tls.Config) (ofClient, ofServer error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			_, err = tls.Server(conn, server).Write([]byte("x"))
		}
		served <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	client = client.Clone()
	client.ServerName = "127.0.0.1"
	_, ofClient = tls.Client(conn, client).Read(make([]byte, 1))
	conn.Close()
	return ofClient, <-served
}

// A port of stores takes a store of the same fleet, and nobody else; both as the one that connects and as the one that is connected to.
func TestWhoIsRefused(t *testing.T) {
	ours, theirs := certstest.New(t), certstest.New(t)
	rows := []struct {
		name   string
		by     *certstest.Authority
		leaf   certstest.Leaf
		reason string // none: taken
		says   string
	}{
		{name: "a store", by: ours, leaf: certstest.Leaf{URIs: []string{store}}},
		{name: "with another system's name beside ours", by: ours, leaf: certstest.Leaf{URIs: []string{"spiffe://x/y", store}}},
		{name: "a shard", by: ours, leaf: certstest.Leaf{URIs: []string{shard}}, reason: "role", says: "for chatfleet://ns/demo/shard, and here must be one for store"},
		{name: "the operator", by: ours, leaf: certstest.Leaf{URIs: []string{operator}}, reason: "role", says: "must be one for store"},
		{name: "a store of another cluster", by: ours, leaf: certstest.Leaf{URIs: []string{"chatfleet://ns/other/store"}}, reason: "fleet", says: "another fleet than ns/demo"},
		{name: "a store of another namespace", by: ours, leaf: certstest.Leaf{URIs: []string{"chatfleet://other/demo/store"}}, reason: "fleet", says: "another fleet than ns/demo"},
		{name: "another authority", by: theirs, leaf: certstest.Leaf{URIs: []string{store}}, reason: "untrusted", says: "of no authority in ca.crt"},
		{name: "expired", by: ours, leaf: certstest.Leaf{URIs: []string{store}, Until: -time.Minute}, reason: "expired", says: "is over"},
		{name: "not yet good", by: ours, leaf: certstest.Leaf{URIs: []string{store}, From: time.Minute}, reason: "early", says: "is a clock wrong?"},
		{name: "no name of ours", by: ours, leaf: certstest.Leaf{DNS: []string{"store-0"}}, reason: "identity", says: "no URI name"},
		{name: "two names of ours", by: ours, leaf: certstest.Leaf{URIs: []string{store, shard}}, reason: "identity", says: "or more than one"},
		{name: "a name with a tail", by: ours, leaf: certstest.Leaf{URIs: []string{store + "/x"}}, reason: "identity"},
		{name: "a name with a query", by: ours, leaf: certstest.Leaf{URIs: []string{store + "?x"}}, reason: "identity"},
		{name: "a name with a user", by: ours, leaf: certstest.Leaf{URIs: []string{"chatfleet://x@ns/demo/store"}}, reason: "identity"},
		{name: "an unknown role", by: ours, leaf: certstest.Leaf{URIs: []string{"chatfleet://ns/demo/admin"}}, reason: "identity", says: "want store, shard"},
		{name: "for neither end", by: ours, leaf: certstest.Leaf{URIs: []string{store}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}, reason: "untrusted", says: "usage"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			certificate, key := row.by.Issue(row.leaf)
			pair, err := tls.X509KeyPair(certificate, key)
			if err != nil {
				t.Fatal(err)
			}
			t.Run("connects", func(t *testing.T) {
				var log bytes.Buffer
				m := openMembers(t, ours.Directory(store), &log, certs.Store)
				_, err := shake(t, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}, m.BothConfig(certs.PortStores, certs.Store))
				judge(t, m, err, log.String(), row.reason, row.says)
			})
			t.Run("is connected to", func(t *testing.T) {
				var log bytes.Buffer
				m := openMembers(t, ours.Directory(store), &log, certs.Store)
				err, _ := shake(t, m.BothConfig(certs.PortStores, certs.Store), &tls.Config{Certificates: []tls.Certificate{pair}})
				judge(t, m, err, log.String(), row.reason, row.says)
			})
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		var log bytes.Buffer
		m := openMembers(t, ours.Directory(store), &log, certs.Store)
		_, err := shake(t, &tls.Config{InsecureSkipVerify: true}, m.BothConfig(certs.PortStores, certs.Store))
		judge(t, m, err, log.String(), "missing", "shows no certificate")
	})
	t.Run("plain", func(t *testing.T) {
		m := openMembers(t, ours.Directory(store), io.Discard, certs.Store)
		c := m.BothConfig(certs.PortStores, certs.Store)
		c.MaxVersion = tls.VersionTLS12
		if _, err := shake(t, c, m.ServerConfig(certs.PortLeaf, false, []certs.Role{certs.Store})); err == nil {
			t.Error("TLS 1.2 was taken")
		}
	})
}

func judge(t *testing.T, m *certs.Members, err error, log, reason, says string) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if !errors.Is(err, certs.ErrRefused) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want a refusal that says %q", err, says)
	}
	if !strings.Contains(log, "refused a connection for its certificate") || strings.Count(log, "\n") != 2 {
		t.Errorf("logged %s", log)
	}
	counter, ok := m.Refusals().(*prometheus.CounterVec)
	if !ok || testutil.ToFloat64(counter.WithLabelValues(certs.PortStores, reason)) != 1 {
		t.Errorf("not counted as %q once", reason)
	}
}

// The very certificate of a member opens its own admin port, and no other of its role does.
func TestAMemberIsItself(t *testing.T) {
	ca := certstest.New(t)
	dir := ca.Directory(store)
	m, other := openMembers(t, dir, io.Discard, certs.Store), openMembers(t, ca.Directory(store), io.Discard, certs.Store)
	server := m.ServerConfig(certs.PortAdmin, true, []certs.Role{certs.Operator})
	if _, err := shake(t, m.ClientConfig(certs.PortAdmin, certs.Store), server); err != nil {
		t.Errorf("the member itself is refused: %v", err)
	}
	if _, err := shake(t, other.ClientConfig(certs.PortAdmin, certs.Store), server); !errors.Is(err, certs.ErrRefused) {
		t.Errorf("another store got %v", err)
	}
}

// New authorities and certificates are taken up one after the other, by members that at no time refuse each other.
func TestAuthoritiesOverlap(t *testing.T) {
	before, after := certstest.New(t), certstest.New(t)
	dirs := []string{before.Directory(store), before.Directory(store)}
	members := []*certs.Members{openMembers(t, dirs[0], t.Output(), certs.Store), openMembers(t, dirs[1], t.Output(), certs.Store)}
	configs := []*tls.Config{members[0].BothConfig(certs.PortStores, certs.Store), members[1].BothConfig(certs.PortStores, certs.Store)}
	leaf := certstest.Leaf{URIs: []string{store}}
	for step, put := range []func(dir string){
		func(dir string) { before.Put(dir, leaf, after) },
		func(dir string) { after.Put(dir, leaf, before) },
		func(dir string) { after.Put(dir, leaf) },
	} {
		for i := range members {
			put(dirs[i])
			members[i].Look()
			for a := range members {
				if client, server := shake(t, configs[a], configs[1-a]); client != nil || server != nil {
					t.Errorf("step %d, member %d: %d to %d: %v, %v", step, i, a, 1-a, client, server)
				}
			}
		}
	}
	stranger := openMembers(t, before.Directory(store, after), io.Discard, certs.Store)
	if _, err := shake(t, stranger.ClientConfig(certs.PortStores, certs.Store), configs[0]); !errors.Is(err, certs.ErrRefused) {
		t.Errorf("the old authority is still taken: %v", err)
	}
}

// A connection goes on when the certificate that it began with is no more.
func TestConnectionsOutliveCertificates(t *testing.T) {
	before, after := certstest.New(t), certstest.New(t)
	dir := before.Directory(store)
	m := openMembers(t, dir, io.Discard, certs.Store)
	near, far := net.Pipe()
	server, client := tls.Server(far, m.BothConfig(certs.PortStores, certs.Store)), tls.Client(near, m.ClientConfig(certs.PortStores, certs.Store))
	go func() { _, _ = io.Copy(server, server) }()
	say := func() {
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	say()
	after.Put(dir, certstest.Leaf{URIs: []string{store}})
	m.Look()
	say()
	client.Close()
}

// What makes no sense changes nothing, is said once, and counted; what is right again is taken up.
func TestBrokenFilesKeepTheOldCertificate(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	good, key := ca.Issue(certstest.Leaf{URIs: []string{store}})
	_, wrongKey := ca.Issue(certstest.Leaf{URIs: []string{store}})
	shards, shardsKey := ca.Issue(certstest.Leaf{URIs: []string{shard}})
	files := func(c, k, a []byte) map[string][]byte {
		return map[string][]byte{"tls.crt": c, "tls.key": k, "ca.crt": a}
	}
	rows := []struct {
		name  string
		files map[string][]byte
		says  string
	}{
		{"empty", files(nil, nil, nil), "tls.crt"},
		{"cut off", files(good[:len(good)/2], key, ca.PEM()), "tls.crt"},
		{"another one's key", files(good, wrongKey, ca.PEM()), "does not match"},
		{"no authorities", files(good, key, nil), "ca.crt: it holds no certificate"},
		{"a key among the authorities", files(good, key, append(ca.PEM(), key...)), "only certificates belong there"},
		{"authorities cut off", files(good, key, ca.PEM()[:100]), "ca.crt"},
		{"authorities that end within one", files(good, key, append(ca.PEM(), ca.PEM()[:100]...)), "within a certificate"},
		{"other authorities alone", files(good, key, other.PEM()), "would not have it"},
		{"a shard's", files(shards, shardsKey, ca.PEM()), "needs one for store"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			dir := ca.Directory(store)
			m := openMembers(t, dir, &log, certs.Store)
			log.Reset()
			certstest.Swap(t, dir, row.files)
			m.Look()
			m.Look()
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "the old one stays") || !strings.Contains(got, row.says) {
				t.Errorf("logged %q, want one line with %q", got, row.says)
			}
			if got := gauge(t, m.Source, "chatd_certificate_files_broken"); got != 1 {
				t.Errorf("broken is %v", got)
			}
			c := m.BothConfig(certs.PortStores, certs.Store)
			if _, err := shake(t, c, c); err != nil {
				t.Errorf("the old certificate does not serve: %v", err)
			}
			until := 30 * time.Minute
			ca.Put(dir, certstest.Leaf{URIs: []string{store}, Until: until})
			m.Look()
			if got := gauge(t, m.Source, "chatd_certificate_files_broken"); got != 0 {
				t.Errorf("broken is %v afterwards", got)
			}
			if got, want := gauge(t, m.Source, "chatd_certificate_expiry_seconds"), time.Now().Add(until).Unix(); int64(got) < want-60 || int64(got) > want {
				t.Errorf("expires at %v, want about %v", int64(got), want)
			}
			if _, err := certs.OpenMembers(brokenDirectory(t, row.files), slog.New(slog.DiscardHandler), certs.Store); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("at a start: %v, want %q", err, row.says)
			}
		})
	}
}

func brokenDirectory(t *testing.T, files map[string][]byte) string {
	dir := t.TempDir()
	certstest.Swap(t, dir, files)
	return dir
}

func gauge(t *testing.T, s *certs.Source, name string) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(certs.Collector{s})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// A member whose certificate is over starts, and waits for the next.
func TestExpiredOwnCertificateIsNoReasonNotToStart(t *testing.T) {
	ca := certstest.New(t)
	dir := t.TempDir()
	ca.Put(dir, certstest.Leaf{URIs: []string{store}, Until: -time.Minute})
	m := openMembers(t, dir, io.Discard, certs.Store)
	peer := openMembers(t, ca.Directory(store), io.Discard, certs.Store)
	if _, err := shake(t, m.ClientConfig(certs.PortStores, certs.Store), peer.BothConfig(certs.PortStores, certs.Store)); !errors.Is(err, certs.ErrRefused) {
		t.Errorf("got %v, want a refusal", err)
	}
	ca.Put(dir, certstest.Leaf{URIs: []string{store}})
	m.Look()
	if _, err := shake(t, m.ClientConfig(certs.PortStores, certs.Store), peer.BothConfig(certs.PortStores, certs.Store)); err != nil {
		t.Errorf("after its renewal: %v", err)
	}
}

// A missing file is named.
func TestMissingFiles(t *testing.T) {
	ca := certstest.New(t)
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		dir := ca.Directory(store)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.OpenMembers(dir, slog.New(slog.DiscardHandler), certs.Store); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
