package owner_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Owners of three partitions end and begin at any moment while users join and leave a channel: what the channel counts is the truth in
// the end, and a banned user's own log says that he has left.
func TestMembersAreCountedThroughTakeOvers(t *testing.T) {
	const partitions, users, channel = 3, 24, "cchannel"
	rnd := rand.New(rand.NewPCG(1, 2))
	streams, shards, stops := [partitions]*partition{}, [partitions]*shard{}, [partitions]func(){}
	ask := func(ctx context.Context, to int, req *wire.OwnerRequest) (*wire.OwnerReply, error) {
		s := shards[to]
		s.mu.Lock()
		ask := s.ask
		s.mu.Unlock()
		if ask == nil {
			return nil, errors.New("nobody owns it")
		}
		answer := make(chan *wire.OwnerReply, 1)
		ask(req, func(r *wire.OwnerReply) { answer <- r })
		select {
		case r := <-answer:
			return r, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	begin := func(p int) {
		cfg := config(t, newJournal(streams[p]), shards[p])
		cfg.Partition, cfg.Partitions, cfg.CheckpointEvents, cfg.TellAgain = p, partitions, 1+rnd.IntN(10), 10*time.Millisecond
		cfg.CheckpointEvery = 20 * time.Millisecond
		stops[p] = lead(cfg)
	}
	for p := range partitions {
		streams[p], shards[p] = newPartition(), newShard()
		shards[p].others = ask
		begin(p)
	}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	at := func(log string) *shard { return shards[logid.Partition(log, partitions)] }
	note := func(user string, n *wire.UserNote) {
		n.UserLog, n.Log, n.Kind = logid.User(user), channel, chatv1.LogKind_LOG_KIND_CHANNEL
		if r := at(n.UserLog).request(t, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Note{Note: n}}); r.Error != nil {
			t.Fatal(r.Error)
		}
	}
	at(channel).request(t, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
		Log: channel, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t", RandomId: 1}}}})
	joined := map[string]bool{}
	for range 300 {
		user := fmt.Sprint("user", rnd.IntN(users))
		joined[user] = rnd.IntN(3) > 0
		note(user, &wire.UserNote{Left: !joined[user], AsOf: map[bool]uint64{true: 1}[joined[user]]})
		if rnd.IntN(10) == 0 {
			p := rnd.IntN(partitions)
			stops[p]()
			begin(p)
		}
	}
	note("user0", &wire.UserNote{AsOf: 1})
	if r := at(channel).request(t, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_SetRole{SetRole: &chatv1.SetRoleRequest{
		Log: channel, User: "user0", Role: chatv1.Role_ROLE_BANNED}}}); r.Error != nil {
		t.Fatal(r.Error)
	}
	joined["user0"] = false
	want := uint32(0)
	for _, in := range joined {
		if in {
			want++
		}
	}
	got := ^uint32(0)
	for begun := time.Now(); got != want; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the channel counts %d members, and has %d", got, want)
		}
		got = at(channel).request(t, fetchRequest(channel, 0, 1, false)).GetInfo().GetMembers()
	}
}
