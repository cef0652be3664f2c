package bus_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// listener is a shard that notes what is said, and answers what is asked.
type listener struct {
	*seen
	name string
	soft *bus.Soft

	mu    sync.Mutex
	heard []string
}

func (l *listener) Soft(log string, m *wire.Soft) *wire.SoftAnswer {
	if m.GetAsker() != "" {
		return &wire.SoftAnswer{Sessions: 1, Users: []string{l.name}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, log+" "+m.GetTyping()[0])
	return nil
}

// What one shard says of a log all shards hear that listen to the log, over the stores, and no other; and all of them answer.
func TestShardsHearEachOther(t *testing.T) {
	r := startRegion(t, 3, 2, nil)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var all []*listener
	for i := range 3 {
		c := r.configs[0]
		c.Name, c.Stores, c.Registerer, c.Dir, c.ClusterListen, c.LeafListen, c.Peers = fmt.Sprint("shard-", i+1), nil, prometheus.NewRegistry(), "", "", "", nil
		for _, store := range r.configs {
			c.Stores = append(c.Stores, store.LeafListen)
		}
		link, err := bus.StartShard(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(link.Stop)
		l := &listener{seen: r.seen, name: fmt.Sprint("user-", i), soft: link.Soft()}
		if err := link.Start(l); err != nil {
			t.Fatal(err)
		}
		eventually(t, link.Ready)
		all = append(all, l)
	}
	for _, l := range all[:2] {
		if err := l.soft.Hear(1, "glog"); err != nil {
			t.Fatal(err)
		}
	}
	if err := all[2].soft.Hear(1, "gother"); err != nil {
		t.Fatal(err)
	}
	var users []string
	eventually(t, func() error { // the interest takes a moment on its way
		users = nil
		within, end := context.WithTimeout(ctx, 100*time.Millisecond)
		defer end()
		all[2].soft.Gather(within, 1, "glog", func(a *wire.SoftAnswer) { users = append(users, a.GetUsers()...) })
		slices.Sort(users)
		if !slices.Equal(users, []string{"user-0", "user-1"}) {
			return fmt.Errorf("answers of %v, want those of user-0 and user-1", users)
		}
		return nil
	})
	all[0].soft.Say(1, "glog", &wire.Soft{Typing: []string{"ann"}})
	for _, l := range all[:2] {
		eventually(t, func() error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if !slices.Equal(l.heard, []string{"glog ann"}) {
				return fmt.Errorf("%s has heard %v", l.name, l.heard)
			}
			return nil
		})
	}
	all[1].soft.Unhear("glog")
	eventually(t, func() error {
		users = nil
		within, end := context.WithTimeout(ctx, 100*time.Millisecond)
		defer end()
		all[0].soft.Gather(within, 1, "glog", func(a *wire.SoftAnswer) { users = append(users, a.GetUsers()...) })
		if !slices.Equal(users, []string{"user-0"}) {
			return fmt.Errorf("answers of %v once user-1 hears no more", users)
		}
		return nil
	})
	if len(all[2].heard) > 0 {
		t.Errorf("a shard without the log has heard %v", all[2].heard)
	}
}
