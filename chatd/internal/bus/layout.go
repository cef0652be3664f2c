package bus

import (
	"context"
	"fmt"
	"strconv"
)

const (
	// partitionsPerState is how many partitions of a new region keep their snapshots in one stream. Each stream is a Raft group, which costs its
	// members heartbeats for as long as they live, and an election when one dies; but one stream writes one message after the other.
	partitionsPerState layout = 4
	// layoutKey is the metadata of the log streams that holds the region's layout. Those made before there was a choice have none.
	layoutKey = "chatfleet-partitions-per-state"
)

// layout is how many partitions share a stream of snapshots. It is settled when a region is made: what its first stream says.
type layout int

// streams are how many streams of snapshots there are.
func (l layout) streams(partitions int) int { return l.stream(partitions-1) + 1 }

// stream is the number of the stream that holds a partition's snapshots.
func (l layout) stream(partition int) int { return partition / int(l) }

func parseLayout(metadata map[string]string) (layout, error) {
	text, ok := metadata[layoutKey]
	if !ok {
		return 1, nil
	}
	share, err := strconv.ParseInt(text, 10, 32)
	if err != nil || share < 1 {
		return 0, fmt.Errorf("the metadata %s is %q: want a number of partitions, from 1; was it changed by hand?", layoutKey, text)
	}
	return layout(share), nil
}

// layout is the region's, for those who know that its streams are there.
func (s *Store) layout() layout { return layout(s.share.Load()) }

// knownLayout is the region's layout; jetstream.ErrStreamNotFound where there is no region yet.
func (s *Store) knownLayout(ctx context.Context) (layout, error) {
	if l := s.layout(); l > 0 {
		return l, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	first := s.subjects.logStream(0)
	stream, err := s.js.Stream(ctx, first)
	if err != nil {
		return 0, fmt.Errorf("reading the region's layout from the stream %s: %w", first, err)
	}
	l, err := parseLayout(stream.CachedInfo().Config.Metadata)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", first, err)
	}
	s.share.Store(int32(l))
	return l, nil
}

// streamNames are the names of all partitions' streams, those of snapshots first.
func (s *Store) streamNames(ctx context.Context) ([]string, error) {
	l, err := s.knownLayout(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for k := range l.streams(s.cfg.Partitions) {
		names = append(names, s.subjects.stateStream(k))
	}
	for p := range s.cfg.Partitions {
		names = append(names, s.subjects.logStream(p))
	}
	return names, nil
}
