package bus

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/trace"
)

// Durability says when a post is acknowledged.
type Durability string

const (
	// Fsync is once a quorum of stores has it on disk. Nothing acknowledged is lost by a power cut of all of them.
	Fsync Durability = "Fsync"
	// Replicated is once a quorum of stores has it; the disk follows within syncEvery. A power cut of a quorum within that time loses it.
	Replicated Durability = "Replicated"
)

// syncEvery is how often a store syncs to disk under Replicated.
const syncEvery = 10 * time.Second

// Config of a store or a shard.
type Config struct {
	// Name of this member among all stores and shards of the region; of a store, as lasting as its volume.
	Name   string
	Region string
	// Partitions of the region; never changes.
	Partitions int
	// Secret that all members of the region share.
	Secret []byte
	// Logger of the member, and of the embedded server at the levels Warn and above.
	Logger     *slog.Logger          `json:"-"`
	Registerer prometheus.Registerer `json:"-"`
	// Trace follows posts through a store; nil follows none.
	Trace *trace.Tracer `json:"-"`
	// TLS is what members show each other, and ask of each other. Nil: they speak in plain, and the secret is all that they know each other by.
	TLS *certs.Members `json:"-"`
	// Now is the clock by which a store's owners stamp events and judge their age. Default time.Now.
	Now func() time.Time `json:"-"`

	// Of a store.

	// Dir keeps the streams.
	Dir        string
	Durability Durability
	// Replicas of each stream: 1, 3 or 5.
	Replicas int
	// ClusterListen is where other stores connect, Peers are all stores' ClusterListen. Empty for a single store.
	ClusterListen string
	Peers         []string
	// FullAt is the part of a store's volume that may be in use; from then on owners refuse what makes logs grow. Default 0.85.
	FullAt float64
	// Retain says which events go. Default none. The same at every store, or it is what the owner's store says.
	Retain owner.Retention
	// Limits of logs and users. Default none.
	Limits chatlog.Limits
	// LeafListen is where shards connect. Empty for none.
	LeafListen string

	// Of a shard: the stores' LeafListen.
	Stores []string
}

var (
	nameRule   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	regionRule = regexp.MustCompile(`^[a-z0-9]{1,32}$`)
)

func (c Config) withDefaults() Config {
	if c.FullAt == 0 {
		c.FullAt = 0.85
	}
	return c
}

// Validate says what is wrong with the configuration of a store or a shard.
func (c Config) Validate(store bool) error {
	switch {
	case !nameRule.MatchString(c.Name):
		return fmt.Errorf("name %q: want lower-case letters, digits and hyphens, at most 63", c.Name)
	case !regionRule.MatchString(c.Region):
		return fmt.Errorf("region %q: want lower-case letters and digits, at most 32", c.Region)
	case c.Partitions < 1 || c.Partitions > 1024:
		return fmt.Errorf("partitions %d: want 1 to 1024", c.Partitions)
	case len(c.Secret) < 16:
		return fmt.Errorf("the cluster secret has %d bytes: want at least 16", len(c.Secret))
	}
	if !store {
		if len(c.Stores) == 0 {
			return fmt.Errorf("a shard needs the leaf addresses of the stores")
		}
		return nil
	}
	switch {
	case c.Dir == "":
		return fmt.Errorf("a store needs a data directory")
	case c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5:
		return fmt.Errorf("replicas %d: want 1, 3 or 5", c.Replicas)
	case c.Durability != Fsync && c.Durability != Replicated:
		return fmt.Errorf("durability %q: want %s or %s", c.Durability, Fsync, Replicated)
	case c.FullAt != 0 && (c.FullAt < 0.1 || c.FullAt > 0.95):
		return fmt.Errorf("full at %v of the volume: want 0.1 to 0.95", c.FullAt)
	case c.Retain.Age < 0:
		return fmt.Errorf("retain age %v: want a time, or 0 for no end", c.Retain.Age)
	case c.Replicas > 1 && len(c.Peers) < c.Replicas:
		return fmt.Errorf("%d replicas need the addresses of as many stores, and %d are given", c.Replicas, len(c.Peers))
	case len(c.Peers) == 2:
		return fmt.Errorf("2 stores: want 1, 3 or 5, since the loss of one of two stops the other")
	case len(c.Peers) > 1 && c.ClusterListen == "":
		return fmt.Errorf("a store among others needs an address to listen on for them")
	}
	return nil
}

// password is the password of one use of the region's secret.
func (c Config) password(use string) string {
	mac := hmac.New(sha256.New, c.Secret)
	mac.Write([]byte("chatfleet " + c.Region + " " + use))
	return hex.EncodeToString(mac.Sum(nil))
}

// subjects of a region.
type subjects struct{ region string }

func (s subjects) log(partition int, log string) string {
	return fmt.Sprintf("log.%s.%d.%s", s.region, partition, log)
}
func (s subjects) state(partition int, log string) string {
	return fmt.Sprintf("state.%s.%d.%s", s.region, partition, log)
}
func (s subjects) owner(partition int) string { return fmt.Sprintf("own.%s.%d", s.region, partition) }
func (s subjects) live(partition int, log string) string {
	return fmt.Sprintf("live.%s.%d.%s", s.region, partition, log)
}
func (s subjects) digest(partition int) string {
	return fmt.Sprintf("digest.%s.%d", s.region, partition)
}
func (s subjects) logStream(partition int) string {
	return fmt.Sprintf("LOG-%s-%d", s.region, partition)
}
func (s subjects) stateStream(k int) string {
	return fmt.Sprintf("STATE-%s-%d", s.region, k)
}
