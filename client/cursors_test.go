package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func TestCursorStores(t *testing.T) {
	for name, store := range map[string]func(t *testing.T) client.CursorStore{
		"memory": func(*testing.T) client.CursorStore { return client.NewMemoryCursors() },
		"file": func(t *testing.T) client.CursorStore {
			return client.NewFileCursors(filepath.Join(t.TempDir(), "cursors"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, ctx := store(t), context.Background()
			if got, err := s.Load(ctx); err != nil || len(got) != 0 {
				t.Fatalf("a new store holds %v, %v", got, err)
			}
			a1, a2 := client.Cursor{Log: "a", Epoch: 1, PTS: 1}, client.Cursor{Log: "a", Epoch: 1, PTS: 2}
			b := client.Cursor{Log: "b", Joined: chatv1.LogKind_LOG_KIND_GROUP}
			c := client.Cursor{Log: "c", Epoch: 4, PTS: 1 << 60}
			for _, save := range []error{
				s.Save(ctx, []client.Cursor{b, a1}, nil),
				s.Save(ctx, []client.Cursor{a2, c}, []string{"b", "never"}),
			} {
				if save != nil {
					t.Fatal(save)
				}
			}
			if got, err := s.Load(ctx); err != nil || !slices.Equal(got, []client.Cursor{a2, c}) {
				t.Fatalf("loaded %v, %v", got, err)
			}
		})
	}
}

func TestFileCursorsOutliveTheProgram(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "cursors"), context.Background()
	want := []client.Cursor{{Log: "a", Epoch: 1, PTS: 7}}
	if err := client.NewFileCursors(path).Save(ctx, want, nil); err != nil {
		t.Fatal(err)
	}
	// What a crash in the middle of a later Save leaves behind.
	if err := os.WriteFile(path+".new", []byte(`{"version":1,"curs`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := client.NewFileCursors(path)
	if got, err := s.Load(ctx); err != nil || !slices.Equal(got, want) {
		t.Fatalf("loaded %v, %v", got, err)
	}
	want[0].PTS++
	if err := s.Save(ctx, want, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := client.NewFileCursors(path).Load(ctx); !slices.Equal(got, want) {
		t.Fatalf("loaded %v after the second save", got)
	}
}

func TestFileCursorsRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursors")
	for content, want := range map[string]string{
		"not json":      "is not a file of cursors",
		`{"version":2}`: "is of version 2",
		`{"version":1}`: "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := client.NewFileCursors(path)
		_, err := s.Load(context.Background())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
		if saved := s.Save(context.Background(), nil, nil); (saved == nil) != (want == "") {
			t.Errorf("%s: saving over it: %v", content, saved)
		}
	}
}

func TestCursorsAreSavedAgainAfterAnError(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	store := &flakyStore{CursorStore: client.NewMemoryCursors(), failures: 1}
	o := options(f, "alice", "phone")
	o.Cursors = store
	c := open(t, o)
	r := newReader(t)
	ready(t, attach(t, c, "c1", client.AttachOptions{Handler: r.handle}))
	f.post("c1", numbered(5)...)
	r.want(numbered(5)...)
	eventually(t, "position 5 is kept", func() bool {
		got, _ := store.Load(context.Background())
		return len(got) == 1 && got[0].PTS == 5
	})
}

func TestCloseReportsWhatCouldNotBeKept(t *testing.T) {
	f := newFleet(t)
	f.log("c1")
	o := options(f, "alice", "phone")
	o.Cursors = &flakyStore{CursorStore: client.NewMemoryCursors(), failures: 1 << 30}
	c, err := client.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t)
	l, err := c.Attach("c1", client.AttachOptions{Handler: r.handle})
	if err != nil {
		t.Fatal(err)
	}
	ready(t, l)
	f.post("c1", "one")
	r.want("one")
	if err := c.Close(); !errors.Is(err, errDisk) {
		t.Fatalf("close: %v, want the store's error", err)
	}
}

var errDisk = errors.New("disk full")

// flakyStore fails some times before it works.
type flakyStore struct {
	client.CursorStore
	mu       sync.Mutex
	failures int
}

func (s *flakyStore) Save(ctx context.Context, cursors []client.Cursor, gone []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures > 0 {
		s.failures--
		return errDisk
	}
	return s.CursorStore.Save(ctx, cursors, gone)
}
