package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// holding is what a partition's stream of events holds.
func holding(t *testing.T, s *bus.Store, partition int) (state jetstream.StreamState) {
	t.Helper()
	eventually(t, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stream, err := s.JetStream().Stream(ctx, s.LogStream(partition))
		if err == nil {
			state = stream.CachedInfo().State
		}
		return err
	})
	return state
}

// postUntil posts one after the other, with random ids from id on, until stop is closed, and notes what was acknowledged, by position.
func (r *region) postUntil(stop <-chan struct{}, log string, id uint64, mu *sync.Mutex, acked map[uint64]uint64) {
	for ; ; id++ {
		select {
		case <-stop:
			return
		default:
		}
		if reply, err := r.try(log, "ann", postOf(log, id)); err == nil && reply.GetError() == nil {
			mu.Lock()
			acked[reply.GetPts()] = id
			mu.Unlock()
		}
	}
}

// flood posts from many posters at once until done says so, and notes what was acknowledged.
func (r *region) flood(t *testing.T, log string, from uint64, acked map[uint64]uint64, done func() bool) {
	t.Helper()
	var mu sync.Mutex
	var posters sync.WaitGroup
	stop := make(chan struct{})
	for p := range uint64(32) {
		posters.Go(func() { r.postUntil(stop, log, from+p<<32+1, &mu, acked) })
	}
	begun := time.Now()
	for !done() && time.Since(begun) < 3*time.Minute {
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	posters.Wait()
	if !done() {
		t.Fatal("not within three minutes")
	}
}

// keeps checks that every acknowledged post is where it was acknowledged or, if it is older than the first event that is there, gone.
func (r *region) keeps(t *testing.T, log string, acked map[uint64]uint64) (first uint64) {
	t.Helper()
	at := map[uint64]uint64{}
	var head uint64
	diff := &wire.OwnerRequest{User: "reader", Body: &wire.OwnerRequest_Fetch{Fetch: &wire.Fetch{Log: log, AfterPts: 1, Limit: 10}}}
	eventually(t, func() error { // the owner is told of a purge a moment after it
		if reply := r.ask(t, log, diff); !reply.Gone {
			return fmt.Errorf("a difference from what is gone brings %d events", len(reply.Events))
		}
		return nil
	})
	for before := uint64(0); ; {
		reply := r.ask(t, log, &wire.OwnerRequest{User: "reader", Body: &wire.OwnerRequest_Fetch{Fetch: &wire.Fetch{Log: log, Newest: true, BeforePts: before, Limit: 500}}})
		head = max(head, reply.Pts)
		for i, data := range reply.Events {
			e := new(wire.StoredEvent)
			if err := proto.Unmarshal(data, e); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				before = e.Pts
			}
			at[e.Pts] = e.RandomId
		}
		if len(reply.Events) == 0 || before == 1 {
			if !reply.Gone {
				t.Error("the log ends, and it is not said that what is before is gone")
			}
			first = before
			break
		}
	}
	if uint64(len(at)) != head+1-first {
		t.Errorf("%d events from %d to %d", len(at), first, head)
	}
	for pts, id := range acked {
		if pts >= first && at[pts] != id {
			t.Errorf("post %x was acknowledged at %d, where %x stands", id, pts, at[pts])
		}
	}
	return first
}

const retainBytes = 4 << 20

func retaining(c *bus.Config) {
	c.Retain = owner.Retention{Bytes: retainBytes, Every: 100 * time.Millisecond}
}

// Old events go by size; what stays is whole, also after the store that had them go was killed, and after a restart.
func TestRetentionBySize(t *testing.T) {
	t.Run("stores=1", func(t *testing.T) {
		r := startRegion(t, 1, 1, retaining)
		log, acked := r.create(t, "ann", 1), map[uint64]uint64{}
		r.flood(t, log, 0, acked, func() bool { return holding(t, r.stores[0], 0).FirstSeq > 1 })
		if have := holding(t, r.stores[0], 0); have.Bytes < retainBytes {
			t.Errorf("%d bytes stayed, %d were to", have.Bytes, retainBytes)
		}
		r.keeps(t, log, acked)
		r.stopStores()
		r.startStores(t)
		first := r.keeps(t, log, acked)
		r.flood(t, log, 1<<48, acked, func() bool { return holding(t, r.stores[0], 0).FirstSeq > first+1000 })
		r.keeps(t, log, acked)
	})
	t.Run("stores=3", func(t *testing.T) {
		r := startRegion(t, 3, 1, retaining)
		var children []*child
		for i := range 2 {
			r.stores[i].Stop()
			children = append(children, startChild(t, r.configs[i]))
			defer children[i].end()
		}
		here := r.stores[2]
		r.stores = r.stores[2:]
		eventually(t, here.Ready)
		for len(here.Leads()) > 0 {
			here.StepDown(0)
			time.Sleep(300 * time.Millisecond)
		}
		eventually(t, here.Ready)
		log, acked := r.create(t, "ann", 1), map[uint64]uint64{}
		r.flood(t, log, 0, acked, func() bool { return holding(t, here, 0).FirstSeq > 1 })
		leader := 0
		eventually(t, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			stream, err := here.JetStream().Stream(ctx, here.LogStream(0))
			if err != nil {
				return err
			}
			switch stream.CachedInfo().Cluster.Leader {
			case r.configs[0].Name:
			case r.configs[1].Name:
				leader = 1
			default:
				here.StepDown(0)
				return errors.New("this store leads the stream")
			}
			return nil
		})
		first := holding(t, here, 0).FirstSeq
		killed := false
		r.flood(t, log, 1<<48, acked, func() bool {
			if !killed {
				killed = true
				children[leader].signal(t, syscall.SIGKILL)
			}
			return holding(t, here, 0).FirstSeq > first+1000
		})
		r.keeps(t, log, acked)
		t.Logf("%d posts acknowledged, the first event is at %d", len(acked), holding(t, here, 0).FirstSeq)
	})
}

// Where a volume is nearly full, retention by size makes room, and posts go on.
func TestRetentionMakesRoom(t *testing.T) {
	dir := smallVolume(t)
	r := startRegion(t, 1, 1, func(c *bus.Config) { c.Dir = dir })
	log, id := r.create(t, "ann", 1), uint64(1)<<40
	ballast(t, dir, 36<<20)
	r.flood(t, log, 0, map[uint64]uint64{}, func() bool {
		id++
		reply, err := r.try(log, "ann", postOf(log, id))
		return err == nil && reply.GetError().GetCode() == chatv1.Error_CODE_FULL
	})
	r.stopStores()
	retaining(&r.configs[0])
	r.startStores(t)
	r.says(t, log, chatv1.Error_CODE_UNSPECIFIED, &id)
	if have := holding(t, r.stores[0], 0); have.FirstSeq == 1 {
		t.Errorf("nothing has gone: %v", fmt.Sprint(have))
	}
}

// What is too old goes by the stream's own times, and what is younger stays.
func TestRetentionByAge(t *testing.T) {
	r := startRegion(t, 1, 1, func(c *bus.Config) {
		c.Retain = owner.Retention{Age: 3 * time.Second, Every: 100 * time.Millisecond}
	})
	log, acked := r.create(t, "ann", 1), map[uint64]uint64{}
	var have jetstream.StreamState
	r.flood(t, log, 0, acked, func() bool {
		have = holding(t, r.stores[0], 0)
		return have.FirstSeq > 1000
	})
	if age := have.LastTime.Sub(have.FirstTime); age < 2500*time.Millisecond {
		t.Errorf("the oldest event is %v old, want about 3s at least", age)
	}
	r.keeps(t, log, acked)
}
