package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

const (
	// askAgain is how long an owner may take before it is asked again; each time twice as long, up to maxAskAgain. A new owner is
	// asked at once, since its first digest tells.
	askAgain    = 250 * time.Millisecond
	maxAskAgain = time.Second
	// ownerSilent is longer than an owner that can be heard says nothing; it sends a digest every half second.
	ownerSilent = 900 * time.Millisecond
	// noOwnerPause is the pause after nobody listened: a new owner takes over within milliseconds of its election.
	noOwnerPause = 20 * time.Millisecond
	// liveQueue is how many live messages may wait for the shard; what does not fit is lost, and healed by the digests.
	liveQueue = 1 << 16
	// linkPoll is how often the link to the stores is looked at.
	linkPoll = 50 * time.Millisecond
	// unlinkedFirst and unlinkedEvery are when it is logged that there is none. Who is refused is not told why.
	unlinkedFirst, unlinkedEvery = 5 * time.Second, time.Minute
)

// Receiver is told what the stores send. All calls come from one goroutine, in the order in which the messages came.
type Receiver interface {
	// Live brings a stored event (wire.StoredEvent).
	Live(log string, stored []byte)
	Digest(partition int, d *wire.Digest)
	// Relinked says that the link to the stores was down: anything may have been missed.
	Relinked()
}

// Shard is a member that holds sessions.
type Shard struct {
	cfg      Config
	subjects subjects
	srv      *server.Server
	ownsSrv  bool
	nc       *nats.Conn
	incoming chan *nats.Msg

	mu      sync.Mutex
	follows map[string]*nats.Subscription
	tries   map[uint64]waiting
	lastTry uint64
	owners  map[int]ownerHeard // by partition; the pump's own

	soft *Soft

	revocations *revocationFollower // nil: nobody wants to know

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// StartShard starts a server that joins the stores as a leaf node. It returns at once; Ready tells whether it is linked.
func StartShard(cfg Config) (*Shard, error) {
	if err := cfg.Validate(false); err != nil {
		return nil, err
	}
	opts, err := shardOptions(cfg)
	if err != nil {
		return nil, err
	}
	srv, err := start(opts, cfg.Logger, new(atomic.Bool))
	if err != nil {
		return nil, err
	}
	s, err := newShard(cfg, srv, true)
	if err != nil {
		srv.Shutdown()
	}
	return s, err
}

// Shard is a shard in the store's own process, which needs no link.
func (s *Store) Shard() (*Shard, error) { return newShard(s.cfg, s.srv, false) }

func newShard(cfg Config, srv *server.Server, ownsSrv bool) (*Shard, error) {
	nc, err := connect(srv, cfg, "shard")
	if err != nil {
		return nil, err
	}
	s := &Shard{
		cfg: cfg, subjects: subjects{cfg.Region}, srv: srv, ownsSrv: ownsSrv, nc: nc,
		incoming: make(chan *nats.Msg, liveQueue), follows: make(map[string]*nats.Subscription), tries: make(map[uint64]waiting), owners: make(map[int]ownerHeard),
	}
	s.soft = newSoft(s)
	return s, nil
}

// Start brings what the stores send to r, until Stop, and what other shards say if r is a SoftReceiver.
func (s *Shard) Start(r Receiver) error {
	if _, err := s.nc.ChanSubscribe("digest."+s.cfg.Region+".*", s.incoming); err != nil {
		return fmt.Errorf("subscribing to digests: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.done.Go(func() { s.pump(ctx, r) })
	if soft, ok := r.(SoftReceiver); ok {
		if err := s.soft.start(); err != nil {
			return err
		}
		s.done.Go(func() { s.soft.pump(ctx, soft) })
	}
	if s.revocations != nil {
		s.done.Go(func() { s.followRevocations(ctx) })
	}
	return nil
}

func (s *Shard) pump(ctx context.Context, r Receiver) {
	poll := time.NewTicker(linkPoll)
	defer poll.Stop()
	linked, say := s.linked(), time.Now().Add(unlinkedFirst)
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-s.incoming:
			s.receive(m, r)
		case <-poll.C:
			now := s.linked()
			if now && !linked {
				s.tryAgain(allPartitions)
				r.Relinked()
			}
			if now != linked {
				s.cfg.Logger.Info("link to the stores", "up", now)
			}
			if now {
				say = time.Now().Add(unlinkedFirst)
			} else if time.Now().After(say) {
				s.cfg.Logger.Warn("still no link to a store; if they run, their logs say whether they refuse this shard, and why", "stores", s.cfg.Stores)
				say = time.Now().Add(unlinkedEvery)
			}
			linked = now
		}
	}
}

func (s *Shard) receive(m *nats.Msg, r Receiver) {
	kind, rest, _ := strings.Cut(m.Subject, ".")
	last := rest[strings.LastIndexByte(rest, '.')+1:]
	if kind == "live" {
		r.Live(last, m.Data)
		return
	}
	if last == revoked {
		d := new(wire.RevocationDigest)
		if proto.Unmarshal(m.Data, d) == nil && s.revocations != nil {
			s.revocations.heard(d)
		}
		return
	}
	d := new(wire.Digest)
	partition, err := strconv.Atoi(last)
	if err == nil {
		err = proto.Unmarshal(m.Data, d)
	}
	if err != nil {
		s.cfg.Logger.Error("not a digest", "subject", m.Subject, "err", err)
		return
	}
	s.heard(partition, d.Term)
	r.Digest(partition, d)
}

// heard notes that a partition's owner speaks. Who asks a new owner, or one that was not heard for a while, asks again at once.
func (s *Shard) heard(partition int, term uint64) {
	now, before := time.Now(), s.owners[partition]
	s.owners[partition] = ownerHeard{term, now}
	if before.term != term || now.Sub(before.at) > ownerSilent {
		s.tryAgain(partition)
	}
}

// ownerHeard is when a partition's owner was heard last, and in which term.
type ownerHeard struct {
	term uint64
	at   time.Time
}

func (s *Shard) linked() bool { return !s.ownsSrv || s.srv.NumLeafNodes() > 0 }

// Ready is nil if the shard is linked to the stores, and knows what they know of revoked tokens.
func (s *Shard) Ready() error {
	switch {
	case !s.linked():
		return errors.New("no link to a store")
	case s.revocations != nil && !s.revocations.complete():
		return errors.New("the list of revoked tokens is not there yet")
	}
	return nil
}

// Ask sends a request to the owner of a partition, and sends it again until it is answered or ctx ends.
func (s *Shard) Ask(ctx context.Context, partition int, req *wire.OwnerRequest) (*wire.OwnerReply, error) {
	body, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be sent: %w", err)
	}
	subject := s.subjects.owner(partition)
	for wait := askAgain; ; wait = min(2*wait, maxAskAgain) {
		// Jittered, so that what was cut off together does not come back together.
		m, err := s.try(ctx, partition, subject, body, wait+rand.N(wait/4))
		switch {
		case err == nil:
			reply := new(wire.OwnerReply)
			if err := proto.Unmarshal(m.Data, reply); err != nil {
				return nil, fmt.Errorf("the owner's reply: %w", err)
			}
			return reply, nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return nil, errors.New("this shard is stopping")
		case errors.Is(err, nats.ErrNoResponders):
			wait = askAgain
			select {
			case <-time.After(noOwnerPause):
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the owner of partition %d did not answer: %w", partition, ctx.Err())
		}
	}
}

// try asks once and waits for the answer: so long, or until there is a new link to the stores or a new owner, since what was sent
// before may never arrive.
func (s *Shard) try(ctx context.Context, partition int, subject string, body []byte, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	s.mu.Lock()
	s.lastTry++
	n := s.lastTry
	s.tries[n] = waiting{partition, cancel}
	s.mu.Unlock()
	defer func() {
		cancel()
		s.mu.Lock()
		delete(s.tries, n)
		s.mu.Unlock()
	}()
	return s.nc.RequestWithContext(ctx, subject, body)
}

// waiting is a request that waits for its answer.
type waiting struct {
	partition int
	again     context.CancelFunc
}

// allPartitions is for tryAgain.
const allPartitions = -1

// tryAgain makes everybody who waits for a partition's owner ask again at once.
func (s *Shard) tryAgain(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.tries {
		if partition == allPartitions || w.partition == partition {
			w.again()
		}
	}
}

// Follow asks for the live events of a log. What is asked of the log's owner after Follow has returned is asked with the
// interest in force.
func (s *Shard) Follow(partition int, log string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follows[log] != nil {
		return nil
	}
	sub, err := s.nc.ChanSubscribe(s.subjects.live(partition, log), s.incoming)
	if err != nil {
		return fmt.Errorf("following log %s: %w", log, err)
	}
	s.follows[log] = sub
	return nil
}

// Unfollow ends Follow.
func (s *Shard) Unfollow(_ int, log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.follows[log]; sub != nil {
		_ = sub.Unsubscribe() // fails only with the connection
		delete(s.follows, log)
	}
}

// Stop ends the shard's link.
func (s *Shard) Stop() {
	if s.cancel != nil {
		s.cancel()
	}
	s.done.Wait()
	s.nc.Close()
	if s.ownsSrv {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
	}
}
