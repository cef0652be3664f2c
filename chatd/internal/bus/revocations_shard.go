package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

const (
	// revokedPartition stands for the list of revoked tokens where partitions are numbered.
	revokedPartition = -2
	// revokedAgain is the pause before a list is read again that could not be read to its end.
	revokedAgain = 100 * time.Millisecond
	// readRevokedWithin is how long one page may take before it is asked for anew.
	readRevokedWithin = 10 * time.Second
)

// Revocations is told what was revoked, by one goroutine at a time.
type Revocations interface {
	// Revoked brings what was added to the list. The same may come more than once.
	Revoked(all []token.Revocation)
	// AllRevoked says that all that was revoked up to now has come. It is said again as long as the stores say so.
	AllRevoked()
}

// revocationFollower is a shard's part in the list of revoked tokens.
type revocationFollower struct {
	to Revocations
	// moved tells that told has changed.
	moved chan struct{}

	mu    sync.Mutex
	told  *wire.RevocationDigest
	added []*wire.Revocation
	done  bool
}

// FollowRevocations brings what is revoked to r, from Start on: first all that there is.
func (s *Shard) FollowRevocations(r Revocations) {
	s.revocations = &revocationFollower{to: r, moved: make(chan struct{}, 1), told: new(wire.RevocationDigest)}
}

// heard takes a digest of the list. It must not wait.
func (f *revocationFollower) heard(d *wire.RevocationDigest) {
	f.mu.Lock()
	f.told = d
	if d.GetAdded() != nil && len(f.added) < maxRevocations {
		f.added = append(f.added, d.GetAdded())
	}
	f.mu.Unlock()
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// take returns what is told, and what was added since it was called last.
func (f *revocationFollower) take() (*wire.RevocationDigest, []*wire.Revocation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	added := f.added
	f.added = nil
	return f.told, added
}

func (f *revocationFollower) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// followRevocations keeps the shard's list as the stores' is, until ctx ends.
func (s *Shard) followRevocations(ctx context.Context) {
	f := s.revocations
	var epoch int64
	var after uint64
	for again := true; ; {
		told, added := f.take()
		if len(added) > 0 {
			f.to.Revoked(fromWire(added))
		}
		if again || told.GetEpoch() != 0 && (told.GetEpoch() != epoch || told.GetLast() > after) {
			var err error
			if epoch, after, err = s.readRevocations(ctx, epoch, after); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("the list of revoked tokens could not be read; trying again", "err", err)
			}
			again = err != nil
		} else if told.GetEpoch() != 0 {
			f.to.AllRevoked()
		}
		var retry <-chan time.Time
		if again {
			retry = time.After(revokedAgain)
		}
		select {
		case <-f.moved:
		case <-retry:
		case <-ctx.Done():
			return
		}
	}
}

// readRevocations reads the list from where the shard is to its end.
func (s *Shard) readRevocations(ctx context.Context, epoch int64, after uint64) (int64, uint64, error) {
	for ctx.Err() == nil {
		reply, err := s.askRevocations(ctx, &wire.RevocationRequest{Body: &wire.RevocationRequest_Read{Read: &wire.ReadRevocations{After: after}}})
		if err != nil {
			return epoch, after, err
		}
		if reply.GetEpoch() != epoch { // another list, or the first one: from its beginning
			before := after
			epoch, after = reply.GetEpoch(), 0
			if before != 0 {
				continue
			}
		}
		s.revocations.to.Revoked(fromWire(reply.GetRevocations()))
		progress := reply.GetUpTo() > after
		after = reply.GetUpTo()
		if after >= reply.GetLast() {
			s.revocations.to.AllRevoked()
			s.revocations.mu.Lock()
			s.revocations.done = true
			s.revocations.mu.Unlock()
			return epoch, after, nil
		}
		if !progress {
			select {
			case <-time.After(revokedAgain):
			case <-ctx.Done():
			}
		}
	}
	return epoch, after, ctx.Err()
}

// Revoke puts a revocation on the region's list. Once it returns nil, the list is on a quorum of stores, and shards are being told.
func (s *Shard) Revoke(ctx context.Context, r token.Revocation) error {
	if err := r.Validate(); err != nil {
		return err
	}
	w := &wire.Revocation{User: r.User, Session: r.Session, Token: r.Token, UntilMs: r.Until.UnixMilli()}
	if r.User != "" {
		w.BeforeMs = r.Before.UnixMilli()
	}
	_, err := s.askRevocations(ctx, &wire.RevocationRequest{Body: &wire.RevocationRequest_Add{Add: w}})
	return err
}

// askRevocations asks whichever store leads the list, again and again until it answers or ctx ends.
func (s *Shard) askRevocations(ctx context.Context, req *wire.RevocationRequest) (*wire.RevocationReply, error) {
	ctx, cancel := context.WithTimeout(ctx, readRevokedWithin)
	defer cancel()
	body, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be sent: %w", err)
	}
	for wait := askAgain; ctx.Err() == nil; wait = min(2*wait, maxAskAgain) {
		m, err := s.try(ctx, revokedPartition, s.subjects.revokedOwner(), body, wait)
		switch {
		case err == nil:
			reply := new(wire.RevocationReply)
			if err := proto.Unmarshal(m.Data, reply); err != nil {
				return nil, fmt.Errorf("the store's reply: %w", err)
			}
			if reply.GetError() != "" {
				return nil, errors.New(reply.GetError())
			}
			return reply, nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return nil, errors.New("this shard is stopping")
		case errors.Is(err, nats.ErrNoResponders):
			select {
			case <-time.After(revokedAgain):
			case <-ctx.Done():
			}
		}
	}
	return nil, fmt.Errorf("no store that leads the list of revoked tokens has answered: %w", ctx.Err())
}

func fromWire(all []*wire.Revocation) []token.Revocation {
	out := make([]token.Revocation, 0, len(all))
	for _, w := range all {
		out = append(out, token.Revocation{
			User: w.GetUser(), Before: time.UnixMilli(w.GetBeforeMs()), Session: w.GetSession(), Token: w.GetToken(), Until: time.UnixMilli(w.GetUntilMs()),
		})
	}
	return out
}
