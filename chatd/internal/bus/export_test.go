package bus

import (
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

// Turn is turn.
var Turn = turn
