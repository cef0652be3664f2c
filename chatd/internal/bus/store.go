package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/clock"
	"github.com/chatfleet/chatfleet/chatd/internal/election"
	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

const (
	// leaderPoll is how often a store looks which partitions it leads.
	leaderPoll = 20 * time.Millisecond
	// readyPoll is how often a store looks whether it is ready, and readyAgain whether it still is, for which it asks all owners.
	readyPoll  = 500 * time.Millisecond
	readyAgain = time.Second
	// askedAtOnce are how many owners are asked at the same time whether they answer.
	askedAtOnce = 64
	// epochKey is the stream metadata that holds the partition's epoch.
	epochKey = "chatfleet-epoch"
	account  = server.DEFAULT_GLOBAL_ACCOUNT
	// storeRecentBytes of newest events and storeRemembered ids of posts are kept in memory by a store that leads every partition.
	storeRecentBytes = 64 << 20
	storeRemembered  = 1 << 20
)

// Store is a member that keeps logs.
type Store struct {
	cfg            Config
	subjects       subjects
	dir            *dataDir
	srv            *server.Server
	appends        *nats.Conn
	loads, fetches *lane
	js             jetstream.JetStream
	metrics        *owner.Metrics
	led            atomic.Int64
	epochs         []uint32     // of the partitions
	share          atomic.Int32 // see layout; 0 until known
	made           atomic.Bool  // the partitions' streams are there, and epochs is read
	ready          atomic.Pointer[error]
	room           *room
	stepper        stepper
	failed         chan error
	broken         atomic.Bool // the embedded server cannot write its streams any more

	cancel context.CancelFunc
	done   sync.WaitGroup
}

var errStarting = errors.New("starting")

// StartStore starts a store. It returns once the store takes part; Ready tells when it is of use.
func StartStore(cfg Config) (*Store, error) {
	if err := cfg.Validate(true); err != nil {
		return nil, err
	}
	opts, err := storeOptions(cfg)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, subjects: subjects{cfg.Region}, failed: make(chan error, 1), stepper: stepper{wanted: make(chan struct{}, 1)}}
	s.ready.Store(&errStarting)
	if s.dir, err = openDir(cfg.Dir, cfg.label(), cfg.Logger); err != nil {
		return nil, err
	}
	if s.srv, err = start(opts, cfg.Logger, &s.broken); err != nil {
		s.dir.close()
		return nil, err
	}
	if err := s.connect(); err != nil {
		s.srv.Shutdown()
		s.dir.close()
		return nil, err
	}
	if err := s.relaySoft(); err != nil {
		s.srv.Shutdown()
		s.dir.close()
		return nil, err
	}
	s.room = newRoom(cfg, s.appends)
	s.register()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if err := s.keepRevocations(ctx); err != nil {
		cancel()
		s.srv.Shutdown()
		return nil, err
	}
	s.done.Go(func() { s.lead(ctx) })
	s.done.Go(func() { s.watchReady(ctx) })
	s.watchRoom(ctx)
	if !s.alone() {
		s.done.Go(func() { succession{s.srv}.watch(ctx) })
		s.done.Go(func() {
			election.Pulse(ctx, s.srv, func() []string { return slices.Collect(maps.Keys(s.groups())) })
		})
		s.done.Go(func() { s.watchRoutes(ctx) })
		s.done.Go(func() { s.keepSteppingDown(ctx) })
		s.done.Go(func() { s.keepGrowing(ctx) })
	}
	return s, nil
}

func (s *Store) connect() (err error) {
	if s.appends, err = connect(s.srv, s.cfg, "appends"); err != nil {
		return err
	}
	for purpose, l := range map[string]**lane{"loads": &s.loads, "fetches": &s.fetches} {
		if *l, err = newLane(func() (*nats.Conn, error) { return connect(s.srv, s.cfg, purpose) }); err != nil {
			return err
		}
	}
	s.js, err = jetstream.New(s.loads.conns[0])
	return err
}

func (s *Store) register() {
	gauge := func(name, help string, value func() float64) {
		s.cfg.Registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "chatd", Name: name, Help: help}, value))
	}
	gauge("partitions_led", "Partitions that this store owns and takes requests for.", func() float64 { return float64(s.led.Load()) })
	gauge("meta_leader", "1 if this store leads the stores' metadata group.", func() float64 {
		if s.srv.JetStreamIsLeader() {
			return 1
		}
		return 0
	})
	s.metrics = owner.NewMetrics(s.cfg.Registerer)
}

// lead makes the streams, once, and runs an owner for each partition while this store leads it.
func (s *Store) lead(ctx context.Context) {
	terms := make([]*leading, s.cfg.Partitions)
	said := ""
	poll := clock.NewTicker(leaderPoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, t := range terms {
				t.end()
			}
			return
		case <-poll.C:
		}
		if !s.made.Load() {
			made, err := s.makeStreams(ctx)
			if made {
				err = s.readEpochs(ctx)
			}
			if err != nil && ctx.Err() == nil {
				if err.Error() != said { // five times a second, and for minutes if another store is missing
					said = err.Error()
					s.cfg.Logger.Info("waiting for the partitions' streams", "err", err)
				}
				time.Sleep(200 * time.Millisecond)
			}
			s.made.Store(made && err == nil)
			continue
		}
		for p := range terms {
			leads := !s.broken.Load() && (s.alone() || s.srv.JetStreamIsStreamLeader(account, s.subjects.logStream(p)))
			switch {
			case leads && terms[p] == nil:
				terms[p] = s.begin(ctx, p)
			case !leads && terms[p] != nil:
				terms[p].cancel()
				terms[p] = nil
			}
		}
	}
}

// leading is a partition that this store leads.
type leading struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (l *leading) end() {
	if l != nil {
		l.cancel()
		<-l.done
	}
}

func (s *Store) begin(ctx context.Context, partition int) *leading {
	ctx, cancel := context.WithCancel(ctx)
	l := &leading{cancel, make(chan struct{})}
	s.done.Go(func() {
		defer close(l.done)
		defer cancel()
		owner.New(owner.Config{
			Partition: partition, Partitions: s.cfg.Partitions, Epoch: s.epochs[partition],
			Journal: newJournal(s.subjects, partition, s.subjects.stateStream(s.layout().stream(partition)), s.appends, s.loads, s.fetches),
			Link:    &link{s.subjects, partition, s.appends},
			Logger:  s.cfg.Logger, Metrics: s.metrics, Trace: s.cfg.Trace, Full: s.room.Full, Limits: s.cfg.Limits,
			Retain: s.cfg.Retain, Now: s.cfg.Now,
			// A store may come to lead every partition.
			RecentBytes:   max(storeRecentBytes/s.cfg.Partitions, 64<<10),
			MaxRemembered: max(storeRemembered/s.cfg.Partitions, 1024),
		}).Lead(ctx, func(active bool) {
			if active {
				s.led.Add(1)
			} else {
				s.led.Add(-1)
			}
		})
	})
	return l
}

// readEpochs reads all partitions' epochs. They are needed for take-overs, when the API may have no leader to ask.
func (s *Store) readEpochs(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	epochs := make([]uint32, s.cfg.Partitions)
	for p := range epochs {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, readTimeout)
			defer cancel()
			stream, err := s.js.Stream(ctx, s.subjects.logStream(p))
			if err != nil {
				return fmt.Errorf("reading the epoch of partition %d: %w", p, err)
			}
			epoch, err := strconv.ParseUint(stream.CachedInfo().Config.Metadata[epochKey], 10, 32)
			if err != nil || epoch == 0 {
				return fmt.Errorf("the stream %s has no epoch; was it made by hand?", s.subjects.logStream(p))
			}
			epochs[p] = uint32(epoch)
			s.checkRetention(p, stream.CachedInfo().Config)
			return nil
		})
	}
	err := group.Wait()
	s.epochs = epochs
	return err
}

// makeStreams reports whether all streams are there; the store that leads the metadata group makes what is missing.
func (s *Store) makeStreams(ctx context.Context) (bool, error) {
	if !s.alone() {
		if !s.srv.JetStreamIsLeader() {
			return s.haveStreams(ctx)
		}
		if have := len(s.srv.JetStreamClusterPeers()); have < s.cfg.Replicas {
			return false, fmt.Errorf("%d stores have met, %d are needed", have, s.cfg.Replicas)
		}
	}
	epoch := strconv.FormatInt(time.Now().Unix(), 10)
	l, err := s.knownLayout(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) { // the region begins: with the stream that holds its layout
		logs, _ := s.streams(partitionsPerState, epoch)
		if err = s.makeStream(ctx, logs[0]); err == nil {
			l, err = s.knownLayout(ctx)
		}
	}
	if err != nil {
		return false, err
	}
	logs, states := s.streams(l, epoch)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, c := range append(logs, states...) {
		group.Go(func() error { return s.makeStream(ctx, c) })
	}
	err = group.Wait()
	return err == nil, err
}

// streams are the configurations of all streams of the region: of the partitions' events, and of their snapshots.
func (s *Store) streams(l layout, epoch string) (logs, states []jetstream.StreamConfig) {
	common := jetstream.StreamConfig{
		Storage: jetstream.FileStorage, Replicas: s.cfg.Replicas, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		AllowDirect: true,
		// Repeats are found by their ids in the log's state; nothing needs the window.
		Duplicates: 100 * time.Millisecond,
	}
	for k := range l.streams(s.cfg.Partitions) {
		c := common
		c.Name, c.Description, c.MaxMsgsPerSubject = s.subjects.stateStream(k), "snapshots of several partitions' logs", 1
		// Retention is for events: without the snapshots no log could be loaded.
		c.Discard, c.DenyPurge = jetstream.DiscardOld, true
		states = append(states, c)
	}
	for p := range s.cfg.Partitions {
		c := common
		c.Name, c.Subjects, c.Description = s.subjects.logStream(p), []string{s.subjects.log(p, "*")}, "events of a partition's logs"
		c.Metadata = map[string]string{epochKey: epoch, layoutKey: strconv.Itoa(int(l))}
		logs = append(logs, c)
		state := &states[l.stream(p)]
		state.Subjects = append(state.Subjects, s.subjects.state(p, "*"))
	}
	return logs, states
}

func (s *Store) makeStream(ctx context.Context, c jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := s.js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = s.js.CreateStream(ctx, c)
	}
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		err = nil // another store was faster
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", c.Name, err)
	}
	return nil
}

// alone reports whether this is the only store, which leads everything and elects nobody.
func (s *Store) alone() bool { return len(s.cfg.Peers) <= 1 }

// Ready is nil if the store keeps up and every partition has an owner that answers, else it says what is missing.
func (s *Store) Ready() error { return *s.ready.Load() }

func (s *Store) unready(err error) { s.ready.Store(&err) }

func (s *Store) watchReady(ctx context.Context) {
	for {
		err, next := s.probe(ctx), readyAgain
		if s.unready(err); err != nil {
			next = readyPoll
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

func (s *Store) probe(ctx context.Context) error {
	if s.broken.Load() {
		return errGivenUp
	}
	if h := s.srv.Healthz(nil); h.Error != "" {
		return errors.New(h.Error)
	}
	body, err := proto.Marshal(&wire.OwnerRequest{Body: &wire.OwnerRequest_Heads{Heads: &wire.Heads{}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if !s.made.Load() {
		return errors.New("the partitions' streams are not there yet")
	}
	for k := range s.layout().streams(s.cfg.Partitions) {
		state := s.subjects.stateStream(k)
		if !s.alone() && s.srv.JetStreamIsStreamAssigned(account, state) && !s.srv.JetStreamIsStreamCurrent(account, state) {
			return fmt.Errorf("the snapshots of %s are catching up", state)
		}
	}
	var asked errgroup.Group // all at once: what is said together wakes the other stores once
	asked.SetLimit(askedAtOnce)
	for p := range s.cfg.Partitions {
		asked.Go(func() error {
			if _, err := s.loads.conns[0].RequestWithContext(ctx, s.subjects.owner(p), body); err != nil {
				return fmt.Errorf("partition %d has no owner that answers: %w", p, err)
			}
			return nil
		})
	}
	return asked.Wait()
}

// Stop hands over what the store leads and ends it.
func (s *Store) Stop() {
	s.unready(errors.New("stopping"))
	// While its owners still answer: each partition waits for its new owner only.
	s.handOver()
	s.cancel()
	s.done.Wait()
	s.appends.Close()
	s.loads.close()
	s.fetches.close()
	if !s.alone() {
		s.srv.LameDuckShutdown()
	}
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	s.dir.close()
}

// link is an owner's way to the shards.
type link struct {
	subjects
	partition int
	nc        *nats.Conn
}

// Live implements owner.Link. An error means that the process is going: live push is a hint.
func (l *link) Live(log string, event []byte) { _ = l.nc.Publish(l.live(l.partition, log), event) }

// Digest implements owner.Link.
func (l *link) Digest(d *wire.Digest) {
	if data, err := proto.Marshal(d); err == nil {
		_ = l.nc.Publish(l.digest(l.partition), data)
	}
}

// Ask implements owner.Link.
func (l *link) Ask(ctx context.Context, partition int, req *wire.OwnerRequest) (*wire.OwnerReply, error) {
	body, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	m, err := l.nc.RequestWithContext(ctx, l.owner(partition), body)
	if err != nil {
		return nil, fmt.Errorf("asking the owner of partition %d: %w", partition, err)
	}
	reply := new(wire.OwnerReply)
	return reply, proto.Unmarshal(m.Data, reply)
}

// Listen implements owner.Link.
func (l *link) Listen(ask func(*wire.OwnerRequest, func(*wire.OwnerReply))) (func(), error) {
	sub, err := l.nc.Subscribe(l.owner(l.partition), func(m *nats.Msg) {
		req := new(wire.OwnerRequest)
		if err := proto.Unmarshal(m.Data, req); err != nil {
			return // no shard of ours sends this
		}
		ask(req, func(reply *wire.OwnerReply) {
			if data, err := proto.Marshal(reply); err == nil {
				_ = m.Respond(data)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	if err := sub.SetPendingLimits(1<<16, 256<<20); err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
