package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

func TestListsTravelPacked(t *testing.T) {
	want := []swarm.LogList{{Log: "c1", Epoch: 3, First: 17, Posts: []uint32{0, 1, 1 << 31, 1<<32 - 1}}, {Log: "c2", First: 1}}
	got, err := unpackLists(packLists(want))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i].Log != want[i].Log || got[i].Epoch != want[i].Epoch || got[i].First != want[i].First || !slices.Equal(got[i].Posts, want[i].Posts) {
			t.Errorf("%+v came as %+v", want[i], got[i])
		}
	}
	if _, err := unpackLists([]list{{Posts: []byte{1, 2, 3}}}); err == nil {
		t.Error("three quarters of a post were taken")
	}
}

// pipe returns a connection's two ends.
func pipe(t testing.TB) (a, b net.Conn) {
	a, b = net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestAStrangerIsNotGreeted(t *testing.T) {
	for name, m := range map[string]message{
		"another secret": {Hello: &hello{Secret: "guess"}},
		"no hello":       {Ready: &ready{}},
		"a long story":   {Hello: &hello{Secret: strings.Repeat("x", maxHelloBytes)}},
	} {
		near, far := pipe(t)
		go send(far, m)
		if h, err := greet(t.Context(), near, "secret"); err == nil {
			t.Errorf("%s: greeted as %+v", name, h)
		}
	}
	near, _ := pipe(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := greet(ctx, near, "secret"); err == nil {
		t.Error("silence was greeted")
	}
}

func TestAWorkerTakesOrdersInTheirOrder(t *testing.T) {
	for name, m := range map[string]message{
		"start first":  {Start: &start{}},
		"finish first": {Finish: &finish{}},
		"nothing":      {},
		"a bad plan":   {Plan: &plan{}},
	} {
		near, far := pipe(t)
		done := make(chan error, 1)
		go func() { done <- Main(t.Context(), far, 3, "secret") }()
		if h, err := receive(near, maxHelloBytes); err != nil || h.Hello == nil || h.Hello.Index != 3 || h.Hello.Secret != "secret" {
			t.Fatalf("%s: hello is %+v, %v", name, h.Hello, err)
		}
		if err := send(near, m); err != nil {
			t.Fatal(err)
		}
		answer, err := receive(near, maxMessageBytes)
		if err != nil || answer.Failed == nil || answer.Failed.Error == "" {
			t.Errorf("%s: the answer is %+v, %v", name, answer, err)
		}
		if err := <-done; err == nil {
			t.Errorf("%s: the worker ended well", name)
		}
	}
}

func TestAWorkerLeavesWithItsCoordinator(t *testing.T) {
	near, far := pipe(t)
	done := make(chan error, 1)
	go func() { done <- Main(t.Context(), far, 0, "secret") }()
	if _, err := receive(near, maxHelloBytes); err != nil {
		t.Fatal(err)
	}
	near.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), errAlone.Error()) {
		t.Errorf("the worker ended with %v", err)
	}
}

func TestWorkersAreNotStartedByHand(t *testing.T) {
	for _, args := range [][]string{nil, {"--connect", "here"}, {"--connect", "udp:here"}, {"--connect", "unix:/x", "more"}, {"--what"}} {
		if err := run(t.Context(), args, strings.NewReader("secret\n")); err == nil {
			t.Errorf("%q: it ran", args)
		}
	}
	if err := run(t.Context(), []string{"--connect", "unix:/no/such/socket"}, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("without a secret: %v", err)
	}
	if err := run(t.Context(), []string{"--connect", "unix:/no/such/socket"}, strings.NewReader("secret\n")); err == nil || !strings.Contains(err.Error(), "coordinator") {
		t.Errorf("without a coordinator: %v", err)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0xFF, 0xFF, 0xFF, 0xFF})
	f.Add(append(binary.BigEndian.AppendUint32(nil, 7), `{"v":1}`...))
	f.Add(append(binary.BigEndian.AppendUint32(nil, 30), `{"v":1,"result":{"peaks":null}}`...))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := receive(bytes.NewReader(data), 1<<20)
		if err == nil && m.Version != version {
			t.Errorf("version %d was taken", m.Version)
		}
	})
}
