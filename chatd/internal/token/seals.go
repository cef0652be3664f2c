package token

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sealsEvery is how often a file of seals is read again.
	sealsEvery = 10 * time.Second
	// minSealBytes is the shortest seal, maxSeals how many may be in force, maxSealsBytes the longest file: a longer one is not of seals.
	minSealBytes  = 16
	maxSeals      = 8
	maxSealsBytes = 4096
)

// Seals are the secrets of a region that what it hands out to sessions is made by: the first makes, all check. They come from a file that may
// change, or are one that does not. They may be used by many goroutines at once.
type Seals struct {
	file    string // empty: fixed
	log     *slog.Logger
	current atomic.Pointer[[][]byte]

	mu   sync.Mutex // of Look
	said string
}

// FixedSeal is one that stays.
func FixedSeal(secret []byte) *Seals {
	s := &Seals{}
	s.current.Store(&[][]byte{secret})
	return s
}

// OpenSeals reads a file of seals: one a line, each of at least 16 bytes.
func OpenSeals(file string, log *slog.Logger) (*Seals, error) {
	s := &Seals{file: file, log: log}
	seals, err := readSeals(file)
	if err != nil {
		return nil, err
	}
	s.current.Store(&seals)
	return s, nil
}

// Run reads the file again and again, until ctx ends.
func (s *Seals) Run(ctx context.Context) {
	if s.file == "" {
		return
	}
	tick := time.NewTicker(sealsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Look()
		}
	}
}

// Look takes up what stands in the file, if it is new and good. What is no good leaves the seals as they are.
func (s *Seals) Look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	seals, err := readSeals(s.file)
	switch {
	case err != nil:
		if err.Error() != s.said {
			s.log.Error("new session keys are of no use, and the old ones stay", "err", err)
		}
		s.said = err.Error()
	case !bytes.Equal(bytes.Join(seals, []byte{'\n'}), bytes.Join(*s.current.Load(), []byte{'\n'})):
		s.current.Store(&seals)
		s.log.Info("new session keys", "number", len(seals))
		s.said = ""
	}
}

func readSeals(file string) ([][]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the session keys: %w", err)
	}
	if len(data) > maxSealsBytes {
		return nil, fmt.Errorf("%s has %d bytes: want at most %d; is it the right file?", file, len(data), maxSealsBytes)
	}
	var seals [][]byte
	for i, line := range bytes.Split(data, []byte{'\n'}) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case len(line) < minSealBytes:
			return nil, fmt.Errorf("%s:%d: a key of %d bytes: want at least %d; `head -c 32 /dev/urandom | base64` makes one", file, i+1, len(line), minSealBytes)
		default:
			seals = append(seals, line)
		}
	}
	if len(seals) == 0 || len(seals) > maxSeals {
		return nil, fmt.Errorf("%s holds %d keys: want 1 to %d, one a line", file, len(seals), maxSeals)
	}
	return seals, nil
}

// Keys derives keys for one use, from the seals that are in force when they are asked for, in their order.
func (s *Seals) Keys(use string) (func() [][]byte, error) {
	type derived struct {
		from *[][]byte
		keys [][]byte
	}
	derive := func(from *[][]byte) (derived, error) {
		d := derived{from: from}
		for _, seal := range *from {
			key, err := hkdf.Key(sha256.New, seal, nil, use, sha256.Size)
			if err != nil {
				return d, fmt.Errorf("derive a key: %w", err)
			}
			d.keys = append(d.keys, key)
		}
		return d, nil
	}
	first, err := derive(s.current.Load())
	if err != nil {
		return nil, err // a key cannot be derived here at all, whatever the seal
	}
	var last atomic.Pointer[derived]
	last.Store(&first)
	return func() [][]byte {
		d := last.Load()
		if from := s.current.Load(); d.from != from {
			if next, err := derive(from); err == nil {
				d = &next
				last.Store(d)
			}
		}
		return d.keys
	}, nil
}
