package bus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Users join and leave a channel while the stores, processes of their own, are killed and stopped: what the channel counts in the end is
// the truth.
func TestMembersAreCountedThroughKilledAndStoppedStores(t *testing.T) {
	const partitions, rounds = 8, 4
	r := startRegion(t, 3, partitions, nil)
	var children []*child
	for i := range r.stores {
		r.stores[i].Stop()
		children = append(children, startChild(t, r.configs[i]))
		defer func() { children[i].end() }()
		children[i].ready(t)
	}
	r.stores = nil
	m := &comingAndGoing{region: r, channel: r.create(t, "ann", 1), joined: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { m.comeAndGo(ctx, t, i) })
	}
	for round := range rounds {
		i := rand.IntN(len(children))
		if round%2 == 0 {
			children[i].signal(t, syscall.SIGKILL)
			_ = children[i].cmd.Wait() // says that it was killed
			time.Sleep(time.Second)
			children[i] = startChild(t, r.configs[i])
			children[i].ready(t)
			continue
		}
		children[i].signal(t, syscall.SIGSTOP)
		time.Sleep(time.Duration(1200+rand.IntN(1000)) * time.Millisecond)
		children[i].signal(t, syscall.SIGCONT)
		time.Sleep(500 * time.Millisecond)
	}
	stop()
	all.Wait()
	want := uint32(0)
	for _, in := range m.joined {
		if in {
			want++
		}
	}
	eventually(t, func() error {
		got := r.ask(t, m.channel, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Fetch{Fetch: &wire.Fetch{Log: m.channel}}}).GetInfo().GetMembers()
		if got != want {
			return fmt.Errorf("the channel counts %d members, and has %d", got, want)
		}
		return nil
	})
	t.Logf("%d members after %d joins and leaves", want, m.changes)
	if m.changes < 100 || want == 0 {
		t.Errorf("%d joins and leaves, and %d members: too few to prove anything", m.changes, want)
	}
}

// comingAndGoing is who has joined the channel in truth: what was answered.
type comingAndGoing struct {
	*region
	channel string
	mu      sync.Mutex
	joined  map[string]bool
	changes int
}

// comeAndGo has some users, who are nobody else's, join and leave until ctx ends.
func (m *comingAndGoing) comeAndGo(ctx context.Context, t *testing.T, group int) {
	for ctx.Err() == nil && !t.Failed() {
		user := fmt.Sprintf("user%d.%d", group, rand.IntN(50))
		joins := rand.IntN(3) > 0
		note := &wire.UserNote{UserLog: logid.User(user), Log: m.channel, Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Left: !joins}
		if joins {
			reply := m.try(t, m.channel, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Join{Join: &chatv1.JoinRequest{Log: m.channel}}})
			note.AsOf, note.LastBan = reply.GetPts(), reply.GetLastBan()
		}
		m.try(t, note.UserLog, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Note{Note: note}})
		m.mu.Lock()
		m.joined[user] = joins
		m.changes++
		m.mu.Unlock()
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
}

// try asks, from a goroutine that is not the test's own.
func (m *comingAndGoing) try(t *testing.T, log string, req *wire.OwnerRequest) *wire.OwnerReply {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := m.shard.Ask(ctx, logid.Partition(log, m.partitions), req)
	if err != nil || reply.GetError() != nil {
		t.Errorf("%v: %v, %v", req, err, reply.GetError())
	}
	return reply
}
