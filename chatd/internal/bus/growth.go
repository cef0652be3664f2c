package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// growPoll is how often a store looks whether streams have fewer copies than they should.
	growPoll = 2 * time.Second
	// growAlone is after how long without copies a new store asks for them itself.
	growAlone = 5 * time.Second
	// copiedPoll is how often it looks whether new copies are current, before it goes on with the next stream.
	copiedPoll = 200 * time.Millisecond
	// copiedWithin is when it says that they are not, and looks anew.
	copiedWithin = 10 * time.Minute
)

// keepGrowing gives streams the copies that the configuration asks for, when stores have come to a region: one stream after the other, each
// once the copies of the one before are current, so that what is copied leaves room for posts. The store that leads the metadata group does
// so; and those that are new, as it may have the configuration of before. Two that do it do the same. No copies are taken away: in the
// middle of a roll-out, a store would undo what another has done.
func (s *Store) keepGrowing(ctx context.Context) {
	poll := time.NewTicker(growPoll)
	defer poll.Stop()
	began, said := time.Now(), ""
	for grown := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
		switch {
		case s.srv.JetStreamIsLeader() && s.made.Load() || !s.made.Load() && time.Since(began) > growAlone:
			if grown {
				continue
			}
			err := s.grow(ctx)
			if grown = err == nil; err != nil && ctx.Err() == nil && err.Error() != said {
				said = err.Error()
				s.cfg.Logger.Info("streams wait for more copies", "copies", s.cfg.Replicas, "err", err)
			}
		default:
			grown = false // another one may lead by another configuration, meanwhile
		}
	}
}

// grow gives each stream that has too few its copies.
func (s *Store) grow(ctx context.Context) error {
	names, err := s.streamNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range append([]string{s.subjects.revokedStream()}, names...) {
		if err := s.growStream(ctx, name); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return nil
}

func (s *Store) growStream(ctx context.Context, name string) error {
	info, err := s.streamInfo(ctx, name)
	if err != nil || info.Config.Replicas >= s.cfg.Replicas && copied(info, s.cfg.Replicas) {
		return err
	}
	began, before, wanted := time.Now(), info.Config.Replicas, info.Config
	if before < s.cfg.Replicas {
		wanted.Replicas = s.cfg.Replicas
		asked, cancel := context.WithTimeout(ctx, putTimeout)
		defer cancel()
		if _, err := s.js.UpdateStream(asked, wanted); err != nil {
			return fmt.Errorf("asking for %d copies: %w", s.cfg.Replicas, err)
		}
	}
	for waited := time.Now(); time.Since(waited) < copiedWithin; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(copiedPoll):
		}
		if info, err := s.streamInfo(ctx, name); err == nil && copied(info, s.cfg.Replicas) {
			if before == s.cfg.Replicas { // they are current again, after a store was away
				return nil
			}
			s.cfg.Logger.Info("a stream has more copies", "stream", name, "before", before, "copies", s.cfg.Replicas, "bytes", info.State.Bytes, "took", time.Since(began))
			return nil
		}
	}
	return errors.New("its new copies are not current yet")
}

func (s *Store) streamInfo(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// copied reports whether so many copies of a stream are current.
func copied(info *jetstream.StreamInfo, copies int) bool {
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return false
	}
	have := 1
	for _, c := range info.Cluster.Replicas {
		if !c.Offline && c.Active < unheardFor && c.Lag <= currentLag {
			have++
		}
	}
	return have >= copies
}

// haveStreams reports whether all streams are there: mostly this store has a copy of each, and need not ask.
func (s *Store) haveStreams(ctx context.Context) (bool, error) {
	names, err := s.streamNames(ctx)
	if err != nil {
		return false, err
	}
	missing := map[string]bool{}
	for _, name := range names {
		if !s.srv.JetStreamIsStreamAssigned(account, name) {
			missing[name] = true
		}
	}
	if len(missing) == 0 || s.cfg.Replicas >= len(s.cfg.Peers) {
		return len(missing) == 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	all := s.js.StreamNames(ctx)
	for name := range all.Name() {
		delete(missing, name)
	}
	return len(missing) == 0, all.Err()
}
