package client_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// followers gives each log that the user has joined a reader.
type followers struct {
	t       *testing.T
	mu      sync.Mutex
	readers map[string]*reader
	user    *reader
}

func newFollowers(t *testing.T) *followers {
	return &followers{t: t, readers: make(map[string]*reader), user: newReader(t)}
}

func (f *followers) options() *client.Follow {
	return &client.Follow{
		Attach: func(log string, kind chatv1.LogKind) (client.AttachOptions, bool) {
			if kind == chatv1.LogKind_LOG_KIND_CHANNEL {
				return client.AttachOptions{}, false
			}
			return client.AttachOptions{Handler: f.of(log).handle, FromBeginning: true}, true
		},
		Handler: f.user.handle,
	}
}

func (f *followers) of(log string) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers[log] == nil {
		f.readers[log] = newReader(f.t)
	}
	return f.readers[log]
}

func (f *followers) logs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var logs []string
	for log := range f.readers {
		logs = append(logs, log)
	}
	slices.Sort(logs)
	return logs
}

func TestWhatOneDeviceJoinsAllDevicesFollow(t *testing.T) {
	f := newFleet(t)
	ctx := testContext(t)
	for _, id := range []string{"g1", "g2"} {
		f.lock(func() { f.logLocked(id, chatv1.LogKind_LOG_KIND_GROUP) })
		f.post(id, "welcome to "+id)
	}
	f.log("c1")
	path := filepath.Join(t.TempDir(), "cursors")

	phone := open(t, options(f, "alice", "phone"))
	for _, log := range []string{"g1", "c1"} {
		if _, err := phone.Join(ctx, log); err != nil {
			t.Fatal(err)
		}
	}

	// A new device finds what was joined before it came.
	first := newFollowers(t)
	o := options(f, "alice", "desk")
	o.Follow, o.Cursors = first.options(), client.NewFileCursors(path)
	desk, err := client.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	first.of("g1").want("welcome to g1")

	// It follows what is joined on another one, and leaves what is left there.
	if _, err := phone.Join(ctx, "g2"); err != nil {
		t.Fatal(err)
	}
	first.of("g2").want("welcome to g2")
	first.user.want("joined g1", "joined c1", "joined g2")
	if err := phone.Leave(ctx, "g1"); err != nil {
		t.Fatal(err)
	}
	first.user.want("joined g1", "joined c1", "joined g2", "left g1")
	f.post("g1", "unseen")
	f.post("g2", "while it is on")
	first.of("g2").want("welcome to g2", "while it is on")
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}

	// Started again, it goes on where it was, and does not read the user's log from its beginning.
	f.post("g2", "while it is off")
	second := newFollowers(t)
	o.Follow, o.Cursors = second.options(), client.NewFileCursors(path)
	open(t, o)
	second.of("g2").want("while it is off")
	if _, err := phone.Join(ctx, "g1"); err != nil {
		t.Fatal(err)
	}
	second.of("g1").want("welcome to g1", "unseen") // joined anew: from its beginning
	second.user.want("joined g1")
	if got := second.logs(); !slices.Equal(got, []string{"g1", "g2"}) {
		t.Fatalf("follows %v", got)
	}
	first.of("g1").want("welcome to g1")
}

// When the user's own log is restored from an older state, devices follow what he has joined by that.
func TestFollowAfterTheUserLogWasRestored(t *testing.T) {
	f := newFleet(t)
	ctx := testContext(t)
	f.lock(func() { f.sliceEvents = 2 }) // so that the newest events do not tell it all
	for _, id := range []string{"g1", "g2", "g3", "g4", "g5"} {
		f.lock(func() { f.logLocked(id, chatv1.LogKind_LOG_KIND_GROUP) })
	}
	follow := newFollowers(t)
	o := options(f, "alice", "desk")
	o.Follow = follow.options()
	c := open(t, o)
	for _, log := range []string{"g1", "g2", "g3", "g4"} {
		if _, err := c.Join(ctx, log); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Leave(ctx, "g2"); err != nil {
		t.Fatal(err)
	}
	follow.user.want("joined g1", "joined g2", "joined g3", "joined g4", "left g2")
	f.lock(func() { // as it was before g4 was joined and g2 left
		me := f.logs["ualice"]
		me.events, me.epoch = me.events[:3], 2
	})
	if _, err := c.Join(ctx, "g5"); err != nil {
		t.Fatal(err)
	}
	want := []string{"g1", "g2", "g3", "g5"}
	attached := func() (logs []string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for s := range f.sessions {
			for log := range s.attached {
				if log != "ualice" {
					logs = append(logs, log)
				}
			}
		}
		slices.Sort(logs)
		return logs
	}
	eventually(t, "follows what was joined", func() bool { return slices.Equal(attached(), want) })
}

// A crash between the note that a log was joined and the first cursor in it must not forget the log.
func TestFollowSurvivesACrashAfterTheJoin(t *testing.T) {
	f := newFleet(t)
	f.lock(func() { f.logLocked("g1", chatv1.LogKind_LOG_KIND_GROUP) })
	f.post("g1", "welcome")
	store := &batches{CursorStore: client.NewMemoryCursors()}
	follow := newFollowers(t)
	o := options(f, "alice", "desk")
	o.Follow, o.Cursors = follow.options(), store
	c := open(t, o)
	if _, err := c.Join(testContext(t), "g1"); err != nil {
		t.Fatal(err)
	}
	follow.of("g1").want("welcome")
	eventually(t, "the join is kept", func() bool { return store.kept(client.UserLog).PTS == 1 })
	store.mu.Lock()
	defer store.mu.Unlock()
	for _, kept := range store.states {
		if kept[client.UserLog].PTS >= 1 && kept["g1"].Joined == 0 {
			t.Fatalf("a crash here would forget the log: %+v", kept)
		}
	}
}

// batches remembers each state that the store has been in.
type batches struct {
	client.CursorStore
	mu     sync.Mutex
	states []map[string]client.Cursor
}

func (b *batches) Save(ctx context.Context, cursors []client.Cursor, gone []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.CursorStore.Save(ctx, cursors, gone); err != nil {
		return err
	}
	all, _ := b.CursorStore.Load(ctx)
	state := make(map[string]client.Cursor)
	for _, c := range all {
		state[c.Log] = c
	}
	b.states = append(b.states, state)
	return nil
}

func (b *batches) kept(log string) client.Cursor {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.states) == 0 {
		return client.Cursor{}
	}
	return b.states[len(b.states)-1][log]
}
