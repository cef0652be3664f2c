package history

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

const run = 42

// fleet answers differences from logs in memory.
type fleet struct {
	chatv1connect.UnimplementedChatServiceHandler
	mu   sync.Mutex
	logs map[string][]*chatv1.Event
	// Most events in an answer, and most that may be behind a cursor.
	slice, tooLong int
	asked          atomic.Int64
	// Changes an answer, or refuses.
	plant func(n int64, answer *chatv1.DifferenceResponse) error
}

func newFleet(t testing.TB) (*fleet, string) {
	f := &fleet{logs: map[string][]*chatv1.Event{}, slice: 7, tooLong: 1 << 20}
	_, handler := chatv1connect.NewChatServiceHandler(f)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return f, server.URL
}

func (f *fleet) post(log string, number uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, err := stamp.Stamp{Run: run, Post: number}.Append(nil, 64)
	if err != nil {
		panic(err)
	}
	f.logs[log] = append(f.logs[log], &chatv1.Event{
		Log: log, Epoch: 3, Pts: uint64(len(f.logs[log]) + 1), Content: &chatv1.Event_Message{Message: &chatv1.Message{Data: data}},
	})
}

func (f *fleet) Difference(_ context.Context, r *connect.Request[chatv1.DifferenceRequest]) (*connect.Response[chatv1.DifferenceResponse], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header().Get("Authorization") != "Bearer token" {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("no token"))
	}
	cursor := r.Msg.GetCursor()
	events := f.logs[cursor.GetLog()][cursor.GetPts():]
	answer := &chatv1.DifferenceResponse{Kind: chatv1.DifferenceResponse_KIND_FINAL, Events: events, Cursor: cursor}
	switch {
	case len(events) > f.tooLong:
		answer.Kind, answer.Events = chatv1.DifferenceResponse_KIND_TOO_LONG, nil
	case len(events) == 0:
		answer.Kind = chatv1.DifferenceResponse_KIND_EMPTY
	case len(events) > f.slice:
		answer.Kind, answer.Events = chatv1.DifferenceResponse_KIND_SLICE, events[:f.slice]
	}
	cursor.Pts += uint64(len(answer.Events))
	if f.plant != nil {
		if err := f.plant(f.asked.Add(1), answer); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(answer), nil
}

func reader(t testing.TB, c Config) *Reader {
	t.Helper()
	c.Run, c.Token = run, "token"
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReadsToTheHead(t *testing.T) {
	f, url := newFleet(t)
	for n := range uint32(100) {
		f.post("c1", n)
	}
	f.post("c2", 100)
	r := reader(t, Config{Endpoints: []string{url}, Logs: []Log{{"c1", 3, 10}, {"c2", 3, 0}, {"c3", 3, 0}}})
	lists, err := r.Finish(t.Context(), []uint64{100, 1, 0})
	if err != nil {
		t.Fatal(err)
	}
	if l := lists[0]; l.First != 11 || l.Head() != 100 || len(l.Posts) != 90 || l.Posts[0] != 10 || l.Posts[89] != 99 || !l.Complete {
		t.Errorf("c1: %+v", l)
	}
	if l := lists[1]; !slices.Equal(l.Posts, []uint32{100}) {
		t.Errorf("c2: %+v", l)
	}
	if l := lists[2]; l.Head() != 0 || !l.Complete {
		t.Errorf("c3: %+v", l)
	}
}

// A fleet that says "too long" after 200 events can be read by who reads along.
func TestReadsAlong(t *testing.T) {
	f, url := newFleet(t)
	f.tooLong = 200
	r := reader(t, Config{Endpoints: []string{url}, Logs: []Log{{"c1", 3, 0}}, ReadAlongEvery: 20})
	ctx, cancel := context.WithCancel(t.Context())
	var along sync.WaitGroup
	along.Go(func() { r.Along(ctx) })
	for n := range uint32(1000) {
		f.post("c1", n)
		r.Note(0)
		for unread(r) > 50 {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	along.Wait()
	lists, err := r.Finish(t.Context(), []uint64{1000})
	if err != nil || lists[0].Head() != 1000 {
		t.Errorf("read to %d: %v", lists[0].Head(), err)
	}
}

// unread is how many posts were noted since the reader last set out.
func unread(r *Reader) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noted[0]
}

func TestTooLongIsAnError(t *testing.T) {
	f, url := newFleet(t)
	f.tooLong = 100
	for n := range uint32(101) {
		f.post("c1", n)
	}
	f.post("c2", 101)
	r := reader(t, Config{Endpoints: []string{url}, Logs: []Log{{"c1", 3, 0}, {"c2", 3, 0}}})
	lists, err := r.Finish(t.Context(), []uint64{0, 0})
	if err == nil || !strings.Contains(err.Error(), "log c1") || !strings.Contains(err.Error(), "too long") {
		t.Errorf("error %v", err)
	}
	if lists[0].Complete || !lists[1].Complete {
		t.Errorf("complete: %v, %v; want only the second", lists[0].Complete, lists[1].Complete)
	}
}

// A shard that has not heard of the newest posts yet is asked again; one that never does is believed in the end.
func TestWaitsForWhatWasAcknowledged(t *testing.T) {
	f, url := newFleet(t)
	f.post("c1", 0)
	r := reader(t, Config{Endpoints: []string{url}, Logs: []Log{{"c1", 3, 0}}})
	f.plant = func(n int64, _ *chatv1.DifferenceResponse) error {
		if n == 3 {
			go f.post("c1", 1)
		}
		return nil
	}
	lists, err := r.Finish(t.Context(), []uint64{2})
	if err != nil || lists[0].Head() != 2 {
		t.Errorf("read to %d: %v", lists[0].Head(), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r = reader(t, Config{Endpoints: []string{url}, Logs: []Log{{"c1", 3, 0}}})
	lists, err = r.Finish(ctx, []uint64{3})
	if err != nil || lists[0].Head() != 2 || !lists[0].Complete {
		t.Errorf("read %+v: %v", lists[0], err)
	}
}

// What passes is tried again, elsewhere.
func TestGoesRoundDeadEndpoints(t *testing.T) {
	f, url := newFleet(t)
	for n := range uint32(30) {
		f.post("c1", n)
	}
	f.plant = func(n int64, _ *chatv1.DifferenceResponse) error {
		if n%3 == 0 {
			return connect.NewError(connect.CodeUnavailable, errors.New("no owner"))
		}
		return nil
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	r := reader(t, Config{Endpoints: []string{dead.URL, url}, Logs: []Log{{"c1", 3, 0}}})
	lists, err := r.Finish(t.Context(), []uint64{30})
	if err != nil || lists[0].Head() != 30 {
		t.Errorf("read to %d: %v", lists[0].Head(), err)
	}
}

func TestRefusalIsAnError(t *testing.T) {
	f, url := newFleet(t)
	f.plant = func(int64, *chatv1.DifferenceResponse) error {
		return connect.NewError(connect.CodePermissionDenied, errors.New("not for you"))
	}
	r := reader(t, Config{Endpoints: []string{url}, Logs: []Log{{"c1", 3, 0}}})
	if _, err := r.Finish(t.Context(), []uint64{0}); err == nil || !strings.Contains(err.Error(), "not for you") {
		t.Errorf("error %v", err)
	}
}

// An answer that is wrong in any way is not believed.
func TestWrongAnswers(t *testing.T) {
	for name, change := range map[string]func(*chatv1.DifferenceResponse){
		"hole":            func(a *chatv1.DifferenceResponse) { a.Events = append(a.Events[:2], a.Events[3:]...) },
		"swapped":         func(a *chatv1.DifferenceResponse) { a.Events[1], a.Events[2] = a.Events[2], a.Events[1] },
		"doubled":         func(a *chatv1.DifferenceResponse) { a.Events = append(a.Events, a.Events[4]) },
		"another log":     func(a *chatv1.DifferenceResponse) { a.Events[2].Log = "c9" },
		"another epoch":   func(a *chatv1.DifferenceResponse) { a.Events[2].Epoch = 9 },
		"cursor ahead":    func(a *chatv1.DifferenceResponse) { a.Cursor.Pts++ },
		"cursor behind":   func(a *chatv1.DifferenceResponse) { a.Cursor.Pts-- },
		"empty final":     func(a *chatv1.DifferenceResponse) { a.Events = nil },
		"no kind":         func(a *chatv1.DifferenceResponse) { a.Kind = 0 },
		"full empty":      func(a *chatv1.DifferenceResponse) { a.Kind = chatv1.DifferenceResponse_KIND_EMPTY },
		"no cursor":       func(a *chatv1.DifferenceResponse) { a.Cursor = nil },
		"begins too late": func(a *chatv1.DifferenceResponse) { a.Events = a.Events[1:] },
	} {
		f, url := newFleet(t)
		for n := range uint32(5) {
			f.post("c1", n)
		}
		f.plant = func(_ int64, answer *chatv1.DifferenceResponse) error { change(answer); return nil }
		r := reader(t, Config{Endpoints: []string{url}, Logs: []Log{{"c1", 3, 0}}})
		if lists, err := r.Finish(t.Context(), []uint64{0}); err == nil || lists[0].Complete {
			t.Errorf("%s: believed: %+v", name, lists[0])
		}
	}
}

func TestCompare(t *testing.T) {
	lists := []List{
		{Log: "c1", Epoch: 3, First: 2, Posts: []uint32{0, 1, stamp.NoPost, 2, 1, 7}, Complete: true},
		{Log: "c2", Epoch: 3, First: 2, Posts: nil, Complete: false},
	}
	f := Compare(lists, []Acknowledged{
		{0, 0, 3, 2}, // where it should be
		{1, 0, 3, 3}, // there, and once more at 6
		{2, 0, 3, 4}, // one too late
		{3, 0, 3, 8}, // past the head
		{4, 0, 3, 4}, // something else is there
		{5, 1, 3, 2}, // nobody knows
		{7, 0, 2, 7}, // in another epoch
	})
	if f.Checked != 6 || f.Missing != 2 || f.Misplaced != 2 || f.Doubled != 1 || f.Foreign != 1 || len(f.Examples) != 5 {
		t.Errorf("%+v", f)
	}
}

// Whatever is taken from a log, put into it or swapped in it is found.
func TestCompareFindsEveryChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "posts")
		list := List{Log: "c1", Epoch: 1, First: 2, Complete: true}
		var acknowledged []Acknowledged
		for i := range n {
			list.Posts = append(list.Posts, uint32(i))
			acknowledged = append(acknowledged, Acknowledged{uint32(i), 0, 1, uint64(i + 2)})
		}
		if f := Compare([]List{list}, acknowledged); f.Checked != int64(n) || f.Missing+f.Misplaced+f.Doubled+f.Foreign != 0 {
			t.Fatalf("found something in what is right: %+v", f)
		}
		i := rapid.IntRange(0, n-1).Draw(t, "i")
		changed := slices.Clone(list.Posts)
		what := rapid.SampledFrom([]string{"drop", "double", "replace", "swap"}).Draw(t, "what")
		switch what {
		case "drop":
			changed = slices.Delete(changed, i, i+1)
		case "double":
			changed = slices.Insert(changed, i, changed[i])
		case "replace":
			changed[i] = stamp.NoPost
		case "swap":
			j := rapid.IntRange(0, n-1).Draw(t, "j")
			if i == j {
				return
			}
			changed[i], changed[j] = changed[j], changed[i]
		}
		list.Posts = changed
		if f := Compare([]List{list}, acknowledged); f.Missing+f.Misplaced+f.Doubled == 0 {
			t.Fatalf("%s at %d went unseen: %+v", what, i, f)
		}
	})
}

func ExampleList_At() {
	list := List{Log: "c1", First: 2, Posts: []uint32{5, 6}}
	fmt.Println(list.At(3))
	fmt.Println(list.At(4))
	// Output:
	// 6 true
	// 0 false
}
