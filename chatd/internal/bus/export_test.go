package bus

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream lets a test look at, and do without the owner, what only the owner does.
func (s *Store) JetStream() jetstream.JetStream { return s.js }

// Conn is a connection inside the store.
func (s *Store) Conn() *nats.Conn { return s.appends }

// LogStream is the name of a partition's stream of events.
func (s *Store) LogStream(partition int) string { return s.subjects.logStream(partition) }

// Live is the subject of a log's live events.
func (s *Store) Live(partition int, log string) string { return s.subjects.live(partition, log) }

// StepDown makes another store lead a partition's stream of events.
func (s *Store) StepDown(partition int) {
	_ = s.srv.JetStreamStepdownStream(account, s.subjects.logStream(partition))
}

// Routes are the connections to other stores.
func (s *Store) Routes() int { return s.srv.NumRoutes() }

// Links names the connections to other members; others have other names.
func (s *Store) Links() string { return links(s.srv) }

// Links is the same of a shard.
func (s *Shard) Links() string { return links(s.srv) }

func links(srv *server.Server) string {
	var all []string
	if z, err := srv.Routez(nil); err == nil {
		for _, r := range z.Routes {
			all = append(all, fmt.Sprint("route ", r.Rid, " ", r.Start))
		}
	}
	if z, err := srv.Leafz(nil); err == nil {
		for _, l := range z.Leafs {
			all = append(all, fmt.Sprint("leaf ", l.ID, " ", l.IP, l.Port))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// Begin makes a region as programs did that gave each partition a stream of snapshots of its own, for a store that is alone.
func (c Config) Begin() error {
	opts, err := storeOptions(c)
	if err != nil {
		return err
	}
	s := &Store{cfg: c.withDefaults(), subjects: subjects{c.Region}}
	if s.srv, err = start(opts, s.cfg.Logger, &s.broken); err != nil {
		return err
	}
	defer s.srv.WaitForShutdown()
	defer s.srv.Shutdown()
	if err := s.connect(); err != nil {
		return err
	}
	logs, states := s.streams(1, "7")
	for _, stream := range append(logs, states...) {
		delete(stream.Metadata, layoutKey)
		if err := s.makeStream(context.Background(), stream); err != nil {
			return err
		}
	}
	return nil
}

// Turn is turn.
var Turn = turn

// Terms are how many elections each of a store's groups has seen.
func Terms(s *Store) map[string]uint64 {
	terms := map[string]uint64{}
	for name, g := range s.groups() {
		terms[name] = g.Term
	}
	return terms
}
