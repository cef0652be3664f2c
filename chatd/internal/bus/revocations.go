package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// The list of revoked tokens is a stream of its own. The store that leads it takes additions and answers reads on own.<region>.revoked,
// and says how far the list is on digest.<region>.revoked: at once after an addition, and every digestEvery for those who missed that.

const (
	revoked = "revoked"
	// digestEvery is how often shards are told how far the list is.
	digestEvery = 500 * time.Millisecond
	// maxRevocations bounds the list, in the stores and so in every shard. Who has more to revoke changes the issuer's keys.
	maxRevocations = 200_000
	// revocationPage is how many are read at once.
	revocationPage = 250
	// maxListRequests is how many requests a store serves at once; others are sent again.
	maxListRequests = 8
)

func (s subjects) revoked(list string) string { return fmt.Sprintf("revoked.%s.%s", s.region, list) }
func (s subjects) revokedStream() string      { return "REVOKED-" + s.region }
func (s subjects) revokedOwner() string       { return "own." + s.region + "." + revoked }
func (s subjects) revokedDigest() string      { return "digest." + s.region + "." + revoked }

// keeper is a store's part in keeping the list.
type keeper struct {
	*Store
	nc    *nats.Conn
	js    jetstream.JetStream
	epoch int64
	slots chan struct{}
}

// keepRevocations keeps the list of revoked tokens until ctx ends.
func (s *Store) keepRevocations(ctx context.Context) error {
	nc, err := connect(s.srv, s.cfg, "revocations")
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return err
	}
	k := &keeper{Store: s, nc: nc, js: js, slots: make(chan struct{}, maxListRequests)}
	s.done.Go(func() {
		defer nc.Close()
		k.run(ctx)
	})
	return nil
}

func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(digestEvery)
	defer tick.Stop()
	var sub *nats.Subscription
	defer func() {
		if sub != nil {
			_ = sub.Unsubscribe() // fails only with the connection
		}
		for range maxListRequests { // those under way
			k.slots <- struct{}{}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if sub == nil {
			if !k.made.Load() || k.makeList(ctx) != nil {
				continue // the partitions' streams say in the log what is missing
			}
			var err error
			if sub, err = k.nc.Subscribe(k.subjects.revokedOwner(), func(m *nats.Msg) { k.serve(ctx, m) }); err != nil {
				k.cfg.Logger.Error("the list of revoked tokens is not served", "err", err)
				return
			}
		}
		if k.leads() {
			if last, _, err := k.state(ctx); err == nil {
				k.tell(&wire.RevocationDigest{Epoch: k.epoch, Last: last})
			}
		}
	}
}

func (k *keeper) leads() bool {
	return k.alone() || k.srv.JetStreamIsStreamLeader(account, k.subjects.revokedStream())
}

// makeList makes the list's stream if it is not there.
func (k *keeper) makeList(ctx context.Context) error {
	err := k.makeStream(ctx, jetstream.StreamConfig{
		Name: k.subjects.revokedStream(), Subjects: []string{k.subjects.revoked("*")}, Description: "revoked tokens",
		Storage: jetstream.FileStorage, Replicas: k.cfg.Replicas, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: 1, MaxMsgs: maxRevocations, MaxAge: token.KeepRevoked, AllowDirect: true, DenyPurge: true, Duplicates: 100 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stream, err := k.js.Stream(ctx, k.subjects.revokedStream())
	if err != nil {
		return err
	}
	k.epoch = stream.CachedInfo().Created.UnixNano()
	return nil
}

// state is the sequence of the newest revocation, and how many there are.
func (k *keeper) state(ctx context.Context) (last, number uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stream, err := k.js.Stream(ctx, k.subjects.revokedStream())
	if err != nil {
		return 0, 0, fmt.Errorf("the list of revoked tokens: %w", err)
	}
	state := stream.CachedInfo().State
	return state.LastSeq, state.Msgs, nil
}

func (k *keeper) tell(d *wire.RevocationDigest) {
	if data, err := proto.Marshal(d); err == nil {
		_ = k.nc.Publish(k.subjects.revokedDigest(), data) // said again in digestEvery
	}
}

// serve answers a request if this store leads the list, off the connection's goroutine.
func (k *keeper) serve(ctx context.Context, m *nats.Msg) {
	req := new(wire.RevocationRequest)
	if proto.Unmarshal(m.Data, req) != nil || !k.leads() {
		return
	}
	select {
	case k.slots <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-k.slots }() // run waits for it
		reply, err := k.answer(ctx, req)
		if err != nil {
			reply = &wire.RevocationReply{Error: err.Error()}
		}
		if data, err := proto.Marshal(reply); err == nil {
			_ = m.Respond(data)
		}
	}()
}

func (k *keeper) answer(ctx context.Context, req *wire.RevocationRequest) (*wire.RevocationReply, error) {
	switch body := req.GetBody().(type) {
	case *wire.RevocationRequest_Add:
		return k.add(ctx, body.Add)
	case *wire.RevocationRequest_Read:
		return k.read(ctx, body.Read.GetAfter())
	}
	return nil, errors.New("a request that this store does not know; is it older than the shard?")
}

// add stores a revocation, in place of an older one of the same user, session or token.
func (k *keeper) add(ctx context.Context, r *wire.Revocation) (*wire.RevocationReply, error) {
	data, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	// Hashed: what comes from outside is no part of a subject.
	name := sha256.Sum256([]byte(r.GetUser() + "\x00" + r.GetSession() + "\x00" + r.GetToken()))
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	ack, err := k.js.Publish(ctx, k.subjects.revoked(hex.EncodeToString(name[:16])), data)
	if err != nil {
		return nil, fmt.Errorf("storing a revocation: %w", err)
	}
	k.tell(&wire.RevocationDigest{Epoch: k.epoch, Last: ack.Sequence, Added: r})
	return &wire.RevocationReply{Epoch: k.epoch, Last: ack.Sequence}, nil
}

// read returns the next revocations after a sequence. A replica that is behind may serve it: then up_to is before last, and the shard
// asks again.
func (k *keeper) read(ctx context.Context, after uint64) (*wire.RevocationReply, error) {
	last, number, err := k.state(ctx)
	if err != nil {
		return nil, err
	}
	reply := &wire.RevocationReply{Epoch: k.epoch, Last: last, UpTo: after}
	if number == 0 {
		reply.UpTo = last
	}
	if reply.GetUpTo() >= last {
		return reply, nil
	}
	var reader journal
	req := getRequest{Seq: after + 1, Batch: revocationPage, MaxBytes: 4 << 20}
	err = patiently(func(patience time.Duration) error {
		_, err := reader.batch(ctx, k.fetches, "$JS.API.DIRECT.GET."+k.subjects.revokedStream(), req, patience, func(m *nats.Msg) error {
			seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
			if err != nil {
				return fmt.Errorf("a stored revocation without a sequence: %w", err)
			}
			r := new(wire.Revocation)
			if err := proto.Unmarshal(m.Data, r); err != nil {
				return fmt.Errorf("the stored revocation %d: %w", seq, err)
			}
			reply.Revocations, reply.UpTo = append(reply.Revocations, r), seq
			return nil
		})
		if errors.Is(err, errSilent) && reply.GetUpTo() > after {
			return nil // what has come is a page, too
		}
		return err
	})
	return reply, err
}
