package bus_test

import (
	"slices"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// The partitions of a store that dies have new owners before their groups have noticed that its heartbeats stay away: here they would
// need a minute, and a post is given 20 s.
func TestKilledStore(t *testing.T) {
	const partitions = 16
	r := startRegion(t, 3, partitions, nil)
	t.Setenv(patientEnv, "yes")
	// One after the other, so that the partitions keep their leaders.
	var children []*child
	for i := range r.stores {
		r.stores[i].Stop()
		children = append(children, startChild(t, r.configs[i]))
		defer func() { children[i].end() }()
		children[i].ready(t)
	}
	r.stores = nil
	logs := logPerPartition(partitions)
	for _, log := range logs {
		r.ask(t, log, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
			Log: log, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, RandomId: 1}}}})
	}
	for i, config := range r.configs { // at least one of them leads partitions
		children[i].signal(t, syscall.SIGKILL)
		_ = children[i].cmd.Wait() // says that it was killed
		for _, log := range logs {
			if got, want := r.post(t, "ann", log, uint64(i)+1).Pts, uint64(i)+2; got != want {
				t.Errorf("post %d to log %s stands at %d, want %d", i, log, got, want)
			}
		}
		children[i] = startChild(t, config)
		children[i].ready(t)
	}
}

// The members of a group stand one after the other.
func TestTurn(t *testing.T) {
	first := map[string]int{}
	for _, group := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		members := []string{"one", "two", "three", "four", "five"}
		var turns []int
		for _, member := range members[1:] {
			g := server.RaftzGroup{ID: member, Leader: "one", Peers: map[string]server.RaftzGroupPeer{}}
			for _, peer := range members {
				if peer != member {
					g.Peers[peer] = server.RaftzGroupPeer{}
				}
			}
			turn := bus.Turn(group, g)
			turns = append(turns, turn)
			if turn == 0 {
				first[member]++
			}
		}
		if slices.Sort(turns); !slices.Equal(turns, []int{0, 1, 2, 3}) {
			t.Errorf("the turns in group %s are %v", group, turns)
		}
	}
	if len(first) < 2 {
		t.Errorf("of all groups, %v stand first", first)
	}
}
