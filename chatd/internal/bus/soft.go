package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// What is soft is never stored, and may be lost: that somebody types, and who is online. Shards tell each other, but hear the stores
// only (their leaf links are isolated from each other, or every store would know every shard's interest of every other). So a shard
// says it on say.…, one of the stores hears that and says it again on soft.…, where all shards hear it that have the log open.

const (
	// softQueue is how many soft messages may wait for the shard; what does not fit is lost.
	softQueue = 1 << 12
	// relayGroup is the stores: one of them relays each message.
	relayGroup = "relay"
	// softAnswers stands in a subject where a partition would.
	softAnswers = "answers"
)

func (s subjects) say(rest string) string  { return "say." + s.region + "." + rest }
func (s subjects) soft(rest string) string { return "soft." + s.region + "." + rest }

func softLog(partition int, log string) string { return fmt.Sprintf("%d.%s", partition, log) }

// relaySoft begins a store's part. It ends with the embedded server.
func (s *Store) relaySoft() error {
	// A connection of its own: what may be lost must not hold up what may not.
	nc, err := connect(s.srv, s.cfg, "relay")
	if err != nil {
		return err
	}
	prefix := s.subjects.say("")
	_, err = nc.QueueSubscribe(prefix+">", relayGroup, func(m *nats.Msg) {
		_ = nc.Publish(s.subjects.soft(strings.TrimPrefix(m.Subject, prefix)), m.Data) // may be lost
	})
	if err != nil {
		return fmt.Errorf("relaying what shards tell each other: %w", err)
	}
	return nil
}

// SoftReceiver is told what other shards say, and this one itself.
type SoftReceiver interface {
	// Soft brings a message. If it asks for an answer, that is returned; nil is none.
	Soft(log string, m *wire.Soft) *wire.SoftAnswer
}

// Soft is a shard's line to the others.
type Soft struct {
	shard    *Shard
	me       string
	incoming chan *nats.Msg

	mu      sync.Mutex
	hears   map[string]*nats.Subscription
	asks    map[uint64]func(*wire.SoftAnswer)
	lastAsk atomic.Uint64
}

// Soft is the line to the other shards.
func (s *Shard) Soft() *Soft { return s.soft }

func newSoft(s *Shard) *Soft {
	return &Soft{shard: s, me: nuid.Next(), incoming: make(chan *nats.Msg, softQueue),
		hears: make(map[string]*nats.Subscription), asks: make(map[uint64]func(*wire.SoftAnswer))}
}

func (s *Soft) start() error {
	_, err := s.shard.nc.ChanSubscribe(s.shard.subjects.soft(softAnswers+"."+s.me), s.incoming)
	if err != nil {
		return fmt.Errorf("subscribing to answers: %w", err)
	}
	return nil
}

// pump brings what is said to r until ctx ends.
func (s *Soft) pump(ctx context.Context, r SoftReceiver) {
	for {
		select {
		case m := <-s.incoming:
			s.receive(m, r)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Soft) receive(m *nats.Msg, r SoftReceiver) {
	if m.Subject == s.shard.subjects.soft(softAnswers+"."+s.me) {
		answer := new(wire.SoftAnswer)
		if proto.Unmarshal(m.Data, answer) != nil {
			return // no shard of ours sends this
		}
		s.mu.Lock()
		take := s.asks[answer.GetNumber()]
		s.mu.Unlock()
		if take != nil {
			take(answer)
		}
		return
	}
	said := new(wire.Soft)
	if proto.Unmarshal(m.Data, said) != nil {
		return
	}
	answer := r.Soft(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], said)
	if answer == nil || said.GetAsker() == "" {
		return
	}
	answer.Number = said.GetNumber()
	s.publish(softAnswers+"."+said.GetAsker(), answer)
}

// Hear asks for what is said of a log.
func (s *Soft) Hear(partition int, log string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hears[log] != nil {
		return nil
	}
	sub, err := s.shard.nc.ChanSubscribe(s.shard.subjects.soft(softLog(partition, log)), s.incoming)
	if err != nil {
		return fmt.Errorf("hearing log %s: %w", log, err)
	}
	s.hears[log] = sub
	return nil
}

// Unhear ends Hear.
func (s *Soft) Unhear(log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.hears[log]; sub != nil {
		_ = sub.Unsubscribe() // fails only with the connection
		delete(s.hears, log)
	}
}

// Say tells all shards that hear the log, this one too if it does.
func (s *Soft) Say(partition int, log string, m *wire.Soft) { s.publish(softLog(partition, log), m) }

// Gather asks all shards that hear the log, and gives take the answers that come until ctx ends, one at a time.
func (s *Soft) Gather(ctx context.Context, partition int, log string, take func(*wire.SoftAnswer)) {
	n := s.lastAsk.Add(1)
	answers := make(chan *wire.SoftAnswer, softQueue)
	s.mu.Lock()
	s.asks[n] = func(a *wire.SoftAnswer) {
		select {
		case answers <- a:
		default: // there are not so many shards
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.asks, n)
	}()
	s.publish(softLog(partition, log), &wire.Soft{Asker: s.me, Number: n})
	for {
		select {
		case a := <-answers:
			take(a)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Soft) publish(rest string, m proto.Message) {
	data, err := proto.Marshal(m)
	if err == nil {
		_ = s.shard.nc.Publish(s.shard.subjects.say(rest), data) // may be lost
	}
}
