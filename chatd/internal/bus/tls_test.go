package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/certs/certstest"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/owner/ownertest"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	storeName = "chatfleet://ns/demo/store"
	shardName = "chatfleet://ns/demo/shard"
)

// safeLog is what members log from their goroutines.
type safeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *safeLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// has waits for a line.
func (l *safeLog) has(t *testing.T, what string) {
	t.Helper()
	eventually(t, func() error {
		if !bytes.Contains([]byte(l.text()), []byte(what)) {
			return fmt.Errorf("%q is not in the log:\n%s", what, l.text())
		}
		return nil
	})
}

func members(t *testing.T, dir string, log io.Writer, role certs.Role) *certs.Members {
	t.Helper()
	m, err := certs.OpenMembers(dir, slog.New(slog.NewTextHandler(log, nil)), role)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// securedRegion is a fleet whose members have certificates, each in a directory of its own.
type securedRegion struct {
	*region
	dirs []string
	tls  []*certs.Members
}

func startSecured(t *testing.T, ca *certstest.Authority, partitions int) *securedRegion {
	t.Helper()
	s := &securedRegion{}
	shardDir := ca.Directory(shardName)
	shard := members(t, shardDir, io.Discard, certs.Shard)
	s.region = startRegionWith(t, 3, partitions, func(c *bus.Config) { c.TLS = shard }, func(c *bus.Config) {
		dir := ca.Directory(storeName)
		c.TLS = members(t, dir, io.Discard, certs.Store)
		s.dirs, s.tls = append(s.dirs, dir), append(s.tls, c.TLS)
	})
	s.dirs, s.tls = append(s.dirs, shardDir), append(s.tls, shard)
	return s
}

// The authorities and certificates of a fleet change under posts, member by member, and nobody notices: no link breaks, no post is lost.
func TestCertificatesChangeUnderPosts(t *testing.T) {
	const partitions = 4
	before, after := certstest.New(t), certstest.New(t)
	r := startSecured(t, before, partitions)
	logs := logPerPartition(partitions)
	for _, log := range logs {
		r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
			Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}})
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &posted{acked: map[string]map[uint64]uint64{}}
	var posters sync.WaitGroup
	for i := range 2 * partitions {
		posters.Go(func() { r.keepPosting(ctx, t, p, logs[i%partitions], uint64(i)<<32) })
	}
	links := r.shard.Links() + r.stores[0].Links()
	for _, by := range []struct {
		signs  *certstest.Authority
		trusts []*certstest.Authority
	}{{before, []*certstest.Authority{after}}, {after, []*certstest.Authority{before}}, {after, nil}} {
		for i, dir := range r.dirs {
			name := storeName
			if i == len(r.dirs)-1 {
				name = shardName
			}
			by.signs.Put(dir, certstest.Leaf{URIs: []string{name}}, by.trusts...)
			r.tls[i].Look()
			time.Sleep(50 * time.Millisecond)
		}
	}
	if got := r.shard.Links() + r.stores[0].Links(); got != links {
		t.Errorf("links were %s, and are %s", links, got)
	}
	// A store that starts anew links by what is in force now.
	r.stores[2].Stop()
	c := r.configs[2]
	c.Registerer = prometheus.NewRegistry()
	s, err := bus.StartStore(c)
	if err != nil {
		t.Fatal(err)
	}
	r.stores[2] = s
	eventually(t, s.Ready)
	stop()
	posters.Wait()
	p.check(t, r.stores[0], logs)
}

// check holds what was acknowledged against what the streams hold.
func (p *posted) check(t *testing.T, s *bus.Store, logs []string) (total int) {
	t.Helper()
	for part, log := range logs {
		stream, err := ownertest.Read(readStream(t, s, part))
		if err != nil {
			t.Errorf("partition %d: %v", part, err)
			continue
		}
		for id, pts := range p.acked[log] {
			if got := stream.At(log, pts); got != id {
				t.Errorf("post %d of log %s was acknowledged at %d, where %d stands", id, log, pts, got)
			}
		}
		total += len(p.acked[log])
	}
	if total == 0 {
		t.Error("nothing was acknowledged")
	}
	return total
}

// A member with a certificate that is not for its place stays outside, says so, and comes in when it has the right one.
func TestWrongCertificatesStayOutside(t *testing.T) {
	const partitions = 2
	ca, stranger := certstest.New(t), certstest.New(t)
	var storesSay safeLog
	r := startRegionWith(t, 3, partitions, func(c *bus.Config) { c.TLS = members(t, ca.Directory(shardName), io.Discard, certs.Shard) }, func(c *bus.Config) {
		c.TLS = members(t, ca.Directory(storeName), &storesSay, certs.Store)
	})
	leaf := func(uri string) certstest.Leaf { return certstest.Leaf{URIs: []string{uri}} }
	for _, row := range []struct {
		name       string
		by         *certstest.Authority
		leaf       certstest.Leaf
		role       certs.Role
		storesSay  string
		memberSays string
	}{
		{"another cluster's", ca, leaf("chatfleet://ns/other/shard"), certs.Shard, "", "another fleet than ns/other"},
		{"expired", ca, certstest.Leaf{URIs: []string{shardName}, Until: -time.Minute}, certs.Shard, "is over", "still no link to a store"},
		{"of another authority", stranger, leaf(shardName), certs.Shard, "", "of no authority in ca.crt"},
		{"a store's", ca, leaf(storeName), certs.Store, "here must be one for shard", "still no link to a store"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var says safeLog
			dir := t.TempDir()
			row.by.Put(dir, row.leaf)
			m := members(t, dir, &says, row.role)
			sh := startShard(t, r, &says, m)
			says.has(t, row.memberSays)
			if row.storesSay != "" {
				storesSay.has(t, row.storesSay)
			}
			if err := sh.Ready(); err == nil {
				t.Error("it is linked")
			}
			if row.role != certs.Shard {
				return
			}
			ca.Put(dir, leaf(shardName))
			m.Look()
			eventually(t, sh.Ready)
		})
	}
	t.Run("none", func(t *testing.T) {
		var says safeLog
		sh := startShard(t, r, &says, nil)
		says.has(t, "certificate signed by unknown authority")
		if err := sh.Ready(); err == nil {
			t.Error("it is linked")
		}
	})
	t.Run("a shard's as a store", func(t *testing.T) {
		var says safeLog
		c := r.configs[2]
		r.stores[2].Stop()
		c.Registerer, c.Logger = prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&says, nil))
		c.TLS = members(t, ca.Directory(shardName), &says, certs.Shard)
		s, err := bus.StartStore(c)
		if err != nil {
			t.Fatal(err)
		}
		storesSay.has(t, "its certificate is for chatfleet://ns/demo/shard, and here must be one for store")
		if n := s.Routes(); n != 0 {
			t.Errorf("it has %d routes", n)
		}
		if err := s.Ready(); err == nil {
			t.Error("it is ready")
		}
		s.Stop()
		c.Registerer, c.Logger, c.TLS = prometheus.NewRegistry(), r.configs[2].Logger, r.configs[2].TLS
		if s, err = bus.StartStore(c); err != nil {
			t.Fatal(err)
		}
		r.stores[2] = s
		eventually(t, s.Ready)
	})
}

// A secret of another region beside a good certificate is refused as without certificates.
func TestTheSecretStillCounts(t *testing.T) {
	ca := certstest.New(t)
	r := startSecured(t, ca, 1)
	c := r.configs[0]
	c.Name, c.Secret, c.Stores = "stranger", []byte("another secret of the region"), []string{c.LeafListen}
	c.Logger, c.Registerer = slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	c.TLS = members(t, ca.Directory(shardName), io.Discard, certs.Shard)
	sh, err := bus.StartShard(c)
	if err != nil {
		t.Fatal(err)
	}
	defer sh.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	log := logPerPartition(1)[0]
	if _, err := sh.Ask(ctx, logid.Partition(log, 1), &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Heads{Heads: &wire.Heads{}}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stranger was answered: %v", err)
	}
}

func startShard(t *testing.T, r *region, says io.Writer, m *certs.Members) *bus.Shard {
	t.Helper()
	c := r.configs[0]
	c.Name, c.TLS, c.Logger, c.Registerer = "shard-1", m, slog.New(slog.NewTextHandler(says, nil)), prometheus.NewRegistry()
	for _, s := range r.configs {
		c.Stores = append(c.Stores, s.LeafListen)
	}
	sh, err := bus.StartShard(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sh.Stop)
	if err := sh.Start(ignoring{}); err != nil {
		t.Fatal(err)
	}
	return sh
}

type ignoring struct{}

func (ignoring) Live(string, []byte)      {}
func (ignoring) Digest(int, *wire.Digest) {}
func (ignoring) Relinked()                {}
