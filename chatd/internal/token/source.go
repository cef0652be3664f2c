package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// fileEvery and urlEvery are how often keys are read again; after a failure it is retryEvery.
	fileEvery  = 5 * time.Second
	urlEvery   = 5 * time.Minute
	retryEvery = 10 * time.Second
	// lookAgainAfter is how often, at most, a key that is not there makes the keys be read again at once: anybody can name one.
	lookAgainAfter = 10 * time.Second
	// fetchTimeout bounds one fetch, and so how long a sign-in waits for one.
	fetchTimeout = 3 * time.Second
	// staleAfter is how long keys are used that could not be read again: an issuer that is away must not lock everybody out,
	// and a key that it has taken back must not be good for ever.
	staleAfter = 24 * time.Hour
)

// source is where an issuer's keys come from, and what came last.
type source struct {
	where string
	every time.Duration
	// read gets the JWK set. It is called by one goroutine at a time; nil: the set does not change.
	read func(context.Context) ([]byte, error)
	now  func() time.Time
	log  *slog.Logger

	mu   sync.Mutex
	set  *KeySet
	good time.Time // when set was read
	next time.Time // when a key that is not there may make it be read again
	err  error     // why the last try failed
	busy chan struct{}
}

// fixed is a source of keys that do not change.
func fixed(keys *KeySet) *source { return &source{set: keys} }

func newSource(keys string, o Options) *source {
	s := &source{where: keys, every: fileEvery, now: o.Now, log: o.Logger}
	s.read = func(context.Context) ([]byte, error) { return readFile(keys) }
	if isURL(keys) {
		s.every = urlEvery
		s.read = func(ctx context.Context) ([]byte, error) { return fetch(ctx, o.Client, keys) }
	}
	return s
}

// find returns a key. One that is not there may be new: then, and if nobody has looked just now, the keys are read again first.
func (s *source) find(ctx context.Context, kid string) (key jose.JSONWebKey, found bool, err error) {
	for again := false; ; again = true {
		s.mu.Lock()
		set, good, failed := s.set, s.good, s.err
		mayLook := s.read != nil && (s.busy != nil || !s.now().Before(s.next))
		s.mu.Unlock()
		stale := s.read != nil && failed != nil && s.now().Sub(good) > staleAfter
		if set != nil && !stale {
			if k, ok := set.keys[kid]; ok {
				return k, true, nil
			}
		}
		if !again && mayLook {
			s.refresh(ctx)
			continue
		}
		if set == nil || stale {
			return jose.JSONWebKey{}, false, failed
		}
		return jose.JSONWebKey{}, false, nil
	}
}

// refresh reads the keys again, or waits for whoever does so already. What fails leaves the keys as they are.
func (s *source) refresh(ctx context.Context) {
	s.mu.Lock()
	if busy := s.busy; busy != nil {
		s.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
		}
		return
	}
	done := make(chan struct{})
	s.busy = done
	s.mu.Unlock()

	set, err := s.load(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy, s.next = nil, s.now().Add(lookAgainAfter)
	close(done)
	switch {
	case err != nil && (s.err == nil || s.err.Error() != err.Error()):
		s.log.Warn("token keys could not be read; those of before stay in force", "keys", s.where, "err", err, "for", staleAfter)
	case err == nil && (s.err != nil || s.set == nil || !same(s.set, set)):
		s.log.Info("token keys", "keys", s.where, "number", set.Len())
	}
	s.err = err
	if err == nil {
		s.set, s.good = set, s.now()
	}
}

func (s *source) load(ctx context.Context) (*KeySet, error) {
	// Not the caller's end: others wait for the same keys.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	data, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	set, err := ParseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("token keys of %s: %w", s.where, err)
	}
	return set, nil
}

// follow reads the keys again and again until ctx ends.
func (s *source) follow(ctx context.Context) {
	for {
		s.mu.Lock()
		pause := s.every
		if s.err != nil {
			pause = min(pause, retryEvery)
		}
		s.mu.Unlock()
		select {
		case <-time.After(pause):
			s.refresh(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (s *source) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func same(a, b *KeySet) bool {
	if len(a.keys) != len(b.keys) {
		return false
	}
	for kid := range a.keys {
		if _, ok := b.keys[kid]; !ok {
			return false
		}
	}
	return true
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the token keys: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeySetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the token keys: %w", err)
	}
	return data, nil
}

func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch the token keys: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the token keys: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the token keys: %s answered %s", req.URL.Redacted(), res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxKeySetBytes+1))
	if err != nil {
		return nil, fmt.Errorf("fetch the token keys: %w", err)
	}
	return data, nil
}

// errRedirect keeps what is configured and what is asked the same.
var errRedirect = errors.New("the keys' URL redirects elsewhere; configure where it leads to")

func defaultClient() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }}
}
