package bus_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// revokedList is what a shard has heard.
type revokedList struct {
	mu       sync.Mutex
	users    map[string]bool
	atFirst  int // when it was complete for the first time
	complete bool
}

func (l *revokedList) Revoked(all []token.Revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range all {
		l.users[r.User] = true
	}
}

func (l *revokedList) AllRevoked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.complete {
		l.complete, l.atFirst = true, len(l.users)
	}
}

func (l *revokedList) has(users ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range users {
		if !l.users[u] {
			return fmt.Errorf("%s is not revoked", u)
		}
	}
	return nil
}

// join starts a shard that follows the list of revoked tokens.
func (r *region) join(t *testing.T, name string) (*bus.Shard, *revokedList) {
	t.Helper()
	c := r.configs[0]
	c.Name, c.Stores, c.Registerer = name, nil, prometheus.NewRegistry()
	for _, store := range r.configs {
		c.Stores = append(c.Stores, store.LeafListen)
	}
	s, err := bus.StartShard(c)
	if err != nil {
		t.Fatal(err)
	}
	list := &revokedList{users: map[string]bool{}}
	s.FollowRevocations(list)
	if err := s.Start(&seen{live: map[string][]uint64{}, digests: map[int]uint64{}, heads: map[string]uint64{}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	eventually(t, s.Ready)
	return s, list
}

func revoke(t *testing.T, s *bus.Shard, user string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	now := time.Now()
	if err := s.Revoke(ctx, token.Revocation{User: user, Before: now, Until: now.Add(token.KeepRevoked)}); err != nil {
		t.Fatal(err)
	}
}

func TestEveryShardHearsOfARevocation(t *testing.T) {
	r := startRegion(t, 3, 2, nil)
	one, ones := r.join(t, "shard-1")
	_, twos := r.join(t, "shard-2")
	revoke(t, one, "alice")
	eventually(t, func() error { return ones.has("alice") })
	eventually(t, func() error { return twos.has("alice") })

	_, late := r.join(t, "shard-3")
	if late.atFirst != 1 {
		t.Error("a shard that came later was ready without knowing what was revoked before")
	}

	// A store goes: whoever leads the list then takes revocations.
	r.stores[0].Stop()
	r.stores = r.stores[1:]
	revoke(t, one, "bob")
	eventually(t, func() error { return twos.has("alice", "bob") })
	_, later := r.join(t, "shard-4")
	if err := later.has("alice", "bob"); err != nil {
		t.Error(err)
	}
}

func TestTheListIsThereAfterAllStoresWere(t *testing.T) {
	r := startRegion(t, 1, 1, nil)
	one, ones := r.join(t, "shard-1")
	revoke(t, one, "alice")
	revoke(t, one, "alice") // in the place of the first
	r.stopStores()
	r.stores = nil
	r.startStores(t)
	revoke(t, one, "bob")
	eventually(t, func() error { return ones.has("alice", "bob") })
	_, late := r.join(t, "shard-2")
	if late.atFirst != 2 {
		t.Errorf("a shard that came later knew of %d", late.atFirst)
	}
}

func TestAListOfSeveralPages(t *testing.T) {
	r := startRegion(t, 1, 1, nil)
	one, _ := r.join(t, "shard-1")
	const users = 600
	var all errgroup.Group
	all.SetLimit(4)
	for i := range users {
		all.Go(func() error {
			return one.Revoke(t.Context(), token.Revocation{User: fmt.Sprint("user-", i), Before: time.Now(), Until: time.Now().Add(time.Hour)})
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	_, late := r.join(t, "shard-2")
	if late.atFirst != users {
		t.Errorf("%d of %d are known", late.atFirst, users)
	}
}

func TestWhatCannotBeRevokedIsNotAsked(t *testing.T) {
	r := startRegion(t, 1, 1, nil)
	one, _ := r.join(t, "shard-1")
	if err := one.Revoke(t.Context(), token.Revocation{}); err == nil || !strings.Contains(err.Error(), "want a user") {
		t.Errorf("got %v", err)
	}
}
