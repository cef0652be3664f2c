package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// smallVolume mounts a volume of 64 MiB for one store of a region.
func smallVolume(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("only who may mount a small volume can fill it: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// ballast takes bytes off a volume, all that are left if there are fewer.
func ballast(t *testing.T, dir string, bytes int64) (remove func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	for step := int64(16 << 20); step >= 4096; {
		if err := syscall.Fallocate(int(f.Fd()), 0, at, min(step, bytes-at)); err != nil {
			step /= 2
			continue
		}
		if at += min(step, bytes-at); at == bytes {
			break
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

// try asks once, and returns what the owner says.
func (r *region) try(log, user string, body *wire.OwnerRequest) (*wire.OwnerReply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	body.User = user
	return r.shard.Ask(ctx, logid.Partition(log, r.partitions), body)
}

func postOf(log string, id uint64) *wire.OwnerRequest {
	return &wire.OwnerRequest{Body: &wire.OwnerRequest_Post{Post: &chatv1.PostRequest{Log: log, RandomId: id, Message: &chatv1.Message{Data: make([]byte, 2000)}}}}
}

// says waits until a post is answered with a code.
func (r *region) says(t *testing.T, log string, code chatv1.Error_Code, id *uint64) {
	t.Helper()
	eventually(t, func() error {
		*id++
		reply, err := r.try(log, "ann", postOf(log, *id))
		if err == nil && reply.GetError().GetCode() != code {
			err = fmt.Errorf("answered %v, want %v", reply.GetError(), code)
		}
		return err
	})
}

// roleOf bans, or lifts the ban.
func roleOf(log, user string, role chatv1.Role) *wire.OwnerRequest {
	return &wire.OwnerRequest{Body: &wire.OwnerRequest_SetRole{SetRole: &chatv1.SetRoleRequest{Log: log, User: user, Role: role}}}
}

// Before a volume is full, whichever store's it is, posts are refused; what is read, repeated or taken away is not. With room, it goes on.
func TestVolumeNearlyFull(t *testing.T) {
	for _, stores := range []int{1, 3} {
		t.Run(fmt.Sprintf("stores=%d", stores), func(t *testing.T) {
			dir := smallVolume(t)
			r := startRegion(t, stores, 2, func(c *bus.Config) {
				if c.Name == "store-0" {
					c.Dir = dir
				}
			})
			// A log of each partition: of three stores, others than the full one lead some.
			var logs []string
			for id := uint64(1); len(logs) < 2; id++ {
				log := logid.Create(chatv1.LogKind_LOG_KIND_CHANNEL, "ann", id)
				if logid.Partition(log, 2) == len(logs) {
					logs = append(logs, r.create(t, "ann", id))
				}
			}
			id := uint64(0)
			remove := ballast(t, dir, 56<<20)
			for _, log := range logs {
				first := r.fetch(t, log, 0, 100)
				r.says(t, log, chatv1.Error_CODE_FULL, &id)
				if reply, err := r.try(log, "ann", roleOf(log, "mallory", chatv1.Role_ROLE_BANNED)); err != nil || reply.GetError() != nil {
					t.Errorf("a ban: %v %v, want that it is done", reply.GetError(), err)
				}
				if now := r.fetch(t, log, 0, 100); len(now) <= len(first) {
					t.Errorf("%d events are read, want more than the %d of before", len(now), len(first))
				}
			}
			remove()
			for _, log := range logs {
				r.says(t, log, chatv1.Error_CODE_UNSPECIFIED, &id)
				if reply, err := r.try(log, "ann", postOf(log, id)); err != nil || !reply.GetRepeated() {
					t.Errorf("a repeat: %v %v", reply, err)
				}
			}
		})
	}
}

// A volume that something else fills up while posts come takes its store out. What was acknowledged is there once there is room and the
// store is started anew.
func TestVolumeFilledUp(t *testing.T) {
	for _, stores := range []int{1, 3} {
		t.Run(fmt.Sprintf("stores=%d", stores), func(t *testing.T) {
			dir := smallVolume(t)
			r := startRegion(t, stores, 1, func(c *bus.Config) {
				if c.Name == "store-0" {
					c.Dir = dir
				}
			})
			log := r.create(t, "ann", 1)
			var mu sync.Mutex
			acked := map[uint64]uint64{} // pts -> random id
			stop := make(chan struct{})
			var posters sync.WaitGroup
			for p := range uint64(8) {
				posters.Go(func() { r.postUntil(stop, log, p<<32+1, &mu, acked) })
			}
			posters.Go(func() { // what is done also where there is no room, until a write fails
				for role := chatv1.Role_ROLE_BANNED; ; role = chatv1.Role_ROLE_MEMBER + chatv1.Role_ROLE_BANNED - role {
					select {
					case <-stop:
						return
					default:
					}
					_, _ = r.try(log, "ann", roleOf(log, "mallory", role))
				}
			})
			posted := func(more int) func() error {
				mu.Lock()
				want := len(acked) + more
				mu.Unlock()
				return func() error {
					mu.Lock()
					defer mu.Unlock()
					if len(acked) < want {
						return fmt.Errorf("%d posts, want %d", len(acked), want)
					}
					return nil
				}
			}
			eventually(t, posted(200))
			remove := ballast(t, dir, 64<<20)
			eventually(t, func() error {
				if err := r.stores[0].Ready(); err == nil || !strings.Contains(err.Error(), "make room on the volume") {
					return fmt.Errorf("the store on the full volume says %v", err)
				}
				return nil
			})
			remove()
			select {
			case err := <-r.stores[0].Failed():
				t.Log(err)
			case <-time.After(30 * time.Second):
				t.Fatal("a store that cannot write does not end when there is room")
			}
			r.restart(t, 0)
			eventually(t, posted(200))
			close(stop)
			posters.Wait()
			if err := r.holds(t, log, acked); err != nil {
				t.Error(err)
			}
			t.Logf("%d posts acknowledged, all there", len(acked))
		})
	}
}

// restart stops a store and starts it anew.
func (r *region) restart(t *testing.T, i int) {
	t.Helper()
	r.stores[i].Stop()
	c := r.configs[i]
	c.Registerer = prometheus.NewRegistry()
	s, err := bus.StartStore(c)
	if err != nil {
		t.Fatal(err)
	}
	r.stores[i] = s
	for _, s := range r.stores {
		eventually(t, s.Ready)
	}
}

// holds checks that every acknowledged post is in the log, where it was said to be and nowhere else.
func (r *region) holds(t *testing.T, log string, acked map[uint64]uint64) error {
	t.Helper()
	at := map[uint64]uint64{} // random id -> pts
	for after := uint64(0); ; {
		reply := r.ask(t, log, &wire.OwnerRequest{User: "reader", Body: &wire.OwnerRequest_Fetch{Fetch: &wire.Fetch{Log: log, AfterPts: after, Limit: 100}}})
		if len(reply.Events) == 0 {
			break
		}
		for _, data := range reply.Events {
			e := new(wire.StoredEvent)
			if err := proto.Unmarshal(data, e); err != nil {
				return err
			}
			if e.Pts != after+1 {
				return fmt.Errorf("position %d follows %d", e.Pts, after)
			}
			if before := at[e.RandomId]; before != 0 && e.RandomId > 1 { // 0: a role; 1: the creation too
				return fmt.Errorf("the post %x is at %d and at %d", e.RandomId, before, e.Pts)
			}
			after, at[e.RandomId] = e.Pts, e.Pts
		}
	}
	var lost []error
	for pts, id := range acked {
		if at[id] != pts {
			lost = append(lost, fmt.Errorf("the post %x was acknowledged at %d, and is at %d", id, pts, at[id]))
		}
	}
	return errors.Join(lost...)
}
