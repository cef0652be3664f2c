package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// device opens a client of a user that ends with the test.
func (m *member) device(user, device string, change func(*client.Options)) *client.Client {
	m.t.Helper()
	raw, err := m.signer.Sign(user, time.Hour)
	if err != nil {
		m.t.Fatal(err)
	}
	o := client.Options{Endpoints: []string{m.clients}, Token: client.StaticToken(raw), Device: device}
	if change != nil {
		change(&o)
	}
	c, err := client.Open(m.t.Context(), o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = c.Close() })
	return c
}

// flood posts to a log until nothing is left of the beginning of another one, which is in the same partition.
func flood(t *testing.T, c *client.Client, log string, gone func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var failed atomic.Pointer[error]
	var posters sync.WaitGroup
	for range 16 {
		posters.Go(func() {
			for ctx.Err() == nil {
				_, err := c.Post(ctx, &chatv1.PostRequest{Log: log, Message: &chatv1.Message{Data: make([]byte, 1000)}})
				if err != nil && ctx.Err() == nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	for !gone() && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	late := ctx.Err()
	cancel()
	posters.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	if late != nil {
		t.Fatal("after three minutes of posts the beginning of the other log is still there")
	}
}

// Retention takes the events by which a user joined what he is in. All of it is still listed, and a new device follows it.
func TestWhatWasJoinedOutlivesItsEvents(t *testing.T) {
	m := runMember(t, Combined, func(c *Config) {
		c.Bus.Retain = owner.Retention{Bytes: 64 << 10, Every: 100 * time.Millisecond}
		c.Sessions.RequestsPerSecond, c.Sessions.RequestBurst = 1e6, 1e6
		c.Sessions.UserRequestsPerSecond, c.Sessions.UserRequestBurst = 1e6, 1e6
	})
	ann, phone := m.device("ann", "phone", nil), m.device("bob", "phone", nil)
	create := func() string {
		r, err := ann.Create(t.Context(), &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_GROUP, Title: "t"})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetLog()
	}
	joined := map[string]bool{}
	for i := range 12 {
		log := create()
		if _, err := phone.Join(t.Context(), log); err != nil {
			t.Fatal(err)
		}
		if joined[log] = true; i%4 == 3 {
			if err := phone.Leave(t.Context(), log); err != nil {
				t.Fatal(err)
			}
			delete(joined, log)
		}
	}
	beside := create()
	for logid.Partition(beside, 2) != logid.Partition(logid.User("bob"), 2) {
		beside = create()
	}
	_, head, err := phone.Joined(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	flood(t, ann, beside, func() bool {
		// None of the events that a new device would read is there.
		r, err := phone.History(t.Context(), client.Cursor{Log: client.UserLog, Epoch: head.Epoch, PTS: head.PTS}, 100)
		if err != nil {
			t.Error(err)
			return true
		}
		return len(r.GetEvents()) == 0
	})

	var follows sync.Map // by log: whether something was heard of it
	tablet := m.device("bob", "tablet", func(o *client.Options) {
		o.Follow = &client.Follow{Attach: func(log string, _ chatv1.LogKind) (client.AttachOptions, bool) {
			return client.AttachOptions{Handler: func(_ context.Context, u client.Update) error {
				follows.Store(log, u.Event.GetMessage().GetText() == "hi")
				return nil
			}}, true
		}}
	})
	logs, _, err := tablet.Joined(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, l := range logs {
		listed[l.GetLog()] = true
	}
	if !maps.Equal(listed, joined) {
		t.Errorf("listed are %v, want %v", slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(joined)))
	}
	for log := range joined {
		hears(t, ann, log, &follows)
	}
}

// hears posts to a log until a device that follows it has heard of it: when it follows is its own affair.
func hears(t *testing.T, from *client.Client, log string, follows *sync.Map) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if heard, _ := follows.Load(log); heard == true {
			return
		}
		_, err := from.Post(t.Context(), &chatv1.PostRequest{Log: log, Message: &chatv1.Message{Text: "hi"}})
		if err = errors.Join(err, t.Context().Err()); err != nil || time.Now().After(deadline) {
			t.Fatalf("the new device does not follow %s (%v)", log, err)
		}
	}
}
