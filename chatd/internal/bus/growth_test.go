package bus_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// A region of three stores becomes one of five under posts: two are started that know all five, and then the three, one after the other, with
// the same configuration. Every stream gets five copies, and no post is lost.
func TestGrowth(t *testing.T) {
	const partitions = 4
	r := startRegion(t, 3, partitions, nil)
	logs := logPerPartition(partitions)
	for _, log := range logs {
		r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
			Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}})
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &posted{acked: map[string]map[uint64]uint64{}}
	var posters sync.WaitGroup
	for i := range 2 * partitions {
		posters.Go(func() { r.keepPosting(ctx, t, p, logs[i%partitions], uint64(i)<<32) })
	}
	peers := append([]string{}, r.configs[0].Peers...)
	for range 2 {
		peers = append(peers, freeAddress(t))
	}
	for i := 3; i < 5; i++ {
		c := r.configs[0]
		c.Name, c.Dir, c.ClusterListen, c.LeafListen = fmt.Sprint("store-", i), filepath.Join(t.TempDir(), "x"), peers[i], freeAddress(t)
		c.Peers, c.Replicas = peers, 5
		c.Registerer = prometheus.NewRegistry()
		s, err := bus.StartStore(c)
		if err != nil {
			t.Fatal(err)
		}
		r.stores = append(r.stores, s)
		r.configs = append(r.configs, c)
	}
	for _, s := range r.stores[3:] {
		eventually(t, s.Ready) // before any other has the new configuration
	}
	for i := range 3 {
		r.configs[i].Peers, r.configs[i].Replicas = peers, 5
		r.stores[i].Stop()
		c := r.configs[i]
		c.Registerer = prometheus.NewRegistry()
		s, err := bus.StartStore(c)
		if err != nil {
			t.Fatal(err)
		}
		r.stores[i] = s
		eventually(t, func() error { return s.Ready() })
		eventually(t, func() error { return current(r.stores) })
	}
	for _, s := range r.stores {
		eventually(t, s.Ready)
		eventually(t, func() error {
			if total, _, behind := s.Groups(); total != groupsOf(partitions) || len(behind) > 0 {
				return fmt.Errorf("a store has copies of %d groups, want all %d; not current are %v", total, groupsOf(partitions), behind)
			}
			return nil
		})
	}
	stop()
	posters.Wait()
	for _, s := range r.stores {
		p.check(t, s, logs)
	}
}

// Five stores with three copies of each stream: no store has all, and all are of use.
func TestFewerCopiesThanStores(t *testing.T) {
	const partitions = 4
	r := startRegion(t, 5, partitions, nil) // 3 copies each
	for i, log := range logPerPartition(partitions) {
		r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
			Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}})
		if got := r.post(t, "ann", log, uint64(i)+2); got.Pts != 2 {
			t.Errorf("the first post got position %d", got.Pts)
		}
	}
	eventually(t, func() error { return current(r.stores) })
	copies := 0
	for _, s := range r.stores {
		total, _, _ := s.Groups()
		copies += total - 1
	}
	if want := 3 * (groupsOf(partitions) - 1); copies != want {
		t.Errorf("%d copies, want %d", copies, want)
	}
}
